"""Layers of a Q/DQ graph whose sums can leave their range, from codes alone."""

from typing import Literal, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.inference import infer
from lostbits.graph.queries import LINEAR, constant, name_of, node_name
from lostbits.kernels.bounds import Reach, pair_reach, sum_reach, takes_pairs
from lostbits.kernels.onnxruntime import Codes, Writer, coded
from lostbits.kernels.sums import Integers
from lostbits.target import Arithmetic


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


def layer_reaches(model: ir.Model, own: Arithmetic) -> dict[str, LayerReach]:
    """Every layer with constant codes, by the name of the node; none for fitted kernels."""
    if own.fitted is not None:
        return {}
    copy = model.clone()
    infer(copy)
    found = (_reach(node, own) for node in copy.graph if node.op_type in LINEAR)
    return {each.node: each for each in found if each is not None}


def groups_of(node: ir.Node) -> int:
    """Of a Conv; 0 for a matrix product."""
    return node.attributes.get_int("group", 1) if node.op_type == "Conv" else 0


def _reach(node: ir.Node, own: Arithmetic) -> LayerReach | None:
    write = Writer(node)
    x, w, bias = (*(None if v is None else coded(write, v) for v in node.inputs), None)[:3]
    codes = None if w is None else constant(w.value)
    if x is None or w is None or codes is None or x.scale.size > 1 or codes.ndim < 2:
        return None
    if node.op_type == "ConvTranspose":
        return None
    weights, groups = codes.astype(np.int64), groups_of(node)
    if node.attributes.get_int("transB", False):
        weights = weights.T
    told = node_name(node), name_of(w.value)
    if takes_pairs(own, (_kind(x), _kind(w)), weights.shape, groups):
        return LayerReach(*told, "pairs", pair_reach(weights, x.ends, own, groups))
    rows = weights if groups else np.moveaxis(weights, -1, 0)
    rows = rows.reshape(len(rows), -1) - w.zero.reshape(-1, 1)
    zero = int(x.zero.reshape(()))
    ends = x.ends[0] - zero, x.ends[1] - zero
    return LayerReach(*told, "sums", sum_reach(rows, ends, _biases(bias, len(rows)), own.accumulator_bits))


def _kind(codes: Codes) -> str:
    return np.dtype(codes.value.dtype.numpy()).name if codes.value.dtype else ""


def _biases(bias: Codes | None, channels: int) -> Integers | None:
    values: NDArray[np.generic] | None = None if bias is None else constant(bias.value)
    fits = values is not None and values.size == channels
    return values.astype(np.int64).ravel() if fits and values is not None else None
