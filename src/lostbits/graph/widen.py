"""A network in float32, whatever floats its file computes in.

Every value of float16 and bfloat16 is one of float32, so that nothing is lost; of a double, what
float32 does not hold is. Doubles that only help to compute shapes stay: float32 counts to 2^24.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from lostbits.graph.ends import FLOATS
from lostbits.graph.inference import infer
from lostbits.graph.large import kept
from lostbits.graph.queries import LINEAR

_TYPES = frozenset(
    {"dtype", "output_datatype", "output_dtype", "softmax_precision", "stash_type", "to"}
)
_SETTINGS_OF_CASTS = ("saturate", "round_mode")


def widened(model: ir.Model) -> tuple[ir.Model, tuple[str, ...]]:
    """The model in float32, and which other floats it had; itself where it had none.

    Casts between floats become Identity. Names stay.

    Args:
        model: Without functions, its constants initializers.
    """
    if FLOATS.isdisjoint(map(ir.DataType, _types(model.graph))):
        return model, ()
    copy = model.clone()
    infer(copy)
    left = frozenset() if _computes_in_doubles(copy.graph) else frozenset({ir.DataType.DOUBLE})
    others = frozenset(map(int, FLOATS - left))
    found = sorted({_name(t) for t in _types(copy.graph) if t in others})
    if not found:
        return model, ()
    for node in copy.graph.all_nodes():
        _widen_node(node, others)
    for graph in (copy.graph, *copy.graph.subgraphs()):
        for value in _values(graph):
            _widen_value(graph, value, others)
    return copy, tuple(found)


def _name(kind: int) -> str:
    return ir.DataType(kind).name.lower()


def _computes_in_doubles(graph: ir.Graph) -> bool:
    ends = [*graph.inputs, *graph.outputs]
    ends += [o for n in graph.all_nodes() if n.op_type in LINEAR for o in n.outputs]
    return any(value.dtype == ir.DataType.DOUBLE for value in ends)


def _types(graph: ir.Graph) -> Iterator[int]:
    """Types of all values, as numbers of ONNX, and those that nodes name."""
    for each in (graph, *graph.subgraphs()):
        yield from (int(v.dtype) for v in _values(each) if v.dtype is not None)
    for node in graph.all_nodes():
        for name, attribute in node.attributes.items():
            if attribute.type is ir.AttributeType.TENSOR:
                yield int(attribute.as_tensor().dtype)
            elif _is_type(name, attribute):
                yield attribute.as_int()


def _is_type(name: str, attribute: ir.Attr) -> bool:
    return name in _TYPES and attribute.type is ir.AttributeType.INT


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    yield from (output for node in graph for output in node.outputs)


def _widen_value(graph: ir.Graph, value: ir.Value, others: frozenset[int]) -> None:
    if value.dtype is None or int(value.dtype) not in others:
        return
    if value.const_value is not None and value.name in graph.initializers:
        array = kept(graph, _as_float32(value.const_value))
        value.const_value = ir.tensor(array, name=value.name)
    value.type = ir.TensorType(ir.DataType.FLOAT)


def _as_float32(tensor: ir.TensorProtocol) -> np.ndarray:
    """Finite values stay finite: the lowest double is a mask, not an infinity."""
    array = tensor.numpy()
    with np.errstate(over="ignore"):
        wide, most = array.astype(np.float32), np.finfo(np.float32).max
    return np.where(np.isinf(wide) & np.isfinite(array), np.copysign(most, wide), wide)


def _widen_node(node: ir.Node, others: frozenset[int]) -> None:
    if node.op_type in ("Cast", "CastLike") and _between_floats(node, others):
        node.op_type = "Identity"
        for name in ("to", *_SETTINGS_OF_CASTS):
            node.attributes.pop(name, None)
        node.resize_inputs(1)
    for name, attribute in list(node.attributes.items()):
        if attribute.type is ir.AttributeType.TENSOR:
            tensor = attribute.as_tensor()
            if int(tensor.dtype) in others:
                node.attributes[name] = ir.AttrTensor(name, ir.tensor(_as_float32(tensor)))
        elif _is_type(name, attribute) and attribute.as_int() in others:
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _between_floats(node: ir.Node, others: frozenset[int]) -> bool:
    """Whether a Cast has floats before and behind it, one of which is another than float32."""
    floats = others | {int(ir.DataType.FLOAT)}
    ends = (node.inputs[0], node.outputs[0])
    return all(v is not None and v.dtype is not None and int(v.dtype) in floats for v in ends)
