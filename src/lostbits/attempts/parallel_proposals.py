"""What several recoveries propose for one case, side by side.

Most recoveries share their work inside. Some decide on one layer after the other and keep a single
process busy: those can be asked at the same time, each in a worker. Which of them is kept is
decided as if they had been asked one after the other: what was proposed for a case counts for that
case alone, and after the first one that helps, the others are asked again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard, final

from lostbits.case import Case
from lostbits.data import Source
from lostbits.recovery import Change, Context, Effort, Inputs, Recovery, Sweeping
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import silent


@final
@dataclass(frozen=True)
class _Proposals:
    """The job; its items are recoveries."""

    case: Case
    context: Context
    by_threads: bool = False

    @property
    def source(self) -> Source:
        """See ``Job``."""
        return self.context.source

    def open(self) -> Callable[[Sweeping], Change]:
        def work(recovery: Sweeping) -> Change:
            return recovery.change(self.case, self.context)

        return work


def proposals(recoveries: Sequence[Sweeping], case: Case, context: Context) -> dict[str, Change]:
    """What each proposes, by its name; several at a time, if the effort's pool has workers."""
    if len(recoveries) == 1:
        (only,) = recoveries
        return {only.name: only.change(case, context)}
    pool, progress = context.effort.pool, context.progress
    alone = replace(context.effort, pool=InProcess())
    # What judges and what keeps noise gains hold a pool, which only its own process can use.
    bare = replace(context, effort=alone, progress=silent, judges=None, known=None)
    job = _Proposals(case, bare)
    names, found = [r.name for r in recoveries], {}
    progress(" | ".join(names), 0, len(names))
    for name, change in zip(names, pool.map(job, recoveries), strict=True):
        found[name] = change
        progress(" | ".join(names), len(found), len(names))
    return found


def beside(recovery: Recovery, effort: Effort) -> TypeGuard[Sweeping]:
    """Whether others may be asked beside it: there are workers, whom it does not need itself."""
    alone = isinstance(recovery, Sweeping) and recovery.alone
    return alone and effort.inputs is Inputs.RECOVERED and effort.pool.workers > 1
