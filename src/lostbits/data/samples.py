"""The source that all kinds of data become: items that are read one after the other."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from lostbits.data.interface import Interface
from lostbits.data.source import Batch, Feeds, Source
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
@dataclass(frozen=True)
class Samples(Source):
    """Samples ``start`` to ``stop - 1`` of the items that ``read`` gives on each call.

    Args:
        name: Where they come from, for people to read.
        interface: What the model takes.
        read: Makes one pass over the items.
        total: Number of samples in all items.
        start: First sample that belongs to this source.
        stop: One more than the last.
    """

    name: str
    interface: Interface
    read: Callable[[], Iterator[Item]]
    total: int
    start: int
    stop: int

    @classmethod
    def all_of(
        cls, name: str, interface: Interface, read: Callable[[], Iterator[Item]], total: int
    ) -> Self:
        """The source of all ``total`` samples, of which there must be some."""
        if total == 0:
            todo = "give data that are typical of what the model will see"
            raise DataError("D004", name, "there must be at least one sample", "none", todo)
        return cls(name, interface, read, total, 0, total)

    def tried(self) -> Self:
        """Itself, after its first samples have been read and found to fit."""
        next(self.batches(1))
        return self

    @property
    def description(self) -> str:
        """The name, and which samples."""
        if len(self) == self.total:
            return f"{self.name}, {self.total} samples"
        return f"{self.name}, samples {self.start} to {self.stop - 1} of {self.total}"

    def __len__(self) -> int:
        return self.stop - self.start

    def slice(self, start: int, stop: int) -> Source:
        """A part of these samples; what lies before it is skipped unread where possible."""
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"slice({start}, {stop}) must be within 0..{len(self)} and not empty")
        return replace(self, start=self.start + start, stop=self.start + stop)

    def batches(self, size: int) -> Iterator[Batch]:
        """The samples in batches, cut across the borders of items."""
        if size < 1:
            raise ValueError(f"batches(size=...) must be at least 1, got {size}")
        return self._batches(self.interface.batch or size)

    def fingerprint(self) -> str:
        """SHA-256 sample by sample, so that batches and items play no part."""
        digest = hashlib.sha256()
        for piece in self._pieces():
            for i in range(_size(piece)):
                for name, x in piece.items():
                    digest.update(f"{name} {x.dtype.str} {x.shape[1:]}\n".encode())
                    digest.update(x[i].tobytes())
        return digest.hexdigest()

    def _batches(self, size: int) -> Iterator[Batch]:
        first = 0
        for samples in _chunks(self._pieces(), size):
            yield Batch(first, self.interface.feed(samples), _size(samples))
            first += _size(samples)

    def _pieces(self) -> Iterator[Feeds]:
        """The samples in the pieces that the items come in."""
        first = 0
        for item in self.read():
            low, high = max(self.start - first, 0), min(self.stop - first, item.size)
            if low < high:
                arrays = {name: x[low:high] for name, x in item.load().items()}
                yield self.interface.fit(item.where, arrays, first + low)
            first += item.size
            if first >= self.stop:
                return
        found = f"{first} instead of {self.total}"
        todo = "do not change the data while they are in use, and shuffle nothing"
        raise DataError("D018", self.name, "every pass must yield the same samples", found, todo)


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
