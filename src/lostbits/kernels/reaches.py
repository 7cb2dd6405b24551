"""Layers of a quantized graph whose sums can leave their range, from codes alone."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.inference import infer
from lostbits.graph.queries import constant, name_of, node_name
from lostbits.kernels.bounds import Reach, pair_reach, sum_reach, takes_pairs
from lostbits.kernels.onnxruntime import Codes, Writer, coded
from lostbits.kernels.sums import Integers
from lostbits.kernels.windows import turned
from lostbits.target import Arithmetic

_BETWEEN_QUANTIZERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Inputs of ops on codes: input, weight, their zero points, and the bias where there is one.
_ON_CODES: Mapping[str, tuple[int, int, int, int, int | None]] = {
    "ConvInteger": (0, 1, 2, 3, None),
    "MatMulInteger": (0, 1, 2, 3, None),
    "QGemm": (0, 3, 2, 5, 6),
    "QLinearConv": (0, 3, 2, 5, 8),
    "QLinearMatMul": (0, 3, 2, 5, None),
}


class LayerReach(NamedTuple):
    """How far sums of one layer can reach.

    Attributes:
        node: Its name.
        weight: Name of the codes of its weight.
        kind: What is bounded: pairs of products in int16, or whole sums.
        reach: The bound.
    """

    node: str
    weight: str
    kind: Literal["pairs", "sums"]
    reach: Reach


class _Layer(NamedTuple):
    """What a layer multiplies.

    Attributes:
        weight: Name of its codes.
        codes: Of the weight; output channels first for a Conv, else last.
        zeros: Of the weight.
        bias: Codes; None without.
        input_type: Of the input's codes.
        input_zero: Their zero point.
    """

    weight: str
    codes: NDArray[np.generic]
    zeros: Integers
    bias: NDArray[np.generic] | None
    input_type: np.dtype[np.generic]
    input_zero: int


def layer_reaches(model: ir.Model, own: Arithmetic) -> dict[str, LayerReach]:
    """Every layer with constant codes, by the name of the node; none for fitted kernels."""
    if own.fitted is not None:
        return {}
    copy = model.clone()
    infer(copy)
    nodes = [n for n in copy.graph if n.op_type in own.layers or n.op_type in _ON_CODES]
    pairs = ((node, _layer(node)) for node in nodes)
    found = [_reach(node, layer, own) for node, layer in pairs if layer is not None]
    return {each.node: each for each in found}


def groups_of(node: ir.Node) -> int:
    """Of a Conv; 0 for a matrix product."""
    return node.attributes.get_int("group", 1) if "Conv" in node.op_type else 0


def _layer(node: ir.Node) -> _Layer | None:
    if node.op_type in _BETWEEN_QUANTIZERS:
        return _between_quantizers(node)
    return _on_codes(node) if node.op_type in _ON_CODES else None


def _between_quantizers(node: ir.Node) -> _Layer | None:
    write = Writer(node)
    x, w, bias = (*(None if v is None else coded(write, v) for v in node.inputs), None)[:3]
    codes = None if w is None else constant(w.value)
    if x is None or w is None or codes is None or x.scale.size > 1 or codes.ndim < 2:
        return None
    if x.value.dtype is None:
        return None
    added = None if bias is None else constant(bias.value)
    zeros = w.zero.ravel()
    if node.op_type == "ConvTranspose":
        codes, zeros = turned(codes, groups_of(node)), np.tile(zeros, groups_of(node))
        zeros = zeros if zeros.size == len(codes) else zeros[:1]
    told = name_of(w.value), codes, zeros, added
    return _Layer(*told, x.value.dtype.numpy(), _scalar(x))


def _scalar(codes: Codes) -> int:
    return int(codes.zero.ravel()[0])


def _on_codes(node: ir.Node) -> _Layer | None:
    inputs = (*node.inputs, *[None] * 9)
    x, w, x_zero, w_zero, bias = (None if i is None else inputs[i] for i in _ON_CODES[node.op_type])
    codes, zero, zeros = constant(w), constant(x_zero), constant(w_zero)
    kind = None if x is None else x.dtype
    if zero is not None:
        kind = ir.DataType.from_numpy(zero.dtype)
    if w is None or codes is None or codes.ndim < 2 or kind is None:
        return None
    whole = np.zeros(1, np.int64) if zeros is None else zeros.astype(np.int64).ravel()
    told = name_of(w), codes, whole, constant(bias)
    return _Layer(*told, kind.numpy(), 0 if zero is None else int(zero.ravel()[0]))


def _reach(node: ir.Node, layer: _Layer, own: Arithmetic) -> LayerReach:
    weights, groups = layer.codes.astype(np.int64), groups_of(node)
    if node.attributes.get_int("transB", False):
        weights = weights.T
    told, info = (node_name(node), layer.weight), np.iinfo(layer.input_type.name)
    ends = int(info.min), int(info.max)
    kinds = layer.input_type.name, layer.codes.dtype.name
    if node.op_type != "ConvTranspose" and takes_pairs(own, kinds, weights.shape, groups):
        return LayerReach(*told, "pairs", pair_reach(weights, ends, own, groups))
    rows = weights if groups else np.moveaxis(weights, -1, 0)
    rows = rows.reshape(len(rows), -1) - layer.zeros.reshape(-1, 1)
    moved = ends[0] - layer.input_zero, ends[1] - layer.input_zero
    start = _start(layer.bias, len(rows))
    return LayerReach(*told, "sums", sum_reach(rows, moved, start, own.accumulator_bits))


def _start(bias: NDArray[np.generic] | None, channels: int) -> Integers | None:
    fits = bias is not None and bias.size == channels and bias.dtype.kind in "iu"
    return bias.astype(np.int64).ravel() if fits and bias is not None else None
