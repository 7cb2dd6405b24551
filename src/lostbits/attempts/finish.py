"""What is tried from the first plan again, and what is left out again at the end.

Attempts follow each other, and each is tuned to the errors that it finds. What comes last may
remove those errors altogether (16 bits do): then what was kept before is of no use, or harms. So
recoveries that say so are tried from the first plan, too; and a step is left out where the result
is better without it.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from lostbits.attempts.ledger import Entry, decibels_of, failed
from lostbits.attempts.pace import attempt_cost
from lostbits.attempts.planner import LEAST, Planner
from lostbits.case import Case
from lostbits.errors import LostbitsError
from lostbits.language import say
from lostbits.recovery import Change, Recovery, Sweeping, applied
from lostbits.runtime.goal import Goal
from lostbits.runtime.judged import Judged, better, counting, decibels
from lostbits.runtime.metrics import Baseline
from lostbits.workers.progress import ATTEMPT, Progress

_ROUNDS = 3  # of a goal that is met where trials are judged, but not where the result is
_OFF = 3.0  # dB that forecasts of ranges are off by, and seldom by more
FIRST, LEFT_OUT = "first plan", "left out"  # scopes of what starts there, and of what is taken back


@final
class Finish:
    """Looks behind a planner: at what it came from, and at what it keeps.

    Args:
        planner: Whose best may be replaced.
        progress: Told how far the work is.
    """

    def __init__(self, planner: Planner, progress: Progress) -> None:
        self.planner, self.progress = planner, progress

    def again(self, recovery: Recovery, awaited: float = 0.0) -> None:
        """Attempt from the first plan what was just attempted from the best, if worth it.

        Args:
            recovery: What was attempted.
            awaited: Seconds of all that may still help, which come first.
        """
        if isinstance(recovery, Sweeping) and recovery.afresh and self._worth(recovery, awaited):
            self._afresh(recovery)

    @property
    def _goal(self) -> Goal | None:
        return self.planner.effort.goal

    def _met(self, judged: Judged) -> bool:
        return self._goal is not None and self._goal.met(judged.baseline)

    def _worth(self, recovery: Sweeping, awaited: float) -> bool:
        """Whether there is something to win, and time for it."""
        planner, met = self.planner, self._met(self.planner.judged)
        room = planner.deadline - time.monotonic() - awaited
        if planner.pace.needed(attempt_cost(recovery, planner.first)) > room:
            return False
        others = planner.base is not planner.first or any(
            n != recovery.name for n, _ in planner.steps
        )
        if recovery.stage == "precision":
            wide = any(name == recovery.name for name, _ in planner.steps)
            return self._goal is not None and (not met or (others and wide))
        return others and not met and self._catches_up(recovery)

    def _catches_up(self, recovery: Sweeping) -> bool:
        """Whether its forecast could make good what the steps since have won."""
        planner = self.planner
        won = decibels_of(planner.now) - decibels_of(planner.before)
        return won <= recovery.gain(planner.first_diagnosed) + _OFF

    def _afresh(self, recovery: Sweeping) -> None:
        """One attempt that starts where the recovery began."""
        planner, began = self.planner, time.perf_counter()
        number = len(planner.ledger) + 1
        self.progress(f"{ATTEMPT}{recovery.name}", number, number)
        try:
            change, case, judged = self._best_change(recovery)
        except (LostbitsError, ArithmeticError) as error:
            change, case, judged = failed(recovery, error), planner.first, planner.judged
        kept = case is not planner.first and self._replaces(case, judged)
        gain = 0.0 if self._goal is None else max(planner.missing_db or 0.0, 0.0)
        seconds = time.perf_counter() - began
        figures = (planner.now, judged.baseline, kept, seconds, change.summary, change.skipped)
        planner.ledger.append(Entry(recovery.name, FIRST, gain, *figures))
        if kept:
            planner.case, planner.judged, planner.base = case, judged, planner.first
            planner.steps, planner.stage, planner.moved = (
                [(recovery.name, change)],
                recovery.stage,
                True,
            )
            planner.proposed.clear()
        planner.tools.save(planner.case, planner.ledger)

    def _best_change(self, recovery: Sweeping) -> tuple[Change, Case, Judged]:
        """The change, and how it does; asked for more where trials were content too early."""
        planner, goal = self.planner, self._goal
        context = planner.context(planner.first_diagnosed, self.progress)
        alone = planner.first is planner.case and recovery.stage == "precision"
        if alone and goal is not None:  # the attempt before this one started there, too
            goal = raised(goal, self._short(planner.ledger[-1].after))
        for _ in range(_ROUNDS if recovery.stage == "precision" else 1):
            asked = replace(context, effort=replace(context.effort, goal=goal))
            change = recovery.change(planner.first, asked)
            case = planner.first if change.empty else applied(planner.first, change)
            judged = planner.tools.judge(case)
            if goal is None or self._met(judged) or time.monotonic() > planner.deadline:
                break
            goal = raised(goal, self._short(judged.baseline))
        return change, case, judged

    def _short(self, found: Baseline) -> float:
        """What the figure lacks to the goal, in its unit."""
        assert self._goal is not None
        figure = self._goal.figure(found)
        return abs(self._goal.bound - (self._goal.bound if figure is None else figure))

    def _replaces(self, case: Case, judged: Judged) -> bool:
        """Whether it is better than the best: where both meet the goal, by fewer wide sites."""
        planner = self.planner
        if self._met(judged) and self._met(planner.judged):
            return len(wide(case)) < len(wide(planner.case))
        return planner.prefers(judged)

    def leave_out(self) -> None:
        """Steps one by one, the latest first, where the result is better without."""
        planner = self.planner
        for number in reversed(range(len(planner.steps) - 1)):
            if time.monotonic() > planner.deadline:
                return
            rest = [step for i, step in enumerate(planner.steps) if i != number]
            case = rebuilt(planner.base, rest)
            try:
                judged = planner.tools.judge(case)
            except LostbitsError:  # without this step the network answers with no numbers
                continue
            if better(planner.judged, judged, LEAST) and self._met(judged) >= self._met(
                planner.judged
            ):
                self._drop(planner.steps[number][0], case, judged, rest)

    def _drop(self, name: str, case: Case, judged: Judged, rest: list[tuple[str, Change]]) -> None:
        planner = self.planner
        note = say("ledger.left_out", name=name)
        entry = Entry(name, LEFT_OUT, 0.0, planner.now, judged.baseline, True, 0.0, note, {})
        planner.ledger.append(entry)
        planner.case, planner.judged, planner.steps = case, judged, rest
        planner.tools.save(case, planner.ledger)


def rebuilt(base: Case, steps: Sequence[tuple[str, Change]]) -> Case:
    """A case with all of these changes, one after the other."""
    for _, change in steps:
        base = applied(base, change)
    return base


def wide(case: Case) -> list[str]:
    """Keys of the sites with more bits than the target's own, or in float."""
    least = {
        "weight": case.target.weights.grid.bits,
        "activation": case.target.activations.grid.bits,
    }
    affines = {s.key: (case.plan.get(s.key), least.get(s.role)) for s in case.placed.sites}
    return [
        key
        for key, (affine, bits) in affines.items()
        if affine is None or (bits is not None and affine.grid.bits > bits)
    ]


def raised(goal: Goal, by: float) -> Goal:
    """A goal that asks for more by as much."""
    return replace(goal, bound=goal.bound + (by if goal.sign == ">=" else -by))


def at_least(one: Judged, other: Judged) -> bool:
    """Whether a figure of samples that both have seen is not below the other's."""
    score = counting(one.baseline)
    ranks = ((score(j.baseline), decibels(j.baseline)) for j in (one, other))
    first, second = ranks
    return first >= second
