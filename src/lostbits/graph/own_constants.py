"""A node given a constant of its own, and a node that does another's work; names stay."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import add_initializer, name_of, node_name
from lostbits.graph.remove_idle_nodes import replace

Vector = NDArray[np.float64]


def set_input(
    graph: ir.Graph, node: ir.Node, index: int, array: Vector, name: str | None = None
) -> None:
    """Give ``node`` a constant of its own, under the old name where nobody else reads that one.

    Where it had none, under ``name``, of the constant that becomes it, if nobody else reads that.
    """
    old = node.inputs[index] if index < len(node.inputs) else None
    known = graph.initializers.get(name) if name is not None else None
    if old is None and known is not None and len(known.uses()) == 1 and not known.is_graph_output():
        chosen = str(name)  # not renamed: its tensor is that of the user's model, too
        graph.initializers.pop(chosen)
    elif old is None:
        chosen = f"{name_of(node.outputs[0])}.bias"
    elif len(old.uses()) > 1 or old.is_graph_output():
        chosen = f"{name_of(old)}.{node_name(node)}"
    else:
        chosen = name_of(old)
        graph.initializers.pop(chosen)
    value = add_initializer(graph, chosen, np.ascontiguousarray(array, np.float32))
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def take_over(node: ir.Node, source: ir.Node) -> None:
    """Let ``source`` produce what ``node`` produced, name included, and drop ``node``."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    value, replacement = node.outputs[0], source.outputs[0]
    name = name_of(value)
    value.name = f"{name}__folded"
    replacement.name = name
    if value.type is not None:
        replacement.type, replacement.shape = value.type, value.shape
    replace(value, replacement)
    graph.remove(node, safe=True)
