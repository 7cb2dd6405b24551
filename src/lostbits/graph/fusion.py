"""Which nodes a platform runs as one, so that nothing is rounded between them."""

import onnx_ir as ir

from lostbits.graph.queries import (
    LINEAR,
    constant,
    data_inputs,
    name_of,
    node_name,
    sole_consumer,
)
from lostbits.graph.site import Use
from lostbits.target import Placement


def fused_tensors(graph: ir.Graph, rules: Placement) -> set[str]:
    """Tensors that only pass from one node of a fused group to the next."""
    return {name_of(node.outputs[0]) for node in graph if node.outputs and _fuses(node, rules)}


def _fuses(node: ir.Node, rules: Placement) -> bool:
    """Whether nothing is rounded between ``node`` and its only reader."""
    reader = sole_consumer(node.outputs[0])
    if reader is None:
        return False
    if bias_of_matmul(node) is not None:
        return True
    fusing = node.op_type in rules.fusing_ops or _adds_bias(node)
    return fusing and reader.op_type in rules.fused_activations and _constant_bounds(reader)


def _constant_bounds(node: ir.Node) -> bool:
    return all(v is None or constant(v) is not None for v in node.inputs[1:])


def bias_of_matmul(node: ir.Node) -> Use | None:
    """The input of the Add that gives a MatMul with constant weight its vector bias."""
    reader = sole_consumer(node.outputs[0])
    if node.op_type != "MatMul" or reader is None or reader.op_type != "Add":
        return None
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim < 2:
        return None
    for index, value in enumerate(reader.inputs):
        array = constant(value)
        if array is not None and array.shape == weight.shape[-1:]:
            return Use(node_name(reader), index)
    return None


def _adds_bias(node: ir.Node) -> bool:
    """Whether ``node`` is the Add behind a MatMul, and so part of a linear layer."""
    producers = [v.producer() for v in node.inputs if v is not None]
    return any(p is not None and bias_of_matmul(p) is not None for p in producers)


def residual_edges(graph: ir.Graph) -> set[Use]:
    """The inputs of Adds that a convolution feeds directly, one for each Add.

    Where both inputs come from a linear layer, the later one is on the longer path, the backbone,
    and is the one that the platform fuses with the Add.
    """
    position = {node_name(node): number for number, node in enumerate(graph)}
    edges = set()
    for add in graph:
        if add.op_type == "Add":
            feeding = [
                (position[node_name(producer)], index)
                for index, operand in data_inputs(add)
                if (producer := operand.producer()) is not None
                and producer.op_type in LINEAR
                and sole_consumer(operand) is add
            ]
            if feeding:
                edges.add(Use(node_name(add), max(feeding)[1]))
    return edges
