"""Along which axis of a tensor the channels lie, by the ops that make and read it.

A convolution has them on axis 1, a layer over tokens and a recurrent one on the last; a product of
two activations has heads on axis 1, or, of three axes, none: what it adds up over or lays out are
positions. Between such ops, others keep the axis or move it. Positions in time, and axes whose
length differs from sample to sample, are no channels.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

import onnx_ir as ir

from lostbits.graph.queries import RECURRENT, constant, rank

_SECOND = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GroupNormalization",
        "InstanceNormalization",
        "LRN",
        "MaxPool",
    }
)
_LAST = frozenset({"Gemm", "LayerNormalization", "RMSNormalization"})
_IN_TIME = frozenset({"DFT", "STFT"})  # what they read are samples of a signal
# The axes of what they read are those of what they make.
_KEEPS = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "Clip",
        "Concat",
        "Div",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "Pad",
        "Pow",
        "Reciprocal",
        "Relu",
        "Selu",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "Where",
    ]
)
_HEADS = 4  # axes of a product that has one of heads
_MOST = 64  # tensors that are looked at for one axis
_NOWHERE: Final = -1
Axes = tuple[int, ...]


def channel_axis(value: ir.Value) -> int | None:
    """The axis of the channels, where it has the same length in every sample.

    Statistics per channel are merged over batches, so an axis of dynamic length will not do.
    """
    axes = rank(value)
    if axes is None or axes < 2 or value.shape is None:
        return None
    found = _nearest(value, axes)
    axis = 1 if found is None else found
    return axis if axis > 0 and isinstance(value.shape[axis], int) else None


def _nearest(value: ir.Value, axes: int) -> int | None:
    """The axis by the nearest op that knows; -1 where that has none, None without such an op."""
    waiting, seen = deque([(value, tuple(range(axes)))]), {value}
    while waiting and len(seen) < _MOST:
        here, origin = waiting.popleft()
        known = [axis for axis in _told(here, len(origin)) if axis is not None]
        if known:
            axis = max(known)  # tokens where two layers disagree
            return _NOWHERE if axis == _NOWHERE else origin[axis]
        for there, moved in _beside(here, origin):
            if there not in seen and rank(there) == len(moved):
                seen.add(there)
                waiting.append((there, moved))
    return None


def _told(value: ir.Value, axes: int) -> Iterator[int | None]:
    """What its producer and its readers know."""
    node = value.producer()
    if node is not None:
        yield _of_output(node, value, axes)
    for use in value.uses():
        yield _of_input(use.node, use.idx, axes)


def _of_input(node: ir.Node, index: int, axes: int) -> int | None:
    if node.op_type in _SECOND and index == 0:
        return 1
    if node.op_type in _LAST and index == 0:
        return axes - 1
    if node.op_type in RECURRENT and index == 0:
        return axes - 1
    if node.op_type in _IN_TIME and index == 0:
        return _NOWHERE
    return _of_product(node, axes, index) if node.op_type == "MatMul" else None


def _of_output(node: ir.Node, value: ir.Value, axes: int) -> int | None:
    if node.op_type in _SECOND and value is node.outputs[0]:
        return 1
    if node.op_type in _LAST | RECURRENT:
        return axes - 1
    return _of_product(node, axes, None) if node.op_type == "MatMul" else None


def _of_product(node: ir.Node, axes: int, index: int | None) -> int:
    """Of a layer over tokens the last axis; of two activations their heads.

    Without heads, what is multiplied with a transposed tensor makes scores, of positions with
    positions; what is multiplied with another adds up over positions.
    """
    if any(constant(v) is not None for v in node.inputs):
        return axes - 1
    if axes >= _HEADS:
        return 1
    right = node.inputs[1]
    maker = None if right is None else right.producer()
    if maker is not None and maker.op_type == "Transpose":
        return {0: axes - 1, 1: axes - 2}.get(-1 if index is None else index, _NOWHERE)
    return _NOWHERE if index == 0 else axes - 1


def _beside(value: ir.Value, origin: Axes) -> Iterator[tuple[ir.Value, Axes]]:
    """Tensors one node away that have the same axes, or the same in another order."""
    node = value.producer()
    for source in () if node is None else node.inputs:
        if node is not None and source is not None and constant(source) is None:
            yield from _moved(node, source, origin, forwards=False)
    for use in value.uses():
        for made in use.node.outputs:
            yield from _moved(use.node, made, origin, forwards=True)
        if use.node.op_type in _KEEPS:
            yield from ((v, origin) for v in use.node.inputs if v and constant(v) is None)


def _moved(
    node: ir.Node, there: ir.Value, origin: Axes, *, forwards: bool
) -> Iterator[tuple[ir.Value, Axes]]:
    if node.op_type in _KEEPS:
        yield there, origin
    if node.op_type in ("Squeeze", "Unsqueeze"):
        yield from _changed(node, there, origin, forwards == (node.op_type == "Unsqueeze"))
    order = node.attributes.get_ints("perm", []) if node.op_type == "Transpose" else []
    if len(order) == len(origin):
        yield there, tuple(origin[i if forwards else order.index(n)] for n, i in enumerate(order))


def _changed(
    node: ir.Node, there: ir.Value, origin: Axes, more: bool
) -> Iterator[tuple[ir.Value, Axes]]:
    """With axes of length 1 more, which are none of the origin's, or without them."""
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = node.attributes.get_ints("axes", []) if given is None else given.ravel().tolist()
    count = len(origin) + (len(axes) if more else 0)
    chosen = {int(axis) % count for axis in axes if count}
    if more and chosen:
        old = iter(origin)
        yield there, tuple(_NOWHERE if i in chosen else next(old) for i in range(count))
    elif chosen:
        yield there, tuple(axis for i, axis in enumerate(origin) if i not in chosen)
