"""The removal of nodes that only hand on what they read: Q/DQ pairs, Dropout, Identity."""

import onnx_ir as ir

from lostbits.graph.queries import constant, name_of


def replace(value: ir.Value, replacement: ir.Value) -> None:
    """Let every reader of ``value``, the graph's outputs included, read ``replacement``."""
    value.replace_all_uses_with(replacement, replace_graph_outputs=True)


def strip_quantizers(model: ir.Model) -> int:
    """Remove QuantizeLinear -> DequantizeLinear pairs; returns how many.

    What stays is the float network that the file stands for. Integer weights behind a lone
    DequantizeLinear are constants and are folded.
    """
    stripped = 0
    for node in list(model.graph):
        if node.op_type != "DequantizeLinear":
            continue
        quantizer = node.inputs[0].producer() if node.inputs[0] is not None else None
        if quantizer is not None and quantizer.op_type == "QuantizeLinear":
            assert quantizer.inputs[0] is not None
            _bypass(model.graph, node, quantizer.inputs[0])
            stripped += 1
    return stripped


def remove_dropouts(model: ir.Model) -> int:
    """Bypass Dropout (inference) and Identity nodes; returns how many."""
    removed = 0
    for node in list(model.graph):
        if node.op_type in ("Dropout", "Identity") and idle(node) and _only_first_read(node):
            assert node.inputs[0] is not None
            removed += _bypass(model.graph, node, node.inputs[0])
    return removed


def idle(node: ir.Node) -> bool:
    """Whether a Dropout or Identity hands on its first input, as in inference."""
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if training is None:
        return True
    flag = constant(training)
    return flag is not None and not bool(flag)


def _only_first_read(node: ir.Node) -> bool:
    return not any(output.uses() or output.is_graph_output() for output in node.outputs[1:])


def _bypass(graph: ir.Graph, node: ir.Node, source: ir.Value) -> bool:
    """Let the readers of ``node`` read ``source``; an output of the graph keeps its name.

    Where both ends have names that must stay (an input or constant that is an output, or two
    outputs of one value), an Identity takes the node's place; returns whether none had to.
    """
    output = node.outputs[0]
    if output.is_graph_output():
        if source.producer() is None or source.is_graph_output():
            _put_identity(graph, node, source)
            return False
        name = name_of(output)
        output.name, source.name = f"{name}__bypassed", name
    replace(output, source)
    graph.remove(node, safe=True)
    return True


def _put_identity(graph: ir.Graph, node: ir.Node, source: ir.Value) -> None:
    if node.op_type == "Identity":
        return
    identity = ir.node("Identity", [source], name=node.name)
    made, output = identity.outputs[0], node.outputs[0]
    name = name_of(output)
    made.type, made.shape = output.type, output.shape
    output.name, made.name = f"{name}__bypassed", name
    graph.insert_before(node, identity)
    replace(output, made)
    graph.remove(node, safe=True)
