"""The process itself: one item after the other."""

from collections.abc import Generator, Sequence
from typing import final

from lostbits.runtime.pool import Item, Job, Outcome, Pool
from lostbits.runtime.threads import limit


@final
class InProcess(Pool):
    """Nothing is sent anywhere, so any source of samples will do.

    Args:
        threads: 0 leaves them as they are: every core.
    """

    def __init__(self, threads: int = 0) -> None:
        if threads:
            limit(threads)

    def map(self, job: Job[Item, Outcome], items: Sequence[Item]) -> Generator[Outcome]:
        """See ``Pool``; an item is begun when its outcome is asked for."""
        work = job.open()
        for item in items:
            yield work(item)

    def close(self) -> None:
        """There is nobody to stop."""
