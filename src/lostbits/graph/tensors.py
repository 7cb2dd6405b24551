"""Constants as a file has them: where they are in a model, and whether their data fit their shape.

Libraries look at that when the data are used, each in words of its own, or not at all: data that
are longer than the shape pass ONNX's checker.
"""

import math
from collections.abc import Iterable, Iterator

import onnx
import onnx_ir as ir

from lostbits.system.memory import excess

_MOST_AXES = 64  # of numpy
_FIELDS = (
    "float_data",
    "int32_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "string_data",
)


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant: initializers, dense or sparse, and attributes, inner graphs and functions."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_attributes(function.attribute_proto)
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield from _own(attribute)
        graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
        for graph in graphs:
            yield from _of_graph(graph)


def _own(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    yield from attribute.tensors
    if attribute.HasField("t"):
        yield attribute.t
    single = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for sparse in (*attribute.sparse_tensors, *single):
        yield from (sparse.values, sparse.indices)


def byte_count(tensor: onnx.TensorProto) -> int:
    """Bytes that the values take, packed where several share a byte; for texts their number."""
    kind = ir.DataType(tensor.data_type)
    size = math.prod(tensor.dims)
    return size if kind is ir.DataType.STRING else -(-size * kind.bitwidth // 8)


def misshapen(tensor: onnx.TensorProto) -> str:
    """What is wrong with type and shape of a constant, if anything; its data are not looked at."""
    try:
        ir.DataType(tensor.data_type).numpy()
    except (ValueError, TypeError):
        return f"element type {tensor.data_type}, which there is not"
    if len(tensor.dims) > _MOST_AXES or any(d < 0 for d in tensor.dims):
        return f"shape {list(tensor.dims[: _MOST_AXES + 1])}"
    # An empty array may have other axes of any length, of which numpy takes the product too.
    least = math.prod(d for d in tensor.dims if d) * ir.DataType(tensor.data_type).numpy().itemsize
    return excess(least) or ""


def unfit(tensor: onnx.TensorProto) -> str:
    """What is wrong with the data in the file itself of a constant of sound shape, if anything."""
    filled = {name: len(getattr(tensor, name)) for name in _FIELDS if getattr(tensor, name)}
    if tensor.HasField("raw_data"):
        if ir.DataType(tensor.data_type) is ir.DataType.STRING:
            return "texts as raw data"
        filled["raw_data"] = len(tensor.raw_data)
        wanted = {"raw_data": byte_count(tensor)}
    else:
        wanted = {n: c for n, c in (_field(tensor),) if c}
    return "" if filled == wanted else f"{_counts(filled)} where the shape takes {_counts(wanted)}"


def _field(tensor: onnx.TensorProto) -> tuple[str, int]:
    """The field that holds values of the tensor's type, and how many entries it must have."""
    kind, size = ir.DataType(tensor.data_type), math.prod(tensor.dims)
    name = onnx.helper.tensor_dtype_to_field(tensor.data_type)
    if kind in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        return name, 2 * size
    return name, byte_count(tensor) if kind.bitwidth in (2, 4) else size


def _counts(fields: dict[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in fields.items()) or "no data"
