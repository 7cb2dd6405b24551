"""Sparse constants, made dense: no platform keeps them sparse, and onnx_ir leaves them out."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from lostbits.errors import ModelError
from lostbits.system.memory import excess


def densify(model: onnx.ModelProto) -> None:
    """Turn every sparse initializer, and every sparse constant among the nodes, into a dense one.

    Raises:
        ModelError: M002 for a constant that its indices do not fit, or that memory does not hold.
    """
    for graph in _graphs(model.graph):
        graph.initializer.extend(map(_dense, graph.sparse_initializer))
        graph.ClearField("sparse_initializer")
    for attribute in _attributes(model):
        if attribute.HasField("sparse_tensor"):
            attribute.t.CopyFrom(_dense(attribute.sparse_tensor))
            attribute.ClearField("sparse_tensor")
            attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for attribute in (a for node in graph.node for a in node.attribute):
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _graphs(inner)


def _attributes(model: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    """Those of every node."""
    bodies: list[Iterable[onnx.NodeProto]] = [graph.node for graph in _graphs(model.graph)]
    bodies += [function.node for function in model.functions]
    return (a for body in bodies for node in body for a in node.attribute)


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    name, values = sparse.values.name, numpy_helper.to_array(sparse.values)
    size = values.dtype.itemsize
    for length in sparse.dims:
        size *= length
    flaw = "a negative length" if min(sparse.dims, default=0) < 0 else excess(size)
    if flaw or values.dtype.kind not in "fiub":
        raise _unfit(name, flaw or f"values of type {values.dtype}")
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    try:
        dense.flat[_positions(sparse)] = values
    except (ValueError, IndexError) as error:
        raise _unfit(name, str(error)) from error
    return numpy_helper.from_array(dense, name)


def _positions(sparse: onnx.SparseTensorProto) -> NDArray[np.int64]:
    """Where the values go in the dense tensor, its axes taken one after the other."""
    indices, shape = numpy_helper.to_array(sparse.indices), tuple(sparse.dims)
    flat = np.ravel_multi_index(tuple(indices.T), shape) if indices.ndim == 2 else indices
    if len(flat) != math.prod(sparse.values.dims):
        raise ValueError(f"{len(flat)} places for {math.prod(sparse.values.dims)} values")
    if len(flat) and not 0 <= flat.min() <= flat.max() < math.prod(shape):
        raise ValueError(f"places {flat.min()} to {flat.max()} of {math.prod(shape)}")
    return np.asarray(flat)


def _unfit(name: str, found: str) -> ModelError:
    return ModelError("M002.sparse", f"sparse tensor {name!r}", found)
