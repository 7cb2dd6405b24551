"""A graph on its way to another process: nodes as protobuf, weights as arrays of their own.

Arrays can then be laid where several processes read the same memory, and a model of more than
2 GiB, which protobuf does not hold, travels like any other.
"""

from collections.abc import Mapping
from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.large import is_plain, outside

_SMALL = 1024  # bytes up to which a constant stays among the nodes
PLACE = "sent"  # the file that the nodes name for what travels beside them
Arrays = Mapping[str, NDArray[Any]]


def taken_apart(model: ir.Model) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """The model without its large constants, and those by name; ``put_together`` undoes it."""
    copy, arrays = model.clone(), {}
    for name, value in copy.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and is_plain(tensor) and tensor.nbytes > _SMALL:
            arrays[name] = tensor.numpy()
            value.const_value = outside(name, tensor, PLACE)
    return ir.to_proto(copy).SerializeToString(), arrays


def put_together(content: bytes, arrays: Arrays) -> ir.Model:
    """The model whose parts these are; it reads the arrays where they lie."""
    model = ir.from_proto(onnx.ModelProto.FromString(content))
    for name, array in arrays.items():
        value = model.graph.initializers[name]
        dtype = None if value.const_value is None else value.const_value.dtype
        value.const_value = ir.Tensor(array, dtype=dtype, name=name)
    return model
