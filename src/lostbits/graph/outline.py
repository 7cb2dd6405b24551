"""What a file claims beyond its nodes and constants, and what can be checked without them."""

import onnx
from onnx import helper

_INFERRED = ("", "ai.onnx")  # domains whose ops ONNX can infer types and shapes of


# ONNX Runtime has them in the standard's domain, in every version of it.
_RUNTIME_OPS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization"})


def forget(model: onnx.ModelProto) -> None:
    """Drop what nothing of ours reads, and what a file says of tensors that can be inferred.

    Tools that change a graph leave the types and shapes inside it as they were. ONNX Runtime
    ignores them; an inference that starts from them fails, and then nothing is known at all.
    """
    model.ClearField("training_info")
    functions = {(f.domain, f.name) for f in model.functions}
    unknown = {
        name
        for node in model.graph.node
        if node.domain not in _INFERRED and (node.domain, node.op_type) not in functions
        for name in node.output
    }
    kept = [info for info in model.graph.value_info if info.name in unknown]
    copies = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in kept]
    del model.graph.value_info[:]
    model.graph.value_info.extend(copies)
    for function in model.functions:
        function.ClearField("value_info")


def outline(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model for ONNX's checker: constants are inputs in it, so that it is small.

    What the checker would say of constants, graph.tensors does; it would also open external data.
    """
    drawn = onnx.ModelProto()
    _copy(model, drawn, {"graph"})
    _copy(model.graph, drawn.graph, {"initializer", "sparse_initializer"})
    for node in drawn.graph.node:
        if node.op_type in _RUNTIME_OPS and node.domain in _INFERRED:
            node.domain = "com.microsoft"  # which the checker knows nothing of
    known = {info.name for info in model.graph.input}
    constants = [(t.name, t.data_type, t.dims) for t in model.graph.initializer]
    constants += [
        (s.values.name, s.values.data_type, s.dims) for s in model.graph.sparse_initializer
    ]
    for name, kind, dims in constants:
        if name not in known:
            drawn.graph.input.append(helper.make_tensor_value_info(name, kind, list(dims)))
    return drawn


def _copy(source: onnx.ModelProto | onnx.GraphProto, copy: object, left_out: set[str]) -> None:
    for field, value in source.ListFields():
        if field.name in left_out:
            continue
        if isinstance(value, str | bytes | int):
            setattr(copy, field.name, value)
        else:
            getattr(copy, field.name).MergeFrom(value)
