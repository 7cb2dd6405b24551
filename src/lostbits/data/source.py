"""Contract of a source of samples, and what goes in and comes out of it."""

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

Feeds = dict[str, NDArray[Any]]


@final
@dataclass(frozen=True)
class InputSpec:
    """What a model says about one of its inputs.

    Args:
        name: Name of the graph input.
        dtype: Type of its values.
        shape: Its axes; None for an axis of no fixed size.
        batch_axis: Which of them is the batch axis, as far as the model shows.
        masks: Whether -infinity is one of its values: only masked scores are made of it.
        counted: Name that the model gives the free size of axis 0; empty where it gives none.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    batch_axis: int = 0
    masks: bool = False
    counted: str = ""

    @property
    def sample_shape(self) -> tuple[int | None, ...]:
        """The axes without the batch axis."""
        return self.shape[: self.batch_axis] + self.shape[self.batch_axis + 1 :]


@final
@dataclass(frozen=True)
class Batch:
    """Neighbouring samples, ready to be fed to the model.

    Args:
        first: Index of the first sample within its source.
        feeds: A fresh array for every input. Axis 0 counts samples, unless the model takes one
            whole sample a run.
        size: How many samples are real; those after them repeat the last one.
    """

    first: int
    feeds: Feeds
    size: int

    @property
    def span(self) -> str:
        """Which samples these are, for messages: ``within samples 0 to 7``."""
        return f"within samples {self.first} to {self.first + self.size - 1}"

    @property
    def filled(self) -> int | None:
        """Length of axis 0 where samples were repeated to fill the batch, else None."""
        lengths = {x.shape[0] if x.ndim else 0 for x in self.feeds.values()}
        length = lengths.pop()
        return length if not lengths and length > self.size > 0 else None

    def real(self, x: Any) -> Any:
        """An array or tensor that the model made of the feeds, without the repeated samples."""
        if self.filled is None or not x.ndim or x.shape[0] != self.filled:
            return x
        return x[: self.size]


class Reader(Protocol):
    """Reads chunks of a source, best in order: it goes on from where it stands."""

    def batches(self, chunk: range, size: int) -> Iterator[Batch]:
        """The samples of a chunk in batches, as those of ``Source.batches``."""
        ...


class Source(abc.ABC):
    """A known number of samples that can be read in the same order again and again."""

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """Where the samples come from and how many they are, for people to read."""

    skipped = ""  # files beside the samples that are none, counted by kind

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of samples, known before they are read."""

    @abc.abstractmethod
    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, ``size`` at a time; may be called many times.

        A batch is smaller at the end of the data and where the shape of samples changes. Where
        the model fixes its batch axis, ``size`` is ignored and every batch is of the fixed size.

        Raises:
            DataError: A sample cannot be read or does not fit the model.
        """

    @abc.abstractmethod
    def slice(self, start: int, stop: int) -> "Source":
        """The samples ``start`` to ``stop - 1`` as a source of their own.

        Raises:
            ValueError: Unless ``0 <= start < stop <= len(self)``.
        """

    @abc.abstractmethod
    def pick(self, kept: Sequence[int]) -> "Source":
        """Some of the samples, in the order of the data, as a source of their own.

        Args:
            kept: Their numbers, rising; at least one.
        """

    @abc.abstractmethod
    def pieces(self) -> Iterator[Feeds]:
        """All samples in order, in the pieces that they are read in; axis 0 counts them."""

    @abc.abstractmethod
    def cursor(self) -> Reader:
        """A reader of chunks of samples."""

    @property
    @abc.abstractmethod
    def several(self) -> bool:
        """Whether several readers of one process may be on their way at a time."""

    @abc.abstractmethod
    def chunks(self, size: int, least: int) -> list[range]:
        """The samples as chunks of whole batches of ``size``, of at least ``least`` samples.

        The chunks are the same wherever they are read, and so is what becomes of them.
        """

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """SHA-256, in hex, over names, types, shapes and bytes of all samples in order."""
