"""Large models: their large constants lie in files, from loading to running.

Whether a model is one depends on its constants alone, not on who runs it nor on how much memory
there is: a model's figures must be the same everywhere, and mapped constants take other kernels.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.system.arrays_on_disk import in_bytes, spilled

LARGE_MODEL = 256 << 20  # bytes of all constants from which on the large ones lie in files
LARGE = 1 << 20  # bytes: smaller constants stay in memory

_PAGE = 4096  # where constants begin in a file, so that readers can map them

Array = NDArray[np.generic]


def large_constants(graph: ir.Graph) -> frozenset[str]:
    """Names of the constants that lie in files; none where the graph fits into memory anyhow."""
    tensors = {n: v.const_value for n, v in graph.initializers.items() if v.const_value is not None}
    if constant_bytes(graph) < LARGE_MODEL:
        return frozenset()
    return frozenset(n for n, t in tensors.items() if t.nbytes > LARGE and is_plain(t))


def constant_bytes(graph: ir.Graph) -> int:
    """Bytes of all constants of a graph."""
    tensors = (value.const_value for value in graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def kept(graph: ir.Graph, array: Array) -> Array:
    """A new constant of the graph where it is to lie: a large one of a large graph in a file."""
    return spilled(array) if array.nbytes > LARGE and large_constants(graph) else array


def is_plain(tensor: ir.TensorProtocol) -> bool:
    """Whether numpy itself knows the type: no texts, and nothing of less than a byte."""
    return tensor.dtype.numpy().kind in "fiub"


def keep_in_files(graph: ir.Graph, mapped: Mapping[str, Array]) -> None:
    """Put the constants of a model that was just read where they are to lie.

    Args:
        graph: Of the model.
        mapped: Constants that lie in files already, by name.
    """
    for name, array in mapped.items():
        _put(graph, name, array)
    large = large_constants(graph)
    for name in large - mapped.keys():
        _put(graph, name, spilled(_array(graph, name)))
    for name in mapped.keys() - large:
        _put(graph, name, mapped[name].copy())


def _put(graph: ir.Graph, name: str, array: Array) -> None:
    value = graph.initializers[name]
    dtype = None if value.const_value is None else value.const_value.dtype
    value.const_value = ir.Tensor(array, dtype=dtype, name=name)


def _array(graph: ir.Graph, name: str) -> Array:
    tensor = graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def outside(name: str, tensor: ir.TensorProtocol, place: str, first: int = 0) -> ir.ExternalTensor:
    """What stands for a constant that lies in the file ``place``, from byte ``first`` on."""
    shape = ir.Shape(tensor.numpy().shape)
    return ir.ExternalTensor(place, first, tensor.nbytes, tensor.dtype, shape=shape, name=name)


def parted(model: ir.Model, place: str) -> tuple[ir.Model, list[memoryview]]:
    """A copy whose large constants lie in the file ``place``, and what belongs there, in order.

    A constant that nobody reads, such as a weight whose codes are read instead, is left out.
    """
    copy, parts, first = model.clone(), list[memoryview](), 0
    for name in sorted(large_constants(copy.graph)):
        value = copy.graph.initializers[name]
        tensor = value.const_value
        assert tensor is not None
        if not value.uses() and not value.is_graph_output():
            del copy.graph.initializers[name]
            continue
        parts += [in_bytes(tensor.numpy()), memoryview(bytes(-tensor.nbytes % _PAGE))]
        value.const_value = outside(name, tensor, place, first)
        first += tensor.nbytes + parts[-1].nbytes
    return copy, parts
