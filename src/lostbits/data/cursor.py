"""Reading chunks of samples one after the other, without starting again for each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lostbits.data.interface import Interface
from lostbits.data.source import Batch, Feeds
from lostbits.errors import DataError


@final
@dataclass(frozen=True)
class Item:
    """Neighbouring samples that are read together.

    Args:
        where: File or item that they come from, for messages.
        size: How many they are.
        load: Reads them: for every input an array whose axis 0 counts samples. To be called, if
            at all, before the next item is asked for.
    """

    where: str
    size: int
    load: Callable[[], Mapping[str, NDArray[Any]]]


@final
class Cursor:
    """Where a reader stands in the items of a source.

    It moves forward, past items without loading them, and starts again only where a chunk lies
    before it. So a worker that reads some chunks of the data opens every file, and unpacks
    every archive, once a pass.

    Args:
        name: Of the source, for messages.
        interface: What the samples are for.
        read: Makes one pass over the items.
        total: Number of samples in all items.
        origin: The sample of the items that counts as sample 0.
    """

    def __init__(
        self,
        name: str,
        interface: Interface,
        read: Callable[[], Iterator[Item]],
        total: int,
        origin: int = 0,
    ) -> None:
        self._name, self._interface, self._read = name, interface, read
        self._total, self._origin = total, origin
        self._items: Iterator[Item] = iter(())
        self._item: Item | None = None
        self._first = 0
        self._loaded: Mapping[str, NDArray[Any]] | None = None

    def batches(self, chunk: range, size: int) -> Iterator[Batch]:
        """The samples of a chunk, ``size`` at a time, or as many as the model fixes.

        Smaller at the end of the chunk, and where the shape of samples changes.
        """
        first = chunk.start
        for samples in _chunks(self.pieces(chunk), self._interface.batch or size):
            yield Batch(first, self._interface.feed(samples), _size(samples))
            first += _size(samples)

    def pieces(self, chunk: range) -> Iterator[Feeds]:
        """The samples of a chunk in the pieces that the items come in."""
        start, stop = chunk.start + self._origin, chunk.stop + self._origin
        if self._item is None or start < self._first:
            self._rewind()
        while self._item is not None:
            low, high = max(start - self._first, 0), min(stop - self._first, self._item.size)
            if low < high:
                arrays = {name: x[low:high] for name, x in self._load(self._item).items()}
                yield self._interface.fit(self._item.where, arrays, self._first + low)
            if self._first + self._item.size >= stop:
                return  # and stays on this item, in which the next chunk may begin
            self._step()
        found = f"{self._first} instead of {self._total}"
        raise DataError("D018.count", self._name, found)

    def _rewind(self) -> None:
        self._items, self._item, self._first = self._read(), None, 0
        self._step()

    def _step(self) -> None:
        self._first += 0 if self._item is None else self._item.size
        self._item, self._loaded = next(self._items, None), None

    def _load(self, item: Item) -> Mapping[str, NDArray[Any]]:
        if self._loaded is None:
            self._loaded = item.load()
        return self._loaded


def _chunks(pieces: Iterator[Feeds], size: int) -> Iterator[Feeds]:
    """Samples in groups of ``size``; less at the end and where the shape of samples changes."""
    held: list[Feeds] = []
    for piece in pieces:
        if held and _shapes(held[0]) != _shapes(piece):
            yield _joined(held)
            held = []
        rest, room = piece, size - sum(map(_size, held))
        while _size(rest) >= room:
            yield _joined([*held, _rows(rest, 0, room)])
            held, rest, room = [], _rows(rest, room, _size(rest)), size
        held += [rest] if _size(rest) else []
    if held:
        yield _joined(held)


def _size(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def _shapes(feeds: Feeds) -> list[tuple[int, ...]]:
    return [x.shape[1:] for x in feeds.values()]


def _rows(feeds: Feeds, start: int, stop: int) -> Feeds:
    return {name: x[start:stop] for name, x in feeds.items()}


def _joined(parts: list[Feeds]) -> Feeds:
    """One array an input, always a copy: what is fed may be written to, the data may not."""
    return {
        name: np.ascontiguousarray(np.concatenate([part[name] for part in parts]))
        for name in parts[0]
    }
