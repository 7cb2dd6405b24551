"""How long work says how far it is."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from lostbits.data import Batch


class Progress(Protocol):
    """Told once per batch; the command line draws a bar from it."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` samples of ``stage`` are finished."""
        ...


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def tracked(
    batches: Iterable[Batch], stage: str, total: int, progress: Progress
) -> Iterator[Batch]:
    """The batches, reported as they are finished."""
    progress(stage, 0, total)
    for batch in batches:
        yield batch
        progress(stage, min(batch.first + batch.size, total), total)
