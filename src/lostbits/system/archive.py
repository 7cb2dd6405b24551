"""Arrays in an ``.npz`` that anybody may have written: plain ones, and no larger than the file."""

import io
import zipfile
from math import prod

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[np.generic]


def arrays(content: bytes) -> dict[str, Array]:
    """The arrays of an uncompressed ``.npz``, by name; numbers and text, but no objects.

    Raises:
        Exception: Whatever numpy and zipfile make of what is damaged; see ``errors.edge``.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")  # and might need any amount of memory
        return {n.removesuffix(".npy"): _array(archive.read(n)) for n in archive.namelist()}


def _array(content: bytes) -> Array:
    """An array that takes as many bytes as its header says, which is seen before it is made."""
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, columns_first, dtype = header(stream)
    start = stream.tell()
    negative = any(type(size) is not int or size < 0 for size in shape)
    if dtype.kind not in "biufU" or negative:
        raise ValueError(f"an array of {dtype} and shape {shape}")
    if prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"shape {shape} in {len(content) - start} bytes")
    return np.ndarray(shape, dtype, content, start, order="F" if columns_first else "C").copy()
