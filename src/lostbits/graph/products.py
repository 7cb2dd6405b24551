"""How many products of weights and values a network computes."""

import math

import onnx_ir as ir

from lostbits.graph.queries import LINEAR, constant


def products(graph: ir.Graph) -> int:
    """Products of one sample, in layers with constant weights; axes of unknown size count as 1."""
    return sum(_of_layer(node) for node in graph if node.op_type in LINEAR)


def _of_layer(node: ir.Node) -> int:
    weights = [array for v in node.inputs[:2] if (array := constant(v)) is not None]
    shape = node.outputs[0].shape if node.op_type != "ConvTranspose" else _shape(node)
    if len(weights) != 1 or shape is None:
        return 0
    values = math.prod(size if isinstance(size, int) else 1 for size in shape)
    return weights[0].size * values // max(_rows(node, weights[0].shape), 1)


def _shape(node: ir.Node) -> ir.Shape | None:
    """A transposed convolution computes as many products for each value that it reads."""
    value = node.inputs[0]
    return None if value is None else value.shape


def _rows(node: ir.Node, shape: tuple[int, ...]) -> int:
    """Values of an output position, or of one that a transposed convolution reads."""
    if node.op_type in ("Conv", "ConvTranspose"):
        return shape[0]
    transposed = node.op_type == "Gemm" and bool(node.attributes.get_int("transB", False))
    return shape[0] if transposed else shape[-1]
