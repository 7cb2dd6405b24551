"""Control flow that stays: each node in a function of its own, so that all it reads is its input.

A graph inside a node reads tensors of the graph around it without a word. In a function it cannot:
what was read so becomes an input. Every other module then sees an op like any other that nobody has
a rule for, which runs as it is, in float.
"""

import onnx_ir as ir

from lostbits.graph.branches import CONTROL_FLOW
from lostbits.graph.queries import name_of, node_name, opset

DOMAIN = "lostbits.control_flow"
_IR_VERSION = 8  # of the format of files, which brought functions


def enclose(model: ir.Model) -> list[str]:
    """Put control flow into functions; returns the names of its nodes."""
    found = [node for node in model.graph if node.op_type in CONTROL_FLOW]
    for node in found:
        function = _function(node, opset(model))
        model.functions[function.identifier()] = function
    if found:
        model.opset_imports[DOMAIN] = 1
        model.ir_version = max(model.ir_version, _IR_VERSION)
    return [node.name for node in found if node.name]


def opened_up(model: ir.Model) -> ir.Model:
    """The model, or a copy in which control flow is no function any more."""
    if all(function.domain != DOMAIN for function in model.functions.values()):
        return model
    copy = model.clone()
    for call in [node for node in copy.graph if node.domain == DOMAIN]:
        _open(copy, call)
    copy.opset_imports.pop(DOMAIN, None)
    return copy


def _open(model: ir.Model, call: ir.Node) -> None:
    """Put the node in the place of the call; no pass of others keeps its name."""
    function = model.functions.pop(call.op_identifier())
    (node,) = function
    function.graph.outputs.clear()
    function.remove(node)
    for inner, value in zip(function.inputs, call.inputs, strict=True):
        assert value is not None
        inner.replace_all_uses_with(value)
    model.graph.insert_before(call, node)
    _take_over(call, node)
    model.graph.remove(call, safe=True)


def _take_over(old: ir.Node, new: ir.Node) -> None:
    """Let the readers of a node read another, which gets its names."""
    for value, made in zip(old.outputs, new.outputs, strict=True):
        name, made.type, made.shape = value.name, value.type, value.shape
        value.replace_all_uses_with(made, replace_graph_outputs=True)
        value.name, made.name = None, name


def _function(node: ir.Node, version: int) -> ir.Function:
    """The function of a node, which calls it afterwards."""
    graph = node.graph
    assert graph is not None
    read, inside = _read(node), {node, *_inside(node)}
    call = ir.Node(DOMAIN, node_name(node), read, num_outputs=len(node.outputs), name=node.name)
    graph.insert_before(node, call)
    inputs = [ir.Value(name=name_of(v), type=v.type, shape=v.shape) for v in read]
    for old, new in zip(read, inputs, strict=True):
        for use in [u for u in old.uses() if u.node in inside]:
            use.node.replace_input_with(use.idx, new)
    names = [output.name for output in node.outputs]
    _take_over(node, call)
    graph.remove(node)
    for output, name in zip(node.outputs, names, strict=True):
        output.name = name
    body = ir.Graph(inputs, node.outputs, nodes=[node], opset_imports={"": version})
    return ir.Function(DOMAIN, node_name(node), graph=body, attributes=[])


def _read(node: ir.Node) -> list[ir.Value]:
    """Values of the graph around a node that it, or a node inside it, reads."""
    values = [v for n in (node, *_inside(node)) for v in n.inputs]
    return list(dict.fromkeys(v for v in values if v is not None and v.graph is node.graph))


def _inside(node: ir.Node) -> list[ir.Node]:
    """The nodes of the graphs inside a node, and inside these."""
    own = [a.as_graph() for a in node.attributes.values() if a.type is ir.AttributeType.GRAPH]
    return [inner for graph in own for inner in graph.all_nodes()]
