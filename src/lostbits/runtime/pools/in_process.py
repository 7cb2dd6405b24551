"""The process itself: one item after the other."""

from collections.abc import Generator, Sequence
from typing import Any, final

from lostbits.runtime.pool import Item, Job, Opened, Outcome, Pool


@final
class InProcess(Pool):
    """Nothing is sent anywhere, so any source of samples will do."""

    def open(self, job: Job[Item, Outcome]) -> Opened[Item, Outcome]:
        """See ``Pool``."""
        return _Here(job)

    def close(self) -> None:
        """There is nobody to stop."""


@final
class _Here(Opened[Item, Outcome]):
    """An item is begun when its outcome is asked for."""

    def __init__(self, job: Job[Item, Outcome]) -> None:
        self._work: Any = job.open()

    def map(self, items: Sequence[Item], homes: Sequence[int] = ()) -> Generator[Outcome]:
        for item in items:
            yield self._work(item)

    def post(self, place: str, value: object) -> None:
        self._work.hear(place, value)

    def close(self) -> None:
        self._work = None
