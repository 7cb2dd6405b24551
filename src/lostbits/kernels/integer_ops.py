"""Ops of the domain ``lostbits.kernels``: what no op of ONNX computes, in NumPy.

A graph that holds them is run piece by piece; see ``runtime.pieces``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.kernels.lines import between
from lostbits.kernels.rounding import Factor, scaled, whole
from lostbits.kernels.softmax import softmax
from lostbits.kernels.sums import Adder, added
from lostbits.kernels.windows import rows_of, spread, turned, windows

DOMAIN = "lostbits.kernels"
Attributes = Mapping[str, Any]
Arrays = Sequence[NDArray[Any]]


def attributes_of(node: ir.Node) -> dict[str, Any]:
    """Attributes as Python and NumPy have them."""
    return {name: _plain(each) for name, each in node.attributes.items()}


def _plain(attribute: ir.Attr) -> Any:
    value = attribute.value
    return value.numpy() if attribute.type == ir.AttributeType.TENSOR else value


def _sums(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """Sums of a Conv or a matrix product, how many left their range, of how many, the largest."""
    adder = Adder(own["bits"], bool(own["saturates"]), own["pairs"], own["distance"])
    x, w, bias = (*inputs, None)[:3]
    assert x is not None and w is not None
    w_zero = own["w_zero"].ravel().astype(np.int64)
    if own["kind"] == "ConvTranspose":
        x, w = spread(x, own, w.shape[2:]), turned(w, int(own.get("group", 1)))
        own = {name: value for name, value in own.items() if name not in ("pads", "strides")}
    if own["kind"] != "MatMul":
        return _convolved(adder, own, x, w, w_zero, bias)
    return _multiplied(adder, own, x, w, w_zero, bias)


def _convolved(
    adder: Adder,
    own: Attributes,
    x: NDArray[Any],
    w: NDArray[Any],
    w_zero: NDArray[np.int64],
    bias: NDArray[Any] | None,
) -> tuple[NDArray[Any], ...]:
    groups = int(own.get("group", 1))
    weights = rows_of(w, groups)
    rows = weights.shape[:2]
    zeros = np.broadcast_to(w_zero, (len(w),)).reshape(rows)
    start = None if bias is None else bias.astype(np.int64).reshape(rows)
    values: list[NDArray[Any]] = []
    left, count, most = np.zeros(len(w), np.int64), 0, 0
    for sample in x:  # one by one: the windows of an image are many times its size
        columns, shape = windows(sample, own, w.shape[2:], groups, int(own["x_zero"]))
        one = added(adder, weights, columns, (zeros, int(own["x_zero"])), start)
        values.append(one.values.reshape(len(w), *shape))
        left, count, most = left + one.left.ravel(), count + one.sums, max(most, one.most)
    total = np.stack(values) if values else np.zeros((0, len(w), *x.shape[2:]), np.int64)
    return total.astype(np.int32), left, np.asarray(count * len(w)), np.asarray(most)


def _multiplied(
    adder: Adder,
    own: Attributes,
    x: NDArray[Any],
    w: NDArray[Any],
    w_zero: NDArray[np.int64],
    bias: NDArray[Any] | None,
) -> tuple[NDArray[Any], ...]:
    """A matrix product; the channel is the last axis of the second factor."""
    if w.ndim == 2:
        columns, weights = x.reshape(1, -1, x.shape[-1]), w[None]
    else:
        lead = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
        columns = np.broadcast_to(x, (*lead, *x.shape[-2:])).reshape(-1, *x.shape[-2:])
        weights = np.broadcast_to(w, (*lead, *w.shape[-2:])).reshape(-1, *w.shape[-2:])
    turned = weights.transpose(0, 2, 1).astype(np.int64)
    zeros = np.broadcast_to(w_zero, turned.shape[:2])
    start = None if bias is None else np.broadcast_to(bias.astype(np.int64), turned.shape[:2])
    inputs = columns.transpose(0, 2, 1).astype(np.int64)
    one = added(adder, turned, inputs, (zeros, int(own["x_zero"])), start)
    values = one.values.transpose(0, 2, 1)
    lead = x.shape[:-1] if w.ndim == 2 else (*lead, x.shape[-2])
    total = values.reshape(*lead, w.shape[-1]).astype(np.int32)
    return total, one.left.sum(0), np.asarray(one.sums * one.left.size), np.asarray(one.most)


def _requantized(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """A sum times a factor a channel, rounded, moved by the zero point, limited."""
    (total,) = inputs
    real, rounding = own["real"], own["rounding"]
    if own["bits"]:
        steps = scaled(
            total.astype(np.int64), Factor.of(real, own["bits"]), rounding, twice=bool(own["twice"])
        )
    else:
        factor = np.minimum(real, np.finfo(np.float32).max).astype(np.float32)
        with np.errstate(over="ignore"):  # infinity is limited to the last code, as any large sum
            steps = whole(total.astype(np.float32) * factor, rounding)
    return (_coded(own, steps + own["zero"]),)


def _coded(own: Attributes, codes: NDArray[Any]) -> NDArray[Any]:
    kind = onnx.helper.tensor_dtype_to_np_dtype(own["to"])
    info = np.iinfo(kind)
    return np.asarray(np.clip(codes, info.min, info.max), kind)


_ROOM = 20  # bits that operands of an Add are shifted by, so that no factor loses any


def _sum(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """Two operands brought to twice the wider scale, added, and brought to that of the result.

    As TensorFlow Lite, kernels/internal/reference/add.h.
    """
    twice, bits, rounding = bool(own["twice"]), own["bits"], own["rounding"]
    wide = 2 * max(own["scales"])
    total = np.zeros((), np.int64)
    for codes, scale, zero in zip(inputs, own["scales"], own["zeros"], strict=True):
        moved = (codes.astype(np.int64) - zero) << _ROOM
        total = total + scaled(
            moved, Factor.of(np.asarray(scale / wide), bits), rounding, twice=twice
        )
    back = Factor.of(np.asarray(wide / own["scale"] / (1 << _ROOM)), bits)
    return (_coded(own, scaled(total, back, rounding, twice=twice) + own["zero"]),)


def _mean(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """Mean over space: the sum is scaled first, and then divided, halves away from zero.

    As TensorFlow Lite, kernels/internal/reference/integer_ops/mean.h.
    """
    (codes,) = inputs
    axes = tuple(range(2, codes.ndim))
    count = int(np.prod(codes.shape[2:]))
    total = (codes.astype(np.int64) - own["x_zero"]).sum(axes, keepdims=True)
    factor = Factor.of(np.asarray(own["real"]), own["bits"])
    total = scaled(total, factor, own["rounding"], twice=bool(own["twice"]))
    mean = np.sign(total) * ((np.abs(total) + count // 2) // max(count, 1))
    return (_coded(own, mean + own["zero"]),)


def _looked_up(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """Codes of 8 bits by a table that has an entry for each."""
    (codes,) = inputs
    return (own["table"][codes.astype(np.int64) - np.iinfo(codes.dtype).min],)


def _interpolated(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """Codes of 16 bits between the 513 entries of a table."""
    (codes,) = inputs
    own_type = np.iinfo(codes.dtype)
    place = codes.astype(np.int64) - own_type.min - (1 << 15)
    return (_coded(own, between(own["table"].astype(np.int64), place)),)


def _softmax(own: Attributes, inputs: Arrays) -> tuple[NDArray[Any], ...]:
    """Along one axis, in fixed point."""
    (codes,) = inputs
    moved = np.moveaxis(codes.astype(np.int64), own["axis"], -1)
    how = own["scale"], np.iinfo(codes.dtype).bits, own["rounding"]
    found = np.moveaxis(softmax(moved, *how, twice=bool(own["twice"])), -1, own["axis"])
    return (_coded(own, found + own["zero"]),)


OPS: Mapping[str, Callable[[Attributes, Arrays], tuple[NDArray[Any], ...]]] = {
    "Add": _sum,
    "Interpolate": _interpolated,
    "Lookup": _looked_up,
    "Mean": _mean,
    "Requantize": _requantized,
    "Softmax": _softmax,
    "Sums": _sums,
}
