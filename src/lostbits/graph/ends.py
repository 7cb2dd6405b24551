"""The inputs and outputs of a graph as its file declares them.

Inference makes their shapes more exact, or gives an axis another name, which is good to know
inside; but programs that load a model rely on what it has declared.
"""

import onnx_ir as ir

from lostbits.graph.queries import name_of

_DECLARED = "lostbits.declared"  # copies of a graph hand on what it notes under its keys


def declare_ends(graph: ir.Graph) -> None:
    """Note the shapes that inputs and outputs have now as those that they are declared with."""
    ends = (*graph.inputs, *graph.outputs)
    graph.meta[_DECLARED] = {name_of(v): v.shape for v in ends if v.name}


def with_declared_ends(model: ir.Model) -> ir.Model:
    """A copy whose inputs and outputs have the shapes that they were declared with."""
    copy = model.clone()
    declared = copy.graph.meta.get(_DECLARED, {})
    for value in (*copy.graph.inputs, *copy.graph.outputs):
        if value.name in declared:
            value.shape = declared[value.name]
    return copy
