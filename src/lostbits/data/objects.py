"""Samples from Python: arrays, iterables, torch loaders, calibration readers, callables."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lostbits.data.arrays import arrays_in_memory, in_samples
from lostbits.data.cursor import Item
from lostbits.data.interface import Interface
from lostbits.data.paths import foreign
from lostbits.data.samples import Samples
from lostbits.data.stored import Rows
from lostbits.errors import DataError

_MOST_ITEMS = 1 << 20  # of an iterable; one that has more will hardly ever end


@runtime_checkable
class Reader(Protocol):
    """ONNX Runtime's CalibrationDataReader: a dict of arrays a call, then None."""

    def get_next(self) -> object:
        """The next batch, or None after the last."""


@runtime_checkable
class Rewindable(Protocol):
    """What a calibration reader needs besides, to be read again."""

    def rewind(self) -> object:
        """Start again."""


def samples_of(data: object, interface: Interface) -> Samples:
    """The samples of whatever Python object was given.

    Raises:
        DataError: D003 or D011 if samples cannot be had from it, or not twice; and all that the
            samples themselves give cause for.
    """
    name = type(data).__name__
    if callable(data) and (isinstance(data, type) or not isinstance(data, Reader | Iterable)):
        return samples_of_callable(getattr(data, "__qualname__", name), data, interface)
    if isinstance(data, Mapping) or _is_array(data):
        return arrays_in_memory(name, _named(name, data, interface), interface).tried()
    if isinstance(data, Reader | Iterator) and not isinstance(data, Rewindable):
        found = "it can be read once only"
        raise DataError("D011.reader" if isinstance(data, Reader) else "D011.iterator", name, found)
    if isinstance(data, Reader | Iterable):
        return _replayed(name, partial(_pull, name, data), interface)
    raise DataError("D003.object", "data", name)


def samples_of_callable(name: str, function: Callable[[], Any], interface: Interface) -> Samples:
    """The samples of what a callable yields; it is called for every pass.

    Raises:
        DataError: D016 if it fails or yields nothing; and as `samples_of`.
    """
    return _replayed(name, partial(_called, name, function), interface)


def _called(name: str, function: Callable[[], Any]) -> Iterator[object]:
    with foreign(partial(_failed, name)):
        made = function()
    if (
        isinstance(made, Mapping | str)
        or _is_array(made)
        or not isinstance(made, Reader | Iterable)
    ):
        found = f"it returns {type(made).__name__}"
        raise DataError("D016.returned", name, found)
    return _pull(name, made)


def _pull(name: str, batches: Reader | Iterable[object]) -> Iterator[object]:
    """One pass over code that is not ours."""
    with foreign(partial(_failed, name)):
        if isinstance(batches, Rewindable):
            batches.rewind()
        if not isinstance(batches, Reader):
            yield from batches
            return
        while (batch := batches.get_next()) is not None:
            yield batch


def _failed(name: str, found: str) -> DataError:
    return DataError("D016.failed", name, found)


def _replayed(
    name: str, make_pass: Callable[[], Iterator[object]], interface: Interface
) -> Samples:
    """A source whose first pass is made here and now, and whose later ones must be equal to it."""
    total = 0
    checksums: list[int] = []
    for item in _items(name, make_pass, interface):
        if len(checksums) == _MOST_ITEMS:
            found = f"item {_MOST_ITEMS:,} is not the last"
            raise DataError("D016.endless", name, found)
        arrays = item.load()
        interface.fit(item.where, arrays, total)
        checksums.append(_checksum(arrays))
        total += item.size

    read = partial(_same, name, make_pass, interface, checksums)
    # An object that is read by two at a time may give each of them every other sample.
    return Samples.all_of(name, interface, read, total, several=False)


def _same(
    name: str,
    make_pass: Callable[[], Iterator[object]],
    interface: Interface,
    checksums: list[int],
) -> Iterator[Item]:
    """A later pass."""
    for index, item in enumerate(_items(name, make_pass, interface)):
        if index >= len(checksums) or _checksum(item.load()) != checksums[index]:
            found = "others than at first"
            raise DataError("D018.values", item.where, found)
        yield item


def _items(
    name: str, make_pass: Callable[[], Iterator[object]], interface: Interface
) -> Iterator[Item]:
    for index, batch in enumerate(make_pass()):
        where = f"{name}, item {index}"
        # A copy: the next item may be written over this one, in a buffer that is used again.
        arrays = {key: x.copy() for key, x in _named(where, batch, interface).items()}
        rows = in_samples(where, arrays, interface)
        total = interface.count(where, rows)
        yield Item(where, total, partial(_all, rows, total))


def _all(rows: Mapping[str, Rows], total: int) -> dict[str, NDArray[Any]]:
    return {name: x[0:total] for name, x in rows.items()}


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> int:
    checksum = 0
    for name, x in sorted(arrays.items()):
        checksum = zlib.crc32(f"{name} {x.dtype.str} {x.shape}".encode(), checksum)
        checksum = zlib.crc32(x.tobytes(), checksum)
    return checksum


def _named(where: str, batch: object, interface: Interface) -> dict[str, NDArray[Any]]:
    """The arrays of a batch by the names of the inputs, without labels."""
    if isinstance(batch, Mapping):
        with foreign(partial(_not_of_arrays, where)):
            return {str(name): _array(where, value) for name, value in batch.items()}
    if _is_array(batch):
        return {interface.sole(where, "one array").name: _array(where, batch)}
    count = len(interface.inputs)
    if isinstance(batch, list | tuple) and len(batch) in (count, count + 1):
        values = zip(interface.inputs, batch, strict=False)
        return {spec.name: _array(where, value) for spec, value in values}
    found = type(batch).__name__
    found += f" of {len(batch)}" if isinstance(batch, list | tuple) else ""
    raise DataError("D017.batch", where, found, count=count)


def _array(where: str, value: Any) -> NDArray[Any]:
    """An array or tensor of any library, in memory and detached from gradients."""
    kind = type(value).__name__
    with foreign(lambda found: DataError("D017.array", where, found, kind=kind)):
        for step in ("detach", "cpu", "numpy"):
            value = getattr(value, step)() if hasattr(value, step) else value
        return np.asarray(value)


def _not_of_arrays(where: str, found: str) -> DataError:
    return DataError("D017.dict", where, found)


def _is_array(data: object) -> bool:
    return hasattr(data, "__array__")
