"""How long work says how far it is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from lostbits.data import Batch

Outcome = TypeVar("Outcome")
# Before the name of a step that counts others: ``done`` is its number, ``total`` how many there are
# as far as is known.
ATTEMPT = "attempt: "
FINISH = "finish"  # of all attempts: what follows looks at the result


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


def gathered(
    outcomes: Iterable[Outcome], chunks: Sequence[range], stage: str, progress: Progress
) -> Iterator[Outcome]:
    """What became of the chunks of the data, reported as they come in."""
    total = chunks[-1].stop
    progress(stage, chunks[0].start, total)
    for outcome, chunk in zip(outcomes, chunks, strict=True):
        yield outcome
        progress(stage, chunk.stop, total)
