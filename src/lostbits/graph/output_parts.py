"""The parts of an output: what a Concat at its end has put together.

Each operand is a part, wherever layout ops, slices and elementwise ops behind the Concat have
moved it. Operands that are made alike (the scales of a detector) count as one where each of them
is itself put together of the same parts (boxes and scores).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import LINEAR, constant, rank

Span = tuple[int, int | None]  # first index and end along an axis; None: to its end
Box = Mapping[int, Span]  # by axis; all of each axis that is not named
WHOLE: Box = {}
_NEAR = 4  # nodes between an operand and the layer that it comes from
_MOST = 32  # operands that are told apart: more of them are steps of a loop
_ELEMENTWISE = frozenset(
    {
        *("Add", "Clip", "Div", "HardSigmoid", "Identity", "Mul", "Pow", "Relu", "Sigmoid"),
        *("Sub", "Tanh", "Cast"),
    }
)
_RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def boxes(value: ir.Value) -> list[Box]:
    """Where the parts of ``value`` lie, in order; ``[WHOLE]`` where there is one."""
    try:
        found = _boxes(value)
    except RecursionError:  # a thousand ops that hand values on: nobody wrote such parts
        return [WHOLE]
    return found if 1 < len(found) <= _MOST else [WHOLE]


def text(box: Box) -> str:
    """Such as ``[:, 4:]``; empty for the whole."""
    if not box:
        return ""
    spans = [box.get(axis, (0, None)) for axis in range(max(box) + 1)]
    return f"[{', '.join(_slice(span) for span in spans)}]"


def _slice(span: Span) -> str:
    start, stop = span
    return f"{start or ''}:{'' if stop is None else stop}"


def operands(value: ir.Value) -> list[ir.Value]:
    """What a Concat at the end puts together; ``value`` itself where there is none."""
    node = _last(value)
    if node is None or node.op_type != "Concat" or len(node.inputs) > _MOST:
        return [value]
    return [operand for operand in node.inputs if operand is not None]


def _last(value: ir.Value) -> ir.Node | None:
    """The producer, before what only moves values."""
    node = value.producer()
    while node is not None and node.op_type in _RESHAPING | {"Transpose", "Identity", "Cast"}:
        assert node.inputs[0] is not None
        node = node.inputs[0].producer()
    return node


def _boxes(value: ir.Value) -> list[Box]:
    node, axes = value.producer(), rank(value)
    if node is None or axes is None:
        return [WHOLE]
    match node.op_type:
        case "Concat":
            return _put_together(node, axes)
        case "Transpose":
            return _transposed(node, axes)
        case "Slice" | "Split":
            return _cut(node, value)
    if node.op_type in _RESHAPING:
        return _reshaped(node, value)
    source = _data_of(node) if node.op_type in _ELEMENTWISE else None
    return [WHOLE] if source is None or rank(source) != axes else _boxes(source)


def _data_of(node: ir.Node) -> ir.Value | None:
    """The one input of an elementwise op that is no constant."""
    data = [v for v in node.inputs if v is not None and constant(v) is None]
    return data[0] if len(data) == 1 else None


def _put_together(node: ir.Node, axes: int) -> list[Box]:
    axis = node.attributes.get_int("axis", 0) % axes
    parts = [v for v in node.inputs if v is not None]
    inner = [_boxes(part) for part in parts]
    if len(parts) < 2 or len(parts) > _MOST:
        return inner[0] if parts and all(each == inner[0] for each in inner) else [WHOLE]
    same = all(each == inner[0] for each in inner) and not _along(inner[0], axis)
    if same and (len(inner[0]) > 1 or _alike(parts)):
        return inner[0]
    ends = _ends(parts, axis)
    if ends is None:
        return [WHOLE]
    pairs = zip(ends, inner, strict=True)
    return [_shifted(box, axis, span) for span, each in pairs for box in each]


def _alike(parts: Sequence[ir.Value]) -> bool:
    """Whether the same was made of each, at other places: scales of a detector, steps of a loop."""
    made = [_made_by(part) for part in parts]
    return made[0] is not None and all(each == made[0] for each in made)


def _made_by(value: ir.Value) -> tuple[str, int | None] | None:
    """The op at the end of an operand, and how wide the nearest layer before it is."""
    end = _last(value)
    node, steps = end, 0
    while node is not None and node.op_type not in LINEAR and steps < _NEAR:
        data = [v for v in node.inputs if v is not None and constant(v) is None]
        node, steps = (data[0].producer() if data else None), steps + 1
    if end is None or node is None or node.op_type not in LINEAR:
        return None
    weight = constant(node.inputs[1])
    first = node.op_type == "Conv" or bool(node.attributes.get_int("transB", 0))
    return end.op_type, None if weight is None or weight.ndim < 2 else weight.shape[1 - first]


def _along(found: Sequence[Box], axis: int) -> bool:
    return any(axis in box for box in found)


def _ends(parts: Sequence[ir.Value], axis: int) -> list[Span] | None:
    """Where each operand lies; None where that depends on the data."""
    sizes = [_size(part, axis) for part in parts]
    known = [size for size in sizes[:-1] if size is not None]
    if len(known) < len(sizes) - 1:
        return None
    starts = [int(start) for start in np.cumsum([0, *known])]
    return [*pairwise(starts), (starts[-1], None)]


def _size(value: ir.Value, axis: int) -> int | None:
    size = None if value.shape is None or axis >= len(value.shape) else value.shape[axis]
    return size if isinstance(size, int) else None


def _shifted(box: Box, axis: int, span: Span) -> Box:
    """A box of an operand that lies at ``span``."""
    if axis not in box:
        return {**box, axis: span}
    start, stop = box[axis]
    end = span[1] if stop is None else span[0] + stop
    return {**box, axis: (span[0] + start, end)}


def _transposed(node: ir.Node, axes: int) -> list[Box]:
    order = list(node.attributes.get_ints("perm", list(range(axes))[::-1]))
    assert node.inputs[0] is not None
    return [{order.index(a): span for a, span in box.items()} for box in _boxes(node.inputs[0])]


def _reshaped(node: ir.Node, value: ir.Value) -> list[Box]:
    """An axis stays where its size does, and that of all axes before it or behind it."""
    source = node.inputs[0]
    assert source is not None
    found = _boxes(source)
    moved = {axis: _place(source, value, axis) for box in found for axis in box}
    if None in moved.values():
        return [WHOLE]
    return [{moved[a]: span for a, span in box.items()} for box in found]  # type: ignore[misc]


def _place(source: ir.Value, value: ir.Value, axis: int) -> int | None:
    old, new = tuple(source.shape or ()), tuple(value.shape or ())
    for place, size in enumerate(new):
        if isinstance(size, int) and size == old[axis]:
            before, behind = (old[:axis], new[:place]), (old[axis + 1 :], new[place + 1 :])
            if _same_product(*before) or _same_product(*behind):
                return place
    return None


def _same_product(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether two runs of axes hold as many values, as far as that is known."""
    volume = _volume(one)
    return volume is not None and volume == _volume(other)


