"""Running sums over the data, kept on disk: a run that was killed goes on where they stand."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, final

from lostbits.data import Source
from lostbits.statistic import RunningSum
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.cache import Arrays, Cache
from lostbits.workers.pool import Job, Pool
from lostbits.workers.progress import Progress, gathered
from lostbits.workers.record import flattened, rebuilt

Sums = TypeVar("Sums", bound=RunningSum[Any])
Outcome = TypeVar("Outcome")
Check = Callable[[Any], None]

_EVERY = 10.0  # seconds of work that a killed run may lose; writing sums takes far less


def anything(state: object) -> None:
    """Any state that has the form of the sum will do."""


@final
@dataclass(frozen=True)
class Checkpoint:
    """Where the sums of one run over the data are kept.

    Attributes:
        cache: For everything that they depend on; None keeps nothing.
    """

    cache: Cache | None = None

    def resume(self, stage: str, sums: RunningSum[Any], most: int, check: Check) -> int:
        """Restore what was kept, and say how many of the ``most`` chunks it is the sum of."""
        if self.cache is None:
            return 0
        return self.cache.load(stage, partial(_restored, sums, most, check)) or 0

    def keep(self, stage: str, done: int, sums: RunningSum[Any]) -> None:
        """Put the sum of so many chunks in the place of the one before."""
        if self.cache is not None:
            self.cache.keep(stage, flattened((done, sums.state())))


def _restored(sums: RunningSum[Any], most: int, check: Check, arrays: Arrays) -> int:
    done, state = rebuilt(tuple[int, sums.form], arrays)  # type: ignore[name-defined]
    if not 0 < done <= most:
        raise ValueError(f"the sum of {done} chunks, where there are {most}")
    check(state)
    sums.restore(state)
    return int(done)


NOWHERE = Checkpoint()


@final
@dataclass(frozen=True)
class Folding:
    """Adds up what a pool makes of the chunks of the data, in order.

    Attributes:
        pool: Who works.
        progress: Told after each chunk.
        checkpoint: Where the sums are kept.
        deadline: After which no other chunk is begun, but for the first; what was begun is added.
    """

    pool: Pool
    progress: Progress
    checkpoint: Checkpoint = NOWHERE
    deadline: Deadline = NEVER

    def run(
        self,
        stage: str,
        job: Job[range, Sums],
        chunks: Sequence[range],
        sums: Sums,
        check: Check = anything,
    ) -> None:
        """Merge all outcomes into ``sums``; what a checkpoint holds is not computed again.

        Args:
            stage: A name, for progress and for the checkpoint.
            job: Makes a sum of each chunk.
            chunks: Of the samples.
            sums: To be merged into.
            check: Raises ValueError for a state that cannot be a sum of these samples. A checksum
                tells damage from what was written, but not who has written it.
        """
        done = self.checkpoint.resume(stage, sums, len(chunks), check)
        if rest := chunks[done:]:
            self._add(stage, job, rest, sums, done)

    def _add(
        self,
        stage: str,
        job: Job[range, Sums],
        rest: Sequence[range],
        sums: Sums,
        done: int,
    ) -> None:
        timely = _Timely(job, rest[0], self.deadline)
        outcomes, kept = self.pool.map(timely, rest), time.monotonic()
        try:
            came = gathered(outcomes, rest, stage, self.progress)
            for number, outcome in enumerate(came, done + 1):
                if outcome is None:
                    return
                sums.merge(outcome)
                if number == done + len(rest) or time.monotonic() - kept > _EVERY:
                    self.checkpoint.keep(stage, number, sums)
                    kept = time.monotonic()
        finally:
            outcomes.close()


@final
@dataclass(frozen=True)
class _Timely(Generic[Outcome]):
    """A job whose items are none of it once its time is up.

    Several are worked on at a time: those that are begun by then take their time anyway.

    Attributes:
        job: What is done in time.
        first: The chunk that is always done.
        deadline: When time is up.
    """

    job: Job[range, Outcome]
    first: range
    deadline: Deadline

    @property
    def source(self) -> Source:
        """See ``Job``."""
        return self.job.source

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return self.job.by_threads

    def open(self) -> Callable[[range], Outcome | None]:
        """See ``Job``."""
        work = self.job.open()

        def timely(chunk: range) -> Outcome | None:
            return None if self.deadline.passed and chunk != self.first else work(chunk)

        return timely
