"""ONNX element types as torch has them."""

import torch

from lostbits.runtime.rules.rule import Unsupported

_DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.uint16,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    12: torch.uint32,
    13: torch.uint64,
    14: torch.complex64,
    15: torch.complex128,
    16: torch.bfloat16,
}


def torch_dtype(element_type: int) -> torch.dtype:
    """Find the torch type of ``onnx.TensorProto.DataType`` ``element_type``.

    >>> torch_dtype(10)
    torch.float16
    """
    if element_type not in _DTYPES:
        raise Unsupported(f"element type {element_type} has no torch type")
    return _DTYPES[element_type]


def limits(dtype: torch.dtype) -> tuple[float, float]:
    """Least and greatest value of ``dtype``: infinities for floating types.

    >>> limits(torch.int8)
    (-128, 127)
    """
    if dtype == torch.bool:
        return False, True
    if dtype.is_floating_point:
        return -torch.inf, torch.inf
    info = torch.iinfo(dtype)
    return info.min, info.max
