"""Inputs that say which positions of a batch are padding.

A mask is recognised by where it goes: through elementwise ops into the scores of a Softmax, which
it makes very small. Whether ones or zeros are padding follows from the signs on that way.
"""

from collections import deque
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import RECURRENT, constant, name_of, rank

_LAYOUT = frozenset(
    {
        *("Cast", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"),
        *("Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    }
)
_LARGE = 20.0  # of what is added to scores to make them vanish
_LENGTHS = 4  # input of a recurrent op
_FALLS, _GROWS, _ADDED = -1, 1, 2


@final
@dataclass(frozen=True)
class Mask:
    """Which positions of an output count.

    Attributes:
        input: Of the network; one value for each position of the output's first axes, or, with
            one axis fewer, how many positions of axis 1 count.
        form: ``ones`` and ``zeros`` name the values that count; ``added`` is a mask that is added
            to scores, where what is not far below zero counts; ``lengths``.
    """

    input: str
    form: str


def find_masks(graph: ir.Graph) -> list[Mask]:
    """Inputs that are masks or lengths, in the order of the inputs."""
    found = [_mask(value) or _lengths(value) for value in graph.inputs]
    return [mask for mask in found if mask is not None]


def _mask(value: ir.Value) -> Mask | None:
    if rank(value) != 2:
        return None
    ways = _ways(value)
    real = value.dtype == ir.DataType.FLOAT
    if len(ways) != 1:
        return None
    way = ways.pop()
    if way == _ADDED:
        return Mask(name_of(value), "added") if real else None
    return Mask(name_of(value), "ones" if way == _GROWS else "zeros")


def _ways(value: ir.Value) -> set[int]:
    """How the scores of every Softmax that it reaches follow it; empty for no mask."""
    found: set[int] = set()
    waiting, seen = deque([(value, _GROWS, False)]), {value}
    while waiting:
        here, sign, large = waiting.popleft()
        for use in here.uses():
            if use.node.op_type == "Softmax":
                found.add(sign if large else _ADDED)
            step = _through(use.node, use.idx, sign, large)
            if step is None:
                continue
            for output in use.node.outputs:
                if output not in seen:
                    seen.add(output)
                    waiting.append((output, *step))
    return found


def _through(node: ir.Node, index: int, sign: int, large: bool) -> tuple[int, bool] | None:
    """How what a node makes follows the mask; None where that ends."""
    op, others = node.op_type, [v for n, v in enumerate(node.inputs) if n != index]
    if op in _LAYOUT:
        return (sign, large) if index == 0 else None
    if op == "Not":
        return -sign, large
    if op in {"Equal", "Greater", "GreaterOrEqual", "Less"}:
        return _compared(op, index, others, sign, large)
    if op == "Where":
        return _chosen(node, index, sign, large)
    if op in {"Add", "Sub", "Mul", "And"}:
        return _computed(op, index, others, sign, large)
    return None


def _computed(
    op: str, index: int, others: list[ir.Value | None], sign: int, large: bool
) -> tuple[int, bool] | None:
    if op == "Sub":
        return (sign, large) if index == 0 else (-sign, large)
    if op != "Mul":
        return sign, large
    factor = constant(others[0])
    if factor is None:  # of two masks, one for rows and one for columns
        return sign, large
    number = float(np.asarray(factor, np.float64).ravel()[0]) if factor.size == 1 else 1.0
    return (sign if number > 0 else -sign), large or abs(number) > _LARGE


def _compared(
    op: str, index: int, others: list[ir.Value | None], sign: int, large: bool
) -> tuple[int, bool] | None:
    other = constant(others[0])
    if other is None or other.size != 1:
        return None
    number = float(np.asarray(other, np.float64).ravel()[0])
    if op == "Equal":
        return (sign if number else -sign), large
    return (sign if (op == "Less") == (index == 1) else -sign), large


def _chosen(node: ir.Node, index: int, sign: int, large: bool) -> tuple[int, bool] | None:
    """A Where that the mask decides puts a very small number on one side."""
    if index:
        return sign, large
    yes, no = (_least(node.inputs[side]) for side in (1, 2))
    if yes is not None and yes < -_LARGE:
        return -sign, True
    if no is not None and no < -_LARGE:
        return sign, True
    if yes is not None and no is not None and yes != no:
        return (sign if yes > no else -sign), large
    return None


def _least(value: ir.Value | None) -> float | None:
    value = _before_layout(value)
    array, node = constant(value), None if value is None else value.producer()
    if array is None and node is not None and node.op_type == "ConstantOfShape":
        filled = node.attributes.get("value")
        return 0.0 if filled is None else float(filled.value.numpy().ravel()[0])
    return None if array is None or not array.size else float(np.asarray(array, np.float64).min())


def _before_layout(value: ir.Value | None) -> ir.Value | None:
    """The tensor whose values these are; a constant is one."""
    while value is not None and constant(value) is None:
        node = value.producer()
        if node is None or node.op_type not in _LAYOUT:
            break
        value = node.inputs[0]
    return value


def _lengths(value: ir.Value) -> Mask | None:
    """An input of integers, one a sample, that a recurrent op takes for lengths."""
    shape = tuple(value.shape or ())
    whole = value.dtype in {ir.DataType.INT32, ir.DataType.INT64}
    if not whole or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        return None
    waiting, seen = [value], {value}
    while waiting:
        for use in waiting.pop().uses():
            if use.node.op_type in RECURRENT and use.idx == _LENGTHS:
                return Mask(name_of(value), "lengths")
            if _counts(use.node):
                return Mask(name_of(value), "lengths")
            if use.node.op_type in _LAYOUT and use.idx == 0:
                waiting += [o for o in use.node.outputs if o not in seen]
                seen.update(use.node.outputs)
    return None


def _counts(node: ir.Node) -> bool:
    """Whether it compares with positions: a Range, or the constant 0, 1, 2 ..."""
    if node.op_type not in {"Greater", "GreaterOrEqual", "Less", "LessOrEqual"}:
        return False
    return any(_positions(v) for v in node.inputs if v is not None)


def _positions(value: ir.Value) -> bool:
    source = _before_layout(value)
    array, node = constant(source), None if source is None else source.producer()
    if array is not None:
        return array.size > 1 and np.array_equal(np.ravel(array), np.arange(array.size))
    return node is not None and node.op_type == "Range"
