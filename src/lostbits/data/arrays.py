"""Samples from .npy and .npz files and from arrays in memory, a few megabytes at a time."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lostbits.data.access import reading
from lostbits.data.cursor import Item
from lostbits.data.interface import Interface, Shaped
from lostbits.data.samples import Samples

_ITEM_BYTES = 2**22


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
        shape = (end - first, *self.shape[1:])
        row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        self.stream.seek(self.offset + first * row_bytes)
        content = bytearray(self.stream.read((end - first) * row_bytes))
        if len(content) < (end - first) * row_bytes:
            raise ValueError(f"the file ends within row {first + len(content) // row_bytes}")
        return np.ndarray(shape, self.dtype, content)


def arrays_in_file(path: Path, interface: Interface) -> Samples:
    """The samples of one .npy or .npz file, where axis 0 of every array counts them."""
    with _open(path, interface) as arrays:
        total = interface.count(str(path), arrays)
    return Samples.all_of(path.name, interface, partial(_read, [path], interface), total)


def arrays_in_files(name: str, paths: list[Path], interface: Interface) -> Samples:
    """The samples of several files, each of one sample without an axis for it, or of several."""
    total = 0
    for path in paths:
        with _open(path, interface) as arrays:
            total += interface.count(str(path), _with_sample_axis(arrays, interface))
    return Samples.all_of(name, interface, partial(_read, paths, interface), total)


def arrays_in_memory(name: str, arrays: Mapping[str, Rows], interface: Interface) -> Samples:
    """The samples of arrays that are there already."""
    total = interface.count(name, arrays)
    return Samples.all_of(name, interface, partial(_items, name, arrays, total), total)


def _read(paths: list[Path], interface: Interface) -> Iterator[Item]:
    for path in paths:
        with _open(path, interface) as stored:
            arrays = _with_sample_axis(stored, interface)
            yield from _items(str(path), arrays, interface.count(str(path), arrays))


def _items(where: str, arrays: Mapping[str, Rows], total: int) -> Iterator[Item]:
    widest = max(prod(x.shape[1:]) * x.dtype.itemsize for x in arrays.values())
    step = max(1, _ITEM_BYTES // max(1, widest))
    for first in range(0, total, step):
        rows = slice(first, min(first + step, total))
        yield Item(where, rows.stop - first, partial(_load, where, arrays, rows))


def _load(where: str, arrays: Mapping[str, Rows], rows: slice) -> dict[str, NDArray[Any]]:
    with reading(where):
        return {name: x[rows] for name, x in arrays.items()}


def _with_sample_axis(arrays: Mapping[str, Rows], interface: Interface) -> dict[str, Rows]:
    specs = {spec.name: spec for spec in interface.inputs}
    return {
        name: _one_row(x) if name in specs and interface.lacks_sample_axis(specs[name], x) else x
        for name, x in arrays.items()
    }


def _one_row(x: Rows) -> Rows:
    if isinstance(x, StoredRows):
        return replace(x, shape=(1, *x.shape))
    return np.asarray(x)[np.newaxis]


@contextmanager
def _open(path: Path, interface: Interface) -> Iterator[dict[str, Rows]]:
    with ExitStack() as stack:
        with reading(str(path)):
            arrays = _members(path, stack)
        if path.suffix.lower() == ".npy":
            arrays = {interface.sole(str(path), "one array").name: arrays[path.stem]}
        yield arrays


def _members(path: Path, stack: ExitStack) -> dict[str, Rows]:
    if path.suffix.lower() == ".npy":
        return {path.stem: _stored(stack.enter_context(path.open("rb")))}
    archive = stack.enter_context(zipfile.ZipFile(path))
    return {
        name.removesuffix(".npy"): _stored(stack.enter_context(archive.open(name)))
        for name in archive.namelist()
    }


def _stored(stream: IO[bytes]) -> Rows:
    version = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, columns_first, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are not read for safety")
    if columns_first and len(shape) > 1:  # rows are not in one place: take all of it
        stream.seek(0)
        return npy.read_array(stream)
    return StoredRows(stream, stream.tell(), shape, dtype)
