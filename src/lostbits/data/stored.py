"""Arrays in .npy and .npz files: what a header claims is checked before memory is taken."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lostbits.data.interface import Shaped
from lostbits.data.paths import check_room, reading
from lostbits.quoting import brief
from lostbits.system.files import size_of

_HEADER = 1 << 16  # bytes in which a header ends; numpy takes no longer text than 10,000
_NEWEST = (3, 0)  # version of the format
_LONGEST = 1 << 63  # an axis
_PIECE = 1 << 22  # bytes that are read at a time
# What numpy writes. The others unpack a few bytes to gigabytes at one call, and nobody asks first.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DENSEST = 1032  # bytes that one byte of deflate can stand for, at most


class Rows(Shaped, Protocol):
    """An array that need not be in memory: its rows are read when they are asked for."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


@final
@dataclass(frozen=True)
class StoredRows:
    """The rows of an array in a file, or in a compressed one, where a memory map cannot be had.

    Args:
        stream: The open file.
        offset: Where the first row begins.
        shape: Shape of the array.
        dtype: Type of its values.
    """

    stream: IO[bytes]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        first, end, _ = rows.indices(self.shape[0])
        row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        content = np.empty((end - first) * row_bytes, np.uint8)
        self.stream.seek(self.offset + first * row_bytes)
        filled = 0
        while filled < content.size:
            piece = self.stream.read(min(_PIECE, content.size - filled))
            if not piece:
                raise ValueError(f"the file ends within row {first + filled // row_bytes}")
            content[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        return np.ndarray((end - first, *self.shape[1:]), self.dtype, content)


def stored_arrays(path: Path, stack: ExitStack) -> dict[str, Rows]:
    """The arrays of a .npz file by their names, or that of a .npy file by the file's.

    Args:
        path: The file.
        stack: Closes what is opened here.

    Raises:
        DataError: D002 if the file is none of these, or damaged, or claims what it cannot hold;
            D021 if an array that must be read as a whole does not fit into memory.
    """
    with reading(str(path)):
        size = size_of(path)
        if path.suffix.lower() == ".npy":
            stream = stack.enter_context(path.open("rb"))
            return {path.stem: _stored(str(path), stream, size)}
        archive = stack.enter_context(zipfile.ZipFile(path))
        _check_names(archive.namelist())
        return {
            _name(member.filename): _member(path, archive, member, stack)
            for member in archive.infolist()
        }


def _name(member: str) -> str:
    return member.removesuffix(".npy")


def _check_names(members: Iterable[str]) -> None:
    for name, count in Counter(map(_name, members)).items():
        if count > 1:
            raise ValueError(f"{count} arrays have the name {name!r}")


def _member(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, stack: ExitStack
) -> Rows:
    where = f"{path}, {member.filename}"
    with reading(where):
        if member.compress_type not in _COMPRESSIONS:
            raise ValueError("its compression is not that of numpy.savez_compressed")
        densest = _DENSEST if member.compress_type == zipfile.ZIP_DEFLATED else 1
        most = densest * min(member.compress_size, path.stat().st_size)
        stream = stack.enter_context(archive.open(member))
        return _stored(where, stream, min(member.file_size, most))


def _stored(where: str, stream: IO[bytes], size: int) -> Rows:
    """The array that begins here, of which there are ``size`` bytes with its header."""
    start = io.BytesIO(stream.read(_HEADER))
    shape, by_columns, dtype = _header(start)
    offset = start.tell()
    _check(shape, dtype, size - offset)
    if not by_columns or len(shape) < 2:
        return StoredRows(stream, offset, shape, dtype)
    # Rows are not in one place: take all of it.
    check_room(where, "an array stored by columns", 2 * prod(shape) * dtype.itemsize)
    return StoredRows(stream, offset, shape[::-1], dtype)[0 : shape[-1]].transpose()


# Python's parser counts its depth in one place for all threads, and raises SystemError where two
# parse at the same time (CPython 3.11; numpy reads a header with it).
_PARSING = Lock()


def _header(start: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(start)
    if version > _NEWEST:
        raise ValueError(f"version {version} of the format is not known")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        with _PARSING:
            return header(start)
    except MemoryError:  # how Python's parser refuses deep nesting
        raise ValueError("its header is no dictionary") from None


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], left: int) -> None:
    """Whether an array of this shape and type can be in so many bytes."""
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are not read for safety")
    if dtype.subdtype is not None or dtype.itemsize == 0:
        raise ValueError(f"its values have the type {dtype}")
    if not all(type(length) is int and 0 <= length < _LONGEST for length in shape):
        raise ValueError(f"its shape is {brief(shape)}")
    needed = prod(shape) * dtype.itemsize
    if needed > left:
        within = max(left, 0) * shape[0] // needed if shape else 0
        claimed = f"{brief(shape)} values of type {dtype}"
        raise ValueError(f"the file ends within row {within}, its header claims {claimed}")
