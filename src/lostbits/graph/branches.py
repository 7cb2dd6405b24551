"""Ifs whose branch is known: the branch takes the place of the node.

Exporters write them where they did not know a shape (a squeeze of an axis that may be 1). What is
declared of the shapes often settles the condition; where it does not, the samples can, see
``open_conditions``.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.graph.fold import fold_constants
from lostbits.graph.inference import infer
from lostbits.graph.known_shapes import fold_shapes
from lostbits.graph.queries import constant, name_of, node_name
from lostbits.system.logs import silenced

CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_SHAPES = frozenset({"Shape", "Size"})
_FLOATS = frozenset(
    {None, ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)
Conditions = Mapping[str, bool]  # by node
NOTHING_KNOWN: Conditions = MappingProxyType({})


def inline_branches(model: ir.Model, conditions: Conditions) -> list[str]:
    """Put the branch of each If whose condition is constant, or is given, in its place.

    Args:
        model: Is changed, and only if it has control flow.
        conditions: Of nodes, by name.

    Returns:
        Names of the nodes.
    """
    inlined = list[str]()
    while has_control_flow(model.graph):
        infer(model)
        fold_shapes(model)
        fold_constants(model)
        known = [(n, c) for n in _ifs(model.graph) if (c := _condition(n, conditions)) is not None]
        if not known:
            break
        for node, condition in known:
            inlined.append(node_name(node))
            _inline(node, *_branches(node, condition))
        with silenced("onnx_ir"):
            common.NameFixPass()(model)
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return inlined


def has_control_flow(graph: ir.Graph) -> bool:
    """Whether a node of the graph has graphs inside it."""
    return any(node.op_type in CONTROL_FLOW for node in graph)


def open_conditions(graph: ir.Graph) -> dict[str, ir.Value]:
    """Conditions that follow from shapes and from inputs of integers, by the node of the If."""
    found = {node_name(n): n.inputs[0] for n in _ifs(graph)}
    return {name: v for name, v in found.items() if v is not None and _of_shapes(v)}


def _ifs(graph: ir.Graph) -> Iterator[ir.Node]:
    return (node for node in graph if node.op_type == "If")


def _condition(node: ir.Node, conditions: Conditions) -> bool | None:
    array = constant(node.inputs[0])
    if array is not None:
        return bool(np.all(array))
    return conditions.get(node_name(node))


def _of_shapes(value: ir.Value) -> bool:
    """Whether nothing but shapes, constants and inputs that are no floats lead to a value."""
    waiting, seen = [value], set[ir.Value]()
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if value in seen or constant(value) is not None or (node and node.op_type in _SHAPES):
            continue
        seen.add(value)
        if node is None and (not value.is_graph_input() or value.dtype in _FLOATS):
            return False
        if node is not None and node.op_type in CONTROL_FLOW:
            return False
        waiting += [v for v in (() if node is None else node.inputs) if v is not None]
    return True


def _branches(node: ir.Node, condition: bool) -> tuple[ir.Graph, ir.Graph]:
    """The one that is taken, and the other."""
    names = ("then_branch", "else_branch") if condition else ("else_branch", "then_branch")
    return node.attributes[names[0]].as_graph(), node.attributes[names[1]].as_graph()


def _inline(node: ir.Node, branch: ir.Graph, other: ir.Graph) -> None:
    graph = node.graph
    assert graph is not None
    for dropped in other.all_nodes():  # or they would count as readers
        dropped.resize_inputs(0)
    results, nodes = list(branch.outputs), list(branch)
    branch.outputs.clear()
    branch.remove(nodes)
    _free_names(graph, branch, nodes, node_name(node))
    for value in list(branch.initializers.values()):
        del branch.initializers[name_of(value)]
        graph.register_initializer(value)
    graph.insert_before(node, nodes)
    for output, result in zip(node.outputs, results, strict=True):
        if output.name:
            _hand_over(graph, node, output, result)
    graph.remove(node, safe=True)


def _free_names(graph: ir.Graph, branch: ir.Graph, nodes: list[ir.Node], prefix: str) -> None:
    """Rename what has a name that the outer graph, or the other branch, uses as well."""
    taken = {name_of(v) for v in (*graph.inputs, *graph.initializers.values())}
    taken |= {o.name for n in graph for o in n.outputs if o.name}
    made = [o for n in nodes for o in n.outputs if o.name]
    for value in (*branch.initializers.values(), *made):
        if value.name in taken:
            value.name = f"{prefix}__{value.name}"
    names = {n.name for n in graph}
    for each in nodes:
        if not each.name or each.name in names:
            each.name = f"{prefix}__{each.name or each.op_type}"


def _hand_over(graph: ir.Graph, node: ir.Node, output: ir.Value, result: ir.Value) -> None:
    """Let an Identity give what the branch gives under the name of the node's output."""
    name = name_of(output)
    identity = ir.node("Identity", [result], name=f"{node_name(node)}__{name}")
    made = identity.outputs[0]
    made.type, made.shape = output.type, None
    graph.insert_before(node, identity)
    output.name = f"{name}__branch"
    output.replace_all_uses_with(made, replace_graph_outputs=True)
    made.name = name
