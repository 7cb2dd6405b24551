"""The inputs and outputs of a graph as its file declares them.

Inference makes their shapes more exact, or gives an axis another name, nobody wants to measure
an output twice, and work is done in float32; but programs that load a model rely on what it has
declared.
"""

from collections.abc import Mapping

import onnx_ir as ir

from lostbits.graph.queries import name_of

FLOATS = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE})

_DECLARED = "lostbits.declared"  # copies of a graph hand on what it notes under its keys


def declare_ends(graph: ir.Graph) -> None:
    """Note names, shapes and types of inputs and outputs, and leave each output once."""
    outputs = [name_of(v) for v in graph.outputs]
    ends = (*graph.inputs, *graph.outputs)
    shapes, types = {name_of(v): v.shape for v in ends}, {name_of(v): v.dtype for v in ends}
    graph.meta[_DECLARED] = outputs, shapes, types
    _set_outputs(graph, list(dict.fromkeys(graph.outputs)))


def with_declared_ends(model: ir.Model) -> ir.Model:
    """A copy whose inputs and outputs are those that were noted, and others behind them."""
    copy = model.clone()
    outputs, shapes, types = copy.graph.meta.get(_DECLARED, ((), {}, {}))
    known = {name_of(v): v for v in copy.graph.outputs}
    if known.keys() >= set(outputs):
        more = [value for name, value in known.items() if name not in outputs]
        _set_outputs(copy.graph, [*(known[name] for name in outputs), *more])
    for value in (*copy.graph.inputs, *copy.graph.outputs):
        if value.name in shapes:
            value.shape = shapes[value.name]
    _declare_types(copy.graph, types)
    return copy


def _declare_types(graph: ir.Graph, types: Mapping[str, ir.DataType | None]) -> None:
    """Put a Cast where an input or output was a float of another type than work is done in."""
    for value in list(graph.inputs):
        kind = types.get(name_of(value))
        if kind in FLOATS and value.dtype == ir.DataType.FLOAT:
            _widen_input(graph, value, kind)
    for index, value in enumerate(graph.outputs):
        kind = types.get(name_of(value))
        if kind in FLOATS and value.dtype == ir.DataType.FLOAT:
            graph.outputs[index] = _narrowed(graph, value, kind)


def _widen_input(graph: ir.Graph, value: ir.Value, kind: ir.DataType) -> None:
    cast = _cast(value, ir.DataType.FLOAT, f"{value.name}__in_float32")
    value.replace_all_uses_with(cast.outputs[0], replace_graph_outputs=True)
    cast.replace_input_with(0, value)
    value.type = ir.TensorType(kind)
    graph.insert_before(graph[0], cast) if len(graph) else graph.append(cast)


def _narrowed(graph: ir.Graph, value: ir.Value, kind: ir.DataType) -> ir.Value:
    """What the graph gives out in place of a value, whose name it gets."""
    name = name_of(value)
    value.name = f"{name}__in_float32"
    cast = _cast(value, kind, name)
    graph.append(cast)
    return cast.outputs[0]


def _cast(value: ir.Value, kind: ir.DataType, name: str) -> ir.Node:
    cast = ir.node("Cast", [value], {"to": int(kind)}, name=f"{name}__cast")
    made = cast.outputs[0]
    made.name, made.type, made.shape = name, ir.TensorType(kind), value.shape
    return cast


def _set_outputs(graph: ir.Graph, values: list[ir.Value]) -> None:
    graph.outputs.clear()
    graph.outputs.extend(values)
