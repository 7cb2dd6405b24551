"""Samples from .npy and .npz files and from arrays in memory, a few megabytes at a time."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.data.cursor import Item
from lostbits.data.interface import Interface
from lostbits.data.paths import check_room, reading
from lostbits.data.samples import Samples
from lostbits.data.stored import Rows, StoredRows, stored_arrays

_ITEM_BYTES = 2**22


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
    widths = [prod(x.shape[1:]) * x.dtype.itemsize for x in arrays.values()]
    check_room(where, "a sample, as read and as fed,", 2 * sum(widths))
    step = max(1, _ITEM_BYTES // max(1, *widths))
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
        arrays = stored_arrays(path, stack)
        if path.suffix.lower() == ".npy":
            arrays = {interface.sole(str(path), "one array").name: arrays[path.stem]}
        yield arrays
