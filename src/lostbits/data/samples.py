"""The source that all kinds of data become: items that are read one after the other."""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self, final

from numpy.typing import NDArray

from lostbits.data.cursor import Cursor, Item
from lostbits.data.interface import Interface
from lostbits.data.source import Batch, Feeds, Source
from lostbits.errors import DataError


@final
@dataclass(frozen=True)
class Samples(Source):
    """Samples ``start`` to ``stop - 1`` of the items that ``read`` gives on each call.

    Args:
        name: Where they come from, for people to read.
        interface: What the model takes.
        read: Makes one pass over the items. A worker in another process gets a copy of it, so it
            is made of functions that have a name, and of their arguments.
        total: Number of samples in all items.
        start: First sample that belongs to this source.
        stop: One more than the last.
        several: Whether several passes may be under way at a time.
        skipped: Files beside them that are no samples, counted by kind; nothing where none are.
    """

    name: str
    interface: Interface
    read: Callable[[], Iterator[Item]]
    total: int
    start: int
    stop: int
    several: bool = True
    skipped: str = ""

    @classmethod
    def all_of(
        cls,
        name: str,
        interface: Interface,
        read: Callable[[], Iterator[Item]],
        total: int,
        *,
        several: bool = True,
    ) -> Self:
        """The source of all ``total`` samples, of which there must be some."""
        if total == 0:
            raise DataError("D004.none", name, "none")
        return cls(name, interface, read, total, 0, total, several)

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

    def pick(self, kept: Sequence[int]) -> Source:
        """Some of these samples; items without any are passed over unread."""
        numbers = tuple(self.start + number for number in kept)
        name = f"{self.name} (of {self.total})"
        read, count = partial(_picked, self.read, numbers), len(numbers)
        return replace(self, name=name, read=read, total=count, start=0, stop=count)

    def pieces(self) -> Iterator[Feeds]:
        """All samples as the items hold them."""
        return self.cursor().pieces(range(len(self)))

    def cursor(self) -> Cursor:
        """A reader of chunks, which counts from this source's first sample."""
        return Cursor(self.name, self.interface, self.read, self.total, self.start)

    def batches(self, size: int) -> Iterator[Batch]:
        """The samples in batches, cut across the borders of items."""
        if size < 1:
            raise ValueError(f"batches(size=...) must be at least 1, got {size}")
        return self.cursor().batches(range(len(self)), size)

    def chunks(self, size: int, least: int) -> list[range]:
        """Borders between batches that depend on nothing but the two numbers and the source."""
        batch = self.interface.batch or size
        step = batch * -(-least // batch)
        return [range(i, min(i + step, len(self))) for i in range(0, len(self), step)]

    def fingerprint(self) -> str:
        """SHA-256 sample by sample, so that batches and items play no part; read only once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces():
            for i in range(len(next(iter(piece.values())))):
                for name, x in piece.items():
                    digest.update(f"{name} {x.dtype.str} {x.shape[1:]}\n".encode())
                    digest.update(x[i].tobytes())
        return digest.hexdigest()


def _picked(read: Callable[[], Iterator[Item]], numbers: Sequence[int]) -> Iterator[Item]:
    """The items with nothing but the samples of these numbers, which rise."""
    first = 0
    for item in read():
        rows = [
            n - first
            for n in numbers[bisect_left(numbers, first) : bisect_left(numbers, first + item.size)]
        ]
        first += item.size
        if rows:
            yield Item(item.where, len(rows), partial(_rows_of, item, rows))


def _rows_of(item: Item, rows: list[int]) -> Mapping[str, NDArray[Any]]:
    return {name: x[rows] for name, x in item.load().items()}
