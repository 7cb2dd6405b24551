"""How channels travel through the ops between two linear layers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant
from lostbits.language import Message, say

HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu"})
_POOLS = frozenset({"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"})
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
Dims = tuple[int | None, ...]


@final
@dataclass(frozen=True)
class Spot:
    """Where a tensor has its channels: along ``axis``, as ``(outer, channel, inner)``."""

    axis: int
    outer: int = 1
    inner: int = 1

    @property
    def alone(self) -> bool:
        """Whether the axis holds the channels and nothing else."""
        return self.outer == self.inner == 1

    def spread(self, factors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors of every entry along the axis, of which each channel may have several."""
        return np.tile(np.repeat(factors, self.inner), self.outer)


Step = Callable[[ir.Node, Spot], Spot | Message]


def through(node: ir.Node, spot: Spot) -> Spot | Message:
    """Where the channels are after ``node``, or why a positive factor per channel cannot pass."""
    step = _STEPS.get(node.op_type)
    return say("skipped.between", op=node.op_type) if step is None else step(node, spot)


def dims(value: ir.Value | None) -> Dims | None:
    """Extents of a tensor, None where one is not fixed; None without a known rank."""
    if value is None or value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def zero_pads(node: ir.Node) -> bool:
    """Whether a border of zeros comes into the op's sums or its output."""
    if node.op_type == "Pad":
        return node.attributes.get_string("mode", "constant") == "constant"
    if node.op_type == "AveragePool" and not node.attributes.get_int("count_include_pad", 0):
        return False
    if node.op_type not in ("AveragePool", "Conv", "ConvTranspose"):
        return False
    # Taps that fall outside, with or without pads, are missing in a transposed convolution's sums.
    transposed = node.op_type == "ConvTranspose"
    automatic = node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    return transposed or automatic or any(node.attributes.get_ints("pads", ()))


def _elementwise(node: ir.Node, spot: Spot) -> Spot | Message:
    return spot


def _pool(node: ir.Node, spot: Spot) -> Spot | Message:
    if any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return say("skipped.indices", op=node.op_type)
    return spot if spot == Spot(1) else say("skipped.over_channels", op=node.op_type)


def _pad(node: ir.Node, spot: Spot) -> Spot | Message:
    pads, value, axes = (_parameter(node, index) for index in (1, 2, 3))
    if pads is None or axes is not None:
        return say("skipped.pad_computed")
    if value is not None and value.size and np.any(value):
        return say("skipped.pad_value")
    ends = pads.reshape(2, -1)[:, spot.axis]
    return say("skipped.pad_channels") if ends.any() else spot


def _reduce(node: ir.Node, spot: Spot) -> Spot | Message:
    given = _parameter(node, 1)  # an attribute before opset 18
    axes = given if given is not None else np.asarray(node.attributes.get_ints("axes", ()))
    before = dims(node.inputs[0])
    if not axes.size or before is None:
        return say("skipped.all_axes", op=node.op_type)
    over = {int(axis) % len(before) for axis in axes.reshape(-1)}
    if spot.axis in over:
        return say("skipped.over_channels", op=node.op_type)
    kept = bool(node.attributes.get_int("keepdims", 1))
    return spot if kept else replace(spot, axis=spot.axis - sum(a < spot.axis for a in over))


def _transpose(node: ir.Node, spot: Spot) -> Spot | Message:
    before = dims(node.inputs[0])
    if before is None:
        return say("skipped.transpose")
    order = node.attributes.get_ints("perm", tuple(reversed(range(len(before)))))
    return replace(spot, axis=list(order).index(spot.axis))


def _reshape(node: ir.Node, spot: Spot) -> Spot | Message:
    """Flattened behind the batch axis, split elsewhere, or the last axis left as it is."""
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    unclear = say("skipped.mixes", op=node.op_type)
    if before is None or after is None:
        return unclear
    last = spot.axis == len(before) - 1
    if last and before[-1] is not None and after[-1:] == before[-1:] and spot.axis:
        return replace(spot, axis=len(after) - 1)
    rest, outside, behind = (_product(before[s]) for s in _around(spot.axis))
    if rest is None or outside is None or behind is None or not spot.axis:
        return unclear
    # A computed shape is taken for a flattening too: the matrix behind must have as many columns.
    if len(after) == 2 and after[1] in (rest, None):
        return Spot(1, outside * spot.outer, behind * spot.inner)
    if spot.axis == 1 and after[1:2] == before[1:2] and _product(after[2:]) == behind:
        return spot
    return unclear


def _around(axis: int) -> tuple[slice, slice, slice]:
    """All axes but the batch, those before ``axis``, those behind it."""
    return slice(1, None), slice(1, axis), slice(axis + 1, None)


def _resize(node: ir.Node, spot: Spot) -> Spot | Message:
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    cropped = node.attributes.get_string("coordinate_transformation_mode", "") == (
        "tf_crop_and_resize"
    )
    if before is None or after is None or cropped:
        return say("skipped.extent", op=node.op_type)
    same = before[spot.axis] is not None and before[spot.axis] == after[spot.axis]
    return spot if same else say("skipped.over_channels", op=node.op_type)


def _parameter(node: ir.Node, index: int) -> NDArray[np.generic] | None:
    return constant(node.inputs[index]) if index < len(node.inputs) else None


def _product(extents: Dims) -> int | None:
    known = [d for d in extents if d is not None]
    return math.prod(known) if len(known) == len(extents) else None


_STEPS: Mapping[str, Step] = {
    **dict.fromkeys(HOMOGENEOUS | {"Clip", "Identity", "Dropout"}, _elementwise),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_RESHAPES, _reshape),
    **dict.fromkeys(("ReduceMean", "ReduceMax"), _reduce),
    "Pad": _pad,
    "Resize": _resize,
    "Transpose": _transpose,
}
