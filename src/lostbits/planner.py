"""From a diagnosis to an ordered list of attempts; each is judged on samples it has not seen."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

import onnx_ir as ir

from lostbits.case import Case
from lostbits.data import Source
from lostbits.errors import RecoveryError
from lostbits.recovery import STAGES, Change, Diagnosed, Effort, Recovery, applied
from lostbits.runtime.judge import Judge
from lostbits.runtime.measure import Baseline
from lostbits.runtime.progress import Progress

_LEAST = 0.05  # dB: less than this is within what other samples would change
_LARGE = 3.0  # dB: after such a gain the errors lie elsewhere, and are attributed anew
_SAME_FUNCTION = 1e-3  # relative error that a change of form may leave in the float outputs


@final
@dataclass(frozen=True)
class Entry:
    """One attempt, as the ledger keeps it."""

    method: str
    scope: str
    predicted_gain_db: float
    before: Baseline
    after: Baseline
    kept: bool
    seconds: float
    note: str
    skipped: Mapping[str, str]

    @property
    def gain_db(self) -> float:
        """What it won, or lost, on held-out samples."""
        return _decibels(self.after) - _decibels(self.before)

    def row(self) -> dict[str, Any]:
        """As result.json has it."""
        return {**asdict(self), "gain_db": self.gain_db}


@final
@dataclass(frozen=True)
class Tools:
    """What the planner works with; each is a function, so that a test can put another in place.

    Attributes:
        judge: Figures of a case on held-out samples.
        diagnose: Where the error of a case comes from.
        recalibrate: The case of another form of the float network.
        distance: Relative change of the float outputs under another form.
        save: Told of every case that is the best so far.
    """

    judge: Judge | Callable[[Case], Baseline]
    diagnose: Callable[[Case], Diagnosed]
    recalibrate: Callable[[Case, ir.Model], Case]
    distance: Callable[[ir.Model], float]
    save: Callable[[Case, Sequence[Entry]], None]


@final
@dataclass
class Planner:
    """One recovery in progress.

    Attributes:
        case: The best so far.
        diagnosed: Where its error comes from.
        source: Samples to work on.
        recoveries: What may be tried.
        deadline: ``time.monotonic()`` before which an attempt should end; one that would end later
            by the number of its passes does not start.
        effort: How hard each may try, and the goal at which to stop.
        tools: See Tools.
        pass_seconds: How long the float network takes over the samples to work on.
    """

    case: Case
    diagnosed: Diagnosed
    source: Source
    recoveries: Sequence[Recovery]
    deadline: float
    effort: Effort
    tools: Tools
    pass_seconds: float = 0.0
    ledger: list[Entry] = field(default_factory=list)
    stopped: str = ""

    def run(self, progress: Progress) -> None:
        """Attempt until the goal is met, the time is up, or nothing is left to try."""
        self.before = self.now = self.tools.judge(self.case)
        self.tools.save(self.case, self.ledger)
        waiting = list(self.recoveries)
        while True:
            self.stopped = self._reason_to_stop(waiting)
            if self.stopped:
                return
            chosen = self._next(waiting)
            waiting.remove(chosen)
            self._attempt(chosen, progress)

    def _reason_to_stop(self, waiting: Sequence[Recovery]) -> str:
        goal = self.effort.goal
        if goal is not None and goal.met(self.now):
            return f"the goal {goal} is met"
        if time.monotonic() >= self.deadline:
            return "the time is up"
        if not waiting:
            return "nothing is left to try"
        late = [r for r in waiting if not self._fits(r)]
        if len(late) < len(waiting):
            return ""
        needs = ", ".join(f"{r.name} about {r.passes * self.pass_seconds:.0f} s" for r in late)
        return f"nothing that is left fits into the time ({needs})"

    def _fits(self, recovery: Recovery) -> bool:
        return time.monotonic() + recovery.passes * self.pass_seconds < self.deadline

    def _next(self, waiting: Sequence[Recovery]) -> Recovery:
        """The earliest stage first; within it, the most decibels a second."""
        affordable = [r for r in waiting if self._fits(r)]
        first = min(STAGES.index(r.stage) for r in affordable)
        now = [r for r in affordable if STAGES.index(r.stage) == first]
        return max(now, key=lambda r: r.predict(self.case, self.diagnosed) / r.passes)

    def _attempt(self, recovery: Recovery, progress: Progress) -> None:
        predicted, start = recovery.predict(self.case, self.diagnosed), time.perf_counter()
        change = recovery.propose(self.case, self.source, self.diagnosed, self.effort, progress)
        after, case = self.now, self.case
        if not change.empty:
            case = self._changed(recovery, change)
            after = self.tools.judge(case)
        kept = _decibels(after) - _decibels(self.now) >= _LEAST
        seconds = time.perf_counter() - start
        entry = Entry(
            recovery.name,
            "network",
            predicted,
            self.now,
            after,
            kept,
            seconds,
            change.summary,
            change.skipped,
        )
        self.ledger.append(entry)
        if kept:
            self.case, self.now = case, after
            if entry.gain_db >= _LARGE:
                self.diagnosed = self.tools.diagnose(case)
        self.tools.save(self.case, self.ledger)

    def _changed(self, recovery: Recovery, change: Change) -> Case:
        if change.model is None:
            return applied(self.case, change)
        distance = self.tools.distance(change.model)
        if recovery.keeps_function and not distance < _SAME_FUNCTION:
            raise RecoveryError(
                "R003",
                f"recovery {recovery.name!r}",
                "promises to keep the float network",
                f"its outputs moved by {distance:.1e}",
                f"forbid it with --methods -{recovery.name}, and please report the model",
            )
        return self.tools.recalibrate(self.case, change.model)


def _decibels(found: Baseline) -> float:
    """SQNR with no error at all at the end of the scale."""
    return 200.0 if found.sqnr_db is None else found.sqnr_db
