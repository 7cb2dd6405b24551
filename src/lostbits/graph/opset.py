"""A graph in the words of opset 13, the first whose own quantizers have channels.

ONNX Runtime's rewriting puts such quantizers, and reductions of integers, into graphs of any opset,
and then refuses them. Between 11 and 13 nothing changed that cannot be said exactly: settings became
inputs, and a Softmax no longer lays the axes from its own one on in a row. One setting of Resize,
tf_half_pixel_for_nn, is deprecated in 13 and still understood.
"""

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import add_initializer, name_of, node_name, opset, rank

_LEAST = 13
_IR_VERSION = 7  # of the format of files, which came with that opset
_INPUTS = {
    "Dropout": ("ratio", np.float32),
    "ReduceSum": ("axes", np.int64),
    "Split": ("split", np.int64),
    "Squeeze": ("axes", np.int64),
    "Unsqueeze": ("axes", np.int64),
}
_ROWS = frozenset({"Hardmax", "LogSoftmax", "Softmax"})


def in_opset_13(model: ir.Model) -> ir.Model:
    """The model, or a copy of it at opset 13 where its own is older; both compute the same.

    Nodes keep their names and the positions of their inputs, so that sites still belong to them.
    """
    if opset(model) >= _LEAST:
        return model
    copy = model.clone()
    for node in list(copy.graph):
        if node.domain == "":
            _restate(copy.graph, node)
    copy.opset_imports.pop("ai.onnx", None)
    copy.opset_imports[""] = _LEAST
    copy.ir_version = max(copy.ir_version, _IR_VERSION)
    return copy


def _restate(graph: ir.Graph, node: ir.Node) -> None:
    if node.op_type in _INPUTS:
        _hand_in(graph, node)
    elif node.op_type in _ROWS:
        _lay_in_rows(graph, node)


def _hand_in(graph: ir.Graph, node: ir.Node) -> None:
    """Make an input of a setting."""
    key, dtype = _INPUTS[node.op_type]
    setting = node.attributes.pop(key, None)
    if setting is not None:
        name = f"{node_name(node)}__{key}"
        value = add_initializer(graph, name, np.asarray(setting.value, dtype))
        node.resize_inputs(2)
        node.replace_input_with(1, value)


def _lay_in_rows(graph: ir.Graph, node: ir.Node) -> None:
    """Lay out what was laid out in rows, where that is not the last axis alone."""
    (source,), (result,) = node.inputs, node.outputs
    assert source is not None
    axis = node.attributes.get_int("axis", 1)
    node.attributes["axis"] = ir.AttrInt64("axis", -1)
    if axis == -1 or axis + 1 == rank(source):
        return
    name, old = node_name(node), name_of(result)
    node.name = f"{name}__rows"
    rows = ir.node("Flatten", [source], {"axis": axis}, name=name)
    shape = ir.node("Shape", [source], name=f"{name}__shape")
    back = ir.node("Reshape", [result, shape.outputs[0]], name=f"{name}__back")
    for made in (rows, shape, back):
        made.outputs[0].name = f"{made.name}__out"
    graph.insert_before(node, [rows, shape])
    graph.insert_after(node, back)
    node.replace_input_with(0, rows.outputs[0])
    _put_behind(result, back, old)


def _put_behind(result: ir.Value, back: ir.Node, name: str) -> None:
    """Let all others read what ``back`` makes of a result, under the result's name."""
    made = back.outputs[0]
    made.type, made.shape = result.type, result.shape
    result.replace_all_uses_with(made, replace_graph_outputs=True)
    back.replace_input_with(0, result)
    result.name, result.shape = f"{name}__rows", None
    made.name = name
