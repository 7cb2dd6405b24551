"""Constants that nodes turn or reshape: the values behind them, and where their channels lie."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant
from lostbits.grid import along

_TURNS = frozenset({"Reshape", "Transpose"})
Array = NDArray[Any]


def turns(node: ir.Node | None) -> bool:
    """Whether the node gives the values of its first input in another order or form."""
    return node is not None and node.op_type in _TURNS and not node.domain


def turned(values: Array, node: ir.Node) -> Array | None:
    """What such a node makes of ``values``; None where it does not fit them or has no constants."""
    try:
        if node.op_type == "Transpose":
            return values.transpose(node.attributes.get_ints("perm", None))
        return values.reshape(_sizes(values, node))
    except ValueError:
        return None


def _sizes(values: Array, node: ir.Node) -> list[int]:
    """The new form; a zero stands for the size that was there."""
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None:
        raise ValueError("the form is computed")
    old = [*values.shape, *([0] * given.size)]
    kept = not node.attributes.get_int("allowzero", 0)
    sizes = [int(size) for size in given.ravel()]
    return [old[i] if kept and size == 0 else size for i, size in enumerate(sizes)]


def turned_axis(shape: tuple[int, ...], axis: int, node: ir.Node) -> int | None:
    """Where the channels of ``axis`` lie behind such a node; None where they lie along no axis."""
    count = np.arange(shape[axis])
    marks = turned(np.broadcast_to(along(count, len(shape), axis), shape), node)
    if marks is None:
        return None
    fits = (i for i, size in enumerate(marks.shape) if size == count.size)
    return next((i for i in fits if (marks == along(count, marks.ndim, i)).all()), None)
