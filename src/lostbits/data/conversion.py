"""Conversion between types of numbers that loses nothing but float precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def convert(x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """The values as ``dtype``, or None where that would lose more than float precision.

    Floats become any float. Integers and booleans become any type of number that holds each of
    the values exactly, and integers that are all 0 or 1 become booleans.

    >>> convert(np.array([0, 255]), np.dtype("uint8"))
    array([  0, 255], dtype=uint8)
    >>> convert(np.array([0, 256]), np.dtype("uint8")) is None
    True
    """
    if x.dtype == dtype:
        return x
    floats = x.dtype.kind == "f" and dtype.kind == "f"
    if floats or (x.dtype.kind in "iub" and dtype.kind in "iufb" and _holds(dtype, x)):
        with np.errstate(over="ignore"):  # to infinity, which the caller looks for anyway
            return x.astype(dtype)
    return None


def whole_numbers(x: NDArray[Any]) -> NDArray[Any]:
    """Floats as int64 where every one of them is a whole number; unchanged otherwise."""
    if x.dtype.kind == "f" and bool(np.all(x == np.rint(x)) and np.all(np.abs(x) < 2.0**63)):
        return x.astype(np.int64)
    return x


def _holds(dtype: np.dtype[Any], x: NDArray[Any]) -> bool:
    if x.size == 0 or x.dtype.kind == "b":
        return True
    if dtype.kind == "b":
        least, most = 0, 1
    elif dtype.kind == "f":
        most = 2 ** (np.finfo(dtype).nmant + 1)
        least = -most
    else:
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return bool(least <= int(x.min()) and int(x.max()) <= most)
