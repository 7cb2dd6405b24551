"""The inputs and outputs of a graph as its file declares them.

Inference makes their shapes more exact, or gives an axis another name, and nobody wants to measure
an output twice; but programs that load a model rely on what it has declared.
"""

import onnx_ir as ir

from lostbits.graph.queries import name_of

_DECLARED = "lostbits.declared"  # copies of a graph hand on what it notes under its keys


def declare_ends(graph: ir.Graph) -> None:
    """Note names and shapes of inputs and outputs, and leave each output once."""
    outputs = [name_of(v) for v in graph.outputs]
    shapes = {name_of(v): v.shape for v in (*graph.inputs, *graph.outputs)}
    graph.meta[_DECLARED] = outputs, shapes
    _set_outputs(graph, list(dict.fromkeys(graph.outputs)))


def with_declared_ends(model: ir.Model) -> ir.Model:
    """A copy whose inputs and outputs are those that were noted, and others behind them."""
    copy = model.clone()
    outputs, shapes = copy.graph.meta.get(_DECLARED, ((), {}))
    known = {name_of(v): v for v in copy.graph.outputs}
    if known.keys() >= set(outputs):
        more = [value for name, value in known.items() if name not in outputs]
        _set_outputs(copy.graph, [*(known[name] for name in outputs), *more])
    for value in (*copy.graph.inputs, *copy.graph.outputs):
        if value.name in shapes:
            value.shape = shapes[value.name]
    return copy


def _set_outputs(graph: ir.Graph, values: list[ir.Value]) -> None:
    graph.outputs.clear()
    graph.outputs.extend(values)