def _volume(sizes: Sequence[object]) -> tuple[int, list[str]] | None:
    """Product of the fixed sizes, and the names of the open ones; None where one has no name."""
    named = [size.value for size in sizes if isinstance(size, ir.SymbolicDim)]
    if not all(isinstance(name, str) for name in named):
        return None
    return math.prod(size for size in sizes if isinstance(size, int)), sorted(map(str, named))


def _cut(node: ir.Node, value: ir.Value) -> list[Box]:
    source = node.inputs[0]
    assert source is not None
    found, cuts = _boxes(source), _cuts(node, value, source)
    if cuts is None:
        return [WHOLE]
    kept = [_within(box, cuts) for box in found]
    return [box for box in kept if box is not None] or [WHOLE]


def _cuts(node: ir.Node, value: ir.Value, source: ir.Value) -> dict[int, Span] | None:
    axes = rank(source) or 0
    if node.op_type == "Split":
        axis = node.attributes.get_int("axis", 0) % max(axes, 1)
        number = next(n for n, output in enumerate(node.outputs) if output is value)
        ends = _ends([*node.outputs, *node.outputs[-1:]], axis)
        return None if ends is None else {axis: ends[number]}
    given = [None if v is None else constant(v) for v in node.inputs[1:]]
    if len(given) < 2 or any(v is None for v in given[:2]):
        return None
    starts, stops, *rest = ([] if v is None else v.ravel().tolist() for v in given)
    named = rest[0] if rest and rest[0] else list(range(len(starts)))
    if len(rest) > 1 and any(step != 1 for step in rest[1]):
        return None
    if not axes or any(end < 0 for end in (*starts, *stops)):
        return None
    return {a % axes: _span(*ends) for a, *ends in zip(named, starts, stops, strict=True)}


def _span(start: int, stop: int) -> Span:
    return (start, None if stop >= np.iinfo(np.int32).max else stop)


def _within(box: Box, cuts: Mapping[int, Span]) -> Box | None:
    """What a cut leaves of a box, counted from the cut's beginning; None for nothing."""
    left = dict(box)
    for axis in box.keys() & cuts.keys():
        (start, stop), (first, last) = box[axis], cuts[axis]
        low = max(start, first)
        high = min((end for end in (stop, last) if end is not None), default=None)
        if high is not None and high <= low:
            return None
        left[axis] = (low - first, None if high is None else high - first)
    return left
