"""Running sums over the data, kept on disk: a run that was killed goes on where they stand."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar, final

from lostbits.runtime.cache import Arrays, Cache
from lostbits.runtime.pool import Job, Outcome, Pool
from lostbits.runtime.progress import Progress, gathered
from lostbits.runtime.record import flattened, rebuilt

Outcome_contra = TypeVar("Outcome_contra", contravariant=True)
Whole = TypeVar("Whole")

_EVERY = 10.0  # seconds of work that a killed run may lose; writing sums takes far less


class Sums(Protocol[Outcome_contra, Whole]):
    """What outcomes are added up in.

    Attributes:
        form: What ``whole`` returns, a record; see ``runtime.record``.
    """

    @property
    def form(self) -> type[Whole]:
        """See above."""
        ...

    def merge(self, more: Outcome_contra) -> None:
        """Add an outcome."""
        ...

    def whole(self) -> Whole:
        """All that was added."""
        ...

    def restore(self, whole: Whole) -> None:
        """Put what ``whole`` has returned in the place of all that was added.

        Raises:
            ValueError: When it cannot be a sum of these; nothing has changed then.
        """
        ...


@final
@dataclass(frozen=True)
class Checkpoint:
    """Where the sums of one run over the data are kept.

    Attributes:
        cache: For everything that they depend on; None keeps nothing.
    """

    cache: Cache | None = None

    def resume(self, stage: str, sums: Sums[Outcome, Whole], most: int) -> int:
        """Restore what was kept, and say how many of the ``most`` stretches it is the sum of."""
        if self.cache is None:
            return 0
        return self.cache.load(stage, partial(_restored, sums, most)) or 0

    def keep(self, stage: str, done: int, sums: Sums[Outcome, Whole]) -> None:
        """Put the sum of so many stretches in the place of the one before."""
        if self.cache is not None:
            self.cache.keep(stage, flattened((done, sums.whole())))


def _restored(sums: Sums[Outcome, Whole], most: int, arrays: Arrays) -> int:
    done, whole = rebuilt(tuple[int, sums.form], arrays)  # type: ignore[name-defined]
    if not 0 < done <= most:
        raise ValueError(f"the sum of {done} stretches, where there are {most}")
    sums.restore(whole)
    return int(done)


NOWHERE = Checkpoint()


@final
@dataclass(frozen=True)
class Folding:
    """Adds up what a pool makes of the stretches of the data, in order.

    Attributes:
        pool: Who works.
        progress: Told after each stretch.
        checkpoint: Where the sums are kept.
    """

    pool: Pool
    progress: Progress
    checkpoint: Checkpoint = NOWHERE

    def run(
        self,
        stage: str,
        job: Job[range, Outcome],
        stretches: Sequence[range],
        sums: Sums[Outcome, Whole],
    ) -> None:
        """Merge all outcomes into ``sums``; what a checkpoint holds is not computed again."""
        done = self.checkpoint.resume(stage, sums, len(stretches))
        if rest := stretches[done:]:
            self._add(stage, job, rest, sums, done)

    def _add(
        self,
        stage: str,
        job: Job[range, Outcome],
        rest: Sequence[range],
        sums: Sums[Outcome, Whole],
        done: int,
    ) -> None:
        outcomes, kept = self.pool.map(job, rest), time.monotonic()
        try:
            came = gathered(outcomes, rest, stage, self.progress)
            for number, outcome in enumerate(came, done + 1):
                sums.merge(outcome)
                if number == done + len(rest) or time.monotonic() - kept > _EVERY:
                    self.checkpoint.keep(stage, number, sums)
                    kept = time.monotonic()
        finally:
            outcomes.close()
