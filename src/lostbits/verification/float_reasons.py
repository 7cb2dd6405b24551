"""What of a Q/DQ file keeps a linear layer from a kernel of integers."""

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import LINEAR, constant, name_of, node_name, reached
from lostbits.language import Message, say

_SAME = 1e-4  # relative difference of two scales that are the same


def float_reasons(graph: ir.Graph, floats: Collection[str]) -> dict[str, Message]:
    """Why layers stay in float, by the name of the node; those whose reason is known.

    Args:
        graph: Of the file.
        floats: Names of nodes that a runtime left in float.
    """
    layers = (n for n in graph if n.op_type in LINEAR and node_name(n) in floats)
    found = ((node_name(node), next(_reasons(node), None)) for node in layers)
    return {name: why for name, why in found if why is not None}


def _reasons(node: ir.Node) -> Iterator[Message]:
    steps = [_scale(value) for value in node.inputs[:2]]
    for value, step in zip(node.inputs[:2], steps, strict=True):
        if step is None:
            yield say("in_float.operand", tensor=repr("" if value is None else name_of(value)))
    bias = _scale(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None and steps[0] is not None and steps[1] is not None:
        ratio = _ratio(bias, steps[0] * steps[1])
        if abs(np.log(ratio)) > _SAME:
            tensor = repr(name_of(node.inputs[2]))  # type: ignore[arg-type]
            yield say("in_float.bias", tensor=tensor, times=f"{ratio:.3g}")
    if not any(_rounds(use.node) for use in node.outputs[0].uses()):
        yield say("in_float.result", tensor=repr(name_of(node.outputs[0])))


def _scale(value: ir.Value | None) -> NDArray[np.float64] | None:
    """Of what is dequantized to a value; None for what is not."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear":
        return None
    scale = constant(node.inputs[1])
    return None if scale is None else scale.astype(np.float64).ravel()


def _ratio(bias: NDArray[np.float64], product: NDArray[np.float64]) -> float:
    """The scale of a bias over that of its products, of the channel where it is farthest from 1."""
    if bias.size != product.size and 1 not in (bias.size, product.size):
        return 1.0  # scales of groups, which say nothing without their axis
    # A scale that is no positive number is a doubt of its own, and no ratio.
    ratios = np.divide(bias, product, out=np.ones(max(bias.size, product.size)), where=product > 0)
    ratios = ratios[ratios > 0]
    return float(ratios[np.argmax(np.abs(np.log(ratios)))]) if ratios.size else 1.0


def _rounds(node: ir.Node) -> bool:
    """Whether a reader is a quantizer, or a limit that a kernel may take over, before one."""
    return any(n.op_type == "QuantizeLinear" for n in reached([node], _behind_limit))


def _behind_limit(node: ir.Node) -> list[ir.Node]:
    return [u.node for u in node.outputs[0].uses()] if node.op_type in ("Clip", "Relu") else []
