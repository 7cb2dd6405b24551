"""Running sums over the data, kept on disk: a run that was killed goes on where they stand."""

import io
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

from lostbits.runtime.cache import Cache
from lostbits.runtime.pool import Job, Outcome, Pool
from lostbits.runtime.progress import Progress, gathered

_EVERY = 10.0  # seconds of work that a killed run may lose; writing sums takes far less

# What arrays are pickled as. Everything else in a checkpoint is a class of ours or a plain value:
# a file that somebody has put there must not be able to call anything.
_OF_NUMPY = frozenset({"_reconstruct", "scalar", "dtype", "ndarray", "_frombuffer"})


@final
@dataclass(frozen=True)
class Checkpoint:
    """Where the sums of one run over the data are kept.

    Attributes:
        cache: For everything that they depend on; None keeps nothing.
    """

    cache: Cache | None = None

    def recall(self, stage: str) -> tuple[int, Any]:
        """How many stretches are summed, and their sum; 0 and None when nothing was kept."""
        content = None if self.cache is None else self.cache.read(_name(stage))
        if content is None:
            return 0, None
        try:
            done, total = _Unpickler(io.BytesIO(content)).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError):
            return 0, None
        return int(done), total

    def keep(self, stage: str, done: int, total: Any) -> None:
        """Put a sum in the place of the one before."""
        if self.cache is not None:
            self.cache.put(_name(stage), pickle.dumps((done, total), 5))


NOWHERE = Checkpoint()


@final
class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith(("lostbits.", "numpy")) else 0
        if (module.startswith("lostbits.") and isinstance(found, type)) or name in _OF_NUMPY:
            return found
        raise pickle.UnpicklingError(f"{module}.{name}")


def _name(stage: str) -> str:
    return f"{stage}.sums"


class Sums(Protocol[Outcome]):
    """What outcomes are added up in."""

    def merge(self, more: Outcome) -> None:
        """Add an outcome."""
        ...

    def whole(self) -> Outcome:
        """All that was added, in the form of one outcome."""
        ...

    def restore(self, whole: Outcome) -> None:
        """Put what ``whole`` has returned in the place of all that was added."""
        ...


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
        sums: Sums[Outcome],
    ) -> None:
        """Merge all outcomes into ``sums``; what a checkpoint holds is not computed again."""
        done, known = self.checkpoint.recall(stage)
        if done:
            sums.restore(known)
        if rest := stretches[done:]:
            self._add(stage, job, rest, sums, done)

    def _add(
        self,
        stage: str,
        job: Job[range, Outcome],
        rest: Sequence[range],
        sums: Sums[Outcome],
        done: int,
    ) -> None:
        outcomes, kept = self.pool.map(job, rest), time.monotonic()
        try:
            came = gathered(outcomes, rest, stage, self.progress)
            for number, outcome in enumerate(came, done + 1):
                sums.merge(outcome)
                if number == done + len(rest) or time.monotonic() - kept > _EVERY:
                    self.checkpoint.keep(stage, number, sums.whole())
                    kept = time.monotonic()
        finally:
            outcomes.close()
