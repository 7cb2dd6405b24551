"""Factors of channels, of both signs, right before a quantizer: OpenVINO computes them wrongly."""

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import constant, name_of


def signed_before_quantizers(graph: ir.Graph) -> list[str]:
    """Tensors that a BatchNormalization or a Mul of both signs gives to a QuantizeLinear.

    OpenVINO 2026.4 moves the factor behind the pair, where the ends of the range change places for
    channels with a negative one.
    """
    return [
        name_of(node.outputs[0])
        for node in graph
        if _is_signed(node)
        and any(u.node.op_type == "QuantizeLinear" for u in node.outputs[0].uses())
    ]


def _is_signed(node: ir.Node) -> bool:
    if node.op_type == "BatchNormalization":
        factors = [constant(node.inputs[1])]
    elif node.op_type == "Mul":
        factors = [constant(value) for value in node.inputs]
    else:
        return False
    known = [f.astype(np.float64) for f in factors if f is not None and f.size > 1]
    return any(bool((f > 0).any() and (f < 0).any()) for f in known)
