"""Questions about an onnx_ir graph that several modules ask."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.large import kept

T = TypeVar("T", bound=Hashable)
# How many of an op's inputs, from the first, carry data; all of them where the op is not listed.
_DATA_INPUTS = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "MatMul": 2} | dict.fromkeys(
    ("Clip", "Dropout", "Expand", "Pad", "Reshape", "Resize", "Tile", "Upsample"), 1
)
RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def name_of(value: ir.Value) -> str:
    """The tensor's name; normalised graphs have one for every value."""
    assert value.name is not None
    return value.name


def node_name(node: ir.Node) -> str:
    """The node's name; unique in normalised graphs."""
    assert node.name is not None
    return node.name


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The array of a constant value, or None when it is computed or absent."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def values_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    """Inputs, constants and results of nodes."""
    values = {name_of(v): v for v in (*graph.inputs, *graph.initializers.values())}
    return values | {o.name: o for node in graph for o in node.outputs if o.name}


def is_float(value: ir.Value) -> bool:
    """Whether the value is a float32 tensor, the only kind that is quantized."""
    return value.dtype == ir.DataType.FLOAT


def rank(value: ir.Value) -> int | None:
    """Number of axes, or None when shape inference could not tell."""
    return None if value.shape is None else len(value.shape)


def channels(value: ir.Value, axis: int | None) -> int | None:
    """Size of an axis, 1 for none; None when shape inference could not tell."""
    if axis is None:
        return 1
    shape = value.shape
    size = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    return size if isinstance(size, int) else None


def opset(model: ir.Model) -> int:
    """Version of the default ONNX domain."""
    return model.opset_imports.get("", model.opset_imports.get("ai.onnx", 0))


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads ``value``, or None when several do or it leaves the graph."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def reached(first: Iterable[T], onward: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """All that can be come to from the first, each once.

    In a loop: graphs are thousands of nodes deep, where recursion ends.
    """
    waiting, seen = deque(first), set[T]()
    while waiting:
        each = waiting.popleft()
        if each not in seen:
            seen.add(each)
            yield each
            waiting += onward(each)


def data_inputs(node: ir.Node) -> Iterator[tuple[int, ir.Value]]:
    """The float inputs that carry data rather than settings, with their positions.

    Bias is not among them; the weight of a linear op is.
    """
    limit = _DATA_INPUTS.get(node.op_type, len(node.inputs))
    for index, value in enumerate(node.inputs[:limit]):
        if value is not None and is_float(value):
            yield index, value


def add_initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """A new constant of the graph; a large one of a large graph goes into a file."""
    array = np.ascontiguousarray(array) if array.ndim else array
    tensor = ir.Tensor(kept(graph, array), name=name)
    kind, shape = ir.TensorType(tensor.dtype), ir.Shape(array.shape)
    value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
    graph.register_initializer(value)
    return value
