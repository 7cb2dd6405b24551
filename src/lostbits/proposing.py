"""What several recoveries propose for one case, side by side.

Most recoveries share their work inside. Some decide on one layer after the other and keep a single
process busy: those can be asked at the same time, each in a worker. Which of them is kept is
decided as if they had been asked one after the other: what was proposed for a case counts for that
case alone, and after the first one that helps, the others are asked again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

from lostbits.case import Case
from lostbits.data import Source
from lostbits.recovery import Change, Diagnosed, Effort, Inputs, Recovery
from lostbits.runtime.pools import InProcess
from lostbits.runtime.progress import Progress, silent


@final
@dataclass(frozen=True)
class _Proposals:
    """The job; its items are recoveries."""

    case: Case
    source: Source
    diagnosed: Diagnosed
    effort: Effort
    by_threads: bool = False

    def open(self) -> Callable[[Recovery], Change]:
        def work(recovery: Recovery) -> Change:
            return recovery.propose(self.case, self.source, self.diagnosed, self.effort, silent)

        return work


def proposals(
    recoveries: Sequence[Recovery],
    case: Case,
    source: Source,
    diagnosed: Diagnosed,
    effort: Effort,
    progress: Progress = silent,
) -> dict[str, Change]:
    """What each proposes, by its name; several at a time, if the effort's pool has workers."""
    if len(recoveries) == 1:
        (only,) = recoveries
        return {only.name: only.propose(case, source, diagnosed, effort, progress)}
    job = _Proposals(case, source, diagnosed, replace(effort, pool=InProcess()))
    names, found = [r.name for r in recoveries], {}
    progress(" | ".join(names), 0, len(names))
    for name, change in zip(names, effort.pool.map(job, recoveries), strict=True):
        found[name] = change
        progress(" | ".join(names), len(found), len(names))
    return found


def beside(recovery: Recovery, effort: Effort) -> bool:
    """Whether others may be asked beside it: there are workers, whom it does not need itself."""
    return recovery.alone and effort.inputs is Inputs.RECOVERED and effort.pool.workers > 1
