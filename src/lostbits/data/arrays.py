"""Samples from .npy and .npz files and from arrays in memory, a few megabytes at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lostbits.data.cursor import Item
from lostbits.data.interface import Interface
from lostbits.data.paths import check_room, reading
from lostbits.data.samples import Samples
from lostbits.data.source import InputSpec
from lostbits.data.stored import Rows, StoredRows, stored_arrays

_ITEM_BYTES = 2**22
_ToRows = Callable[[str, Mapping[str, Rows], Interface], dict[str, Rows]]


@final
@dataclass(frozen=True)
class Repeated:
    """One array as that of each of many samples.

    Args:
        array: What one sample has.
        shape: With an axis of samples in front.
    """

    array: NDArray[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, rows: Rows, spec: InputSpec, count: int) -> "Repeated":
        """Of what an input takes in every run, from a file or from memory."""
        array = rows[0 : rows.shape[0]] if rows.shape else np.asarray(rows)
        array = array.reshape(array.shape[array.ndim - len(spec.shape) :])
        return cls(array, (count, *array.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.array.dtype

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        count = len(range(*rows.indices(self.shape[0])))
        return np.repeat(self.array[np.newaxis], count, axis=0)


def arrays_in_file(path: Path, interface: Interface) -> Samples:
    """The samples of one .npy or .npz file, where axis 0 of every array counts them.

    Or the batch axis of the model, where that is another one; an array of just the fixed shape of
    an input that has no batch axis is the same for all samples.
    """
    with _open(path, interface) as arrays:
        interface = interface.of(arrays)
        rows = in_samples(str(path), arrays, interface)
        total = interface.count(str(path), rows)
        name = _named(path.name, interface.shared(arrays))
    return Samples.all_of(name, interface, partial(_read, [path], interface, in_samples), total)


def arrays_in_files(name: str, paths: list[Path], interface: Interface) -> Samples:
    """The samples of several files, each of one sample without an axis for it, or of several.

    Where the inputs of a file are of unlike numbers, and the model does not say that they must be
    equal, every file is one run.
    """
    rows: _ToRows = _with_sample_axis
    if any(_of_a_run(path, interface) for path in paths):
        interface, rows = replace(interface, stacked=True), _one_run
    total = 0
    for path in paths:
        with _open(path, interface) as arrays:
            total += interface.count(str(path), rows(str(path), arrays, interface))
    return Samples.all_of(name, interface, partial(_read, paths, interface, rows), total)


def arrays_in_memory(name: str, arrays: Mapping[str, Rows], interface: Interface) -> Samples:
    """The samples of arrays that are there already."""
    interface = interface.of(arrays)
    rows = in_samples(name, arrays, interface)
    total = interface.count(name, rows)
    name = _named(name, interface.shared(arrays))
    return Samples.all_of(name, interface, partial(_items, name, rows, total), total)


def in_samples(where: str, arrays: Mapping[str, Rows], interface: Interface) -> dict[str, Rows]:
    """The arrays with the samples along axis 0, those that all samples share repeated."""
    shared = interface.shared(arrays)
    specs = {spec.name: spec for spec in interface.inputs}
    moved = {
        name: x if name in shared or name not in specs else _moved(where, x, specs[name])
        for name, x in arrays.items()
    }
    counts = [x.shape[0] for name, x in moved.items() if name not in shared and x.shape]
    total = counts[0] if counts else 1
    return moved | {name: Repeated.of(arrays[name], specs[name], total) for name in shared}


def _named(name: str, shared: list[str]) -> str:
    return f"{name} ({', '.join(shared)} the same for all)" if shared else name


def _moved(where: str, x: Rows, spec: InputSpec) -> Rows:
    """With the batch axis in front, where the array has it elsewhere."""
    if not spec.batch_axis or len(x.shape) != len(spec.shape):
        return x
    check_room(where, "an array with another batch axis", 2 * prod(x.shape) * x.dtype.itemsize)
    return np.moveaxis(x[0 : x.shape[0]], spec.batch_axis, 0)


def _read(paths: list[Path], interface: Interface, rows: _ToRows) -> Iterator[Item]:
    for path in paths:
        with _open(path, interface) as stored:
            arrays = rows(str(path), stored, interface)
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


def _with_sample_axis(
    where: str, arrays: Mapping[str, Rows], interface: Interface
) -> dict[str, Rows]:
    specs = {spec.name: spec for spec in interface.inputs}
    lacking = {
        n for n, x in arrays.items() if n in specs and interface.lacks_sample_axis(specs[n], x)
    }
    others = {name: x for name, x in arrays.items() if name not in lacking}
    rows = {name: _one_row(arrays[name]) for name in lacking}
    return in_samples(where, others | rows, interface)


def _of_a_run(path: Path, interface: Interface) -> bool:
    with _open(path, interface) as arrays:
        if not interface.of_a_run(arrays):
            return False
        rows = _with_sample_axis(str(path), arrays, interface)
        return len({x.shape[0] for x in rows.values()}) > 1


def _one_run(where: str, arrays: Mapping[str, Rows], interface: Interface) -> dict[str, Rows]:
    return {name: _one_row(x) for name, x in arrays.items()}


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
