"""What a file claims beyond its nodes and constants, and what can be checked without them."""

import onnx
from onnx import helper

from lostbits.graph.tensors import tensors_of

_INFERRED = ("", "ai.onnx")  # domains whose ops ONNX can infer types and shapes of


_MICROSOFT = "com.microsoft"
# ONNX Runtime has them in the standard's domain, in every version of it; and since which version
# the standard has them.
_RUNTIME_OPS = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 1 << 30}


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
    _set_aside(drawn)
    known = {info.name for info in model.graph.input}
    constants = [(t.name, t.data_type, t.dims) for t in model.graph.initializer]
    constants += [
        (s.values.name, s.values.data_type, s.dims) for s in model.graph.sparse_initializer
    ]
    for name, kind, dims in constants:
        if name not in known:
            drawn.graph.input.append(helper.make_tensor_value_info(name, kind, list(dims)))
    for tensor in filter(_is_external, tensors_of(drawn)):  # of nodes; they would be looked for
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.dims[:] = [0]
    return drawn


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _set_aside(drawn: onnx.ModelProto) -> None:
    """Move ops that only ONNX Runtime has at this version out of the domain that is checked."""
    version = max((o.version for o in drawn.opset_import if o.domain in _INFERRED), default=1)
    for node in drawn.graph.node:
        since = _RUNTIME_OPS.get(node.op_type, 0)
        if node.domain in _INFERRED and version < since:
            node.domain = _MICROSOFT
    if all(o.domain != _MICROSOFT for o in drawn.opset_import):
        drawn.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))


def _copy(source: onnx.ModelProto | onnx.GraphProto, copy: object, left_out: set[str]) -> None:
    for field, value in source.ListFields():
        if field.name in left_out:
            continue
        if isinstance(value, str | bytes | int):
            setattr(copy, field.name, value)
        else:
            getattr(copy, field.name).MergeFrom(value)
