"""The end of a recovery: what is tried from the first plan again, and what is left out again.

Attempts follow each other, and each is tuned to the errors that it finds. What comes last may remove
those errors altogether (16 bits do): then what was kept before is of no use, or harms. So recoveries
that say so are tried from the first plan, too; and a step is left out where the result is no worse.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from lostbits.attempts.pace import attempt_cost
from lostbits.attempts.planner import LEAST, Entry, Planner, failed
from lostbits.case import Case
from lostbits.errors import LostbitsError
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Recovery, Sweeping, applied
from lostbits.runtime.goal import Goal
from lostbits.runtime.judged import Judged, better, counting, decibels
from lostbits.workers.progress import Progress

_ROUNDS = 3  # of a goal that is met where trials are judged, but not where the result is
FIRST = "first plan"  # scope of an attempt that starts there


@final
class Finish:
    """What happens to a planner that has nothing more to attempt.

    Args:
        planner: Whose best may be replaced.
        progress: Told how far the work is.
    """

    def __init__(self, planner: Planner, progress: Progress) -> None:
        self.planner, self.progress = planner, progress

    def run(self, recoveries: Sequence[Recovery]) -> None:
        """All of it, as far as there is time."""
        self._closer(recoveries)
        for recovery in recoveries:
            if isinstance(recovery, Sweeping) and recovery.afresh and self._worth(recovery):
                self._afresh(recovery)
        self._leave_out()

    @property
    def _goal(self) -> Goal | None:
        return self.planner.effort.goal

    def _met(self, judged: Judged) -> bool:
        return self._goal is not None and self._goal.met(judged.baseline)

    def _worth(self, recovery: Recovery) -> bool:
        """Whether something else was kept before, and there is something to win and time for it."""
        planner = self.planner
        others = planner.base is not planner.first or any(n != recovery.name for n, _ in planner.steps)
        room = planner.deadline - time.monotonic()
        cost = attempt_cost(recovery, planner.first)
        if recovery.stage == "precision":
            wide = any(name == recovery.name for name, _ in planner.steps)
            wanted = self._goal is not None and (wide or not self._met(planner.judged))
        else:
            wanted = not self._met(planner.judged)
        return others and wanted and planner.pace.needed(cost) <= room

    def _closer(self, recoveries: Sequence[Recovery]) -> None:
        """Go on with precision where its trials met the goal and the judging samples do not."""
        planner = self.planner
        tried = any(entry.method == "precision" for entry in planner.ledger)
        recovery = next((r for r in recoveries if r.stage == "precision"), None)
        if tried and isinstance(recovery, Sweeping) and not self._met(planner.judged):
            kept = any(name == recovery.name for name, _ in planner.steps)
            steps = [s for s in planner.steps if s[0] != recovery.name] if kept else planner.steps
            start = rebuilt(planner.base, steps)
            self._attempt(recovery, start, planner.diagnosed, "network", steps)

    def _afresh(self, recovery: Sweeping) -> None:
        planner = self.planner
        self._attempt(recovery, planner.first, planner.first_diagnosed, FIRST, [])

    def _attempt(
        self,
        recovery: Sweeping,
        start: Case,
        diagnosed: Diagnosed,
        scope: str,
        steps: Sequence[tuple[str, Change]],
    ) -> None:
        planner, began = self.planner, time.perf_counter()
        try:
            change, case, judged = self._best_change(recovery, start, diagnosed)
        except (LostbitsError, ArithmeticError) as error:
            change, case, judged = failed(recovery, error), start, planner.judged
        kept = case is not start and self._replaces(case, judged)
        seconds = time.perf_counter() - began
        gain = 0.0 if self._goal is None else max(planner.missing_db or 0.0, 0.0)
        figures = (planner.now, judged.baseline, kept, seconds, change.summary, change.skipped)
        planner.ledger.append(Entry(recovery.name, scope, gain, *figures))
        if kept:
            planner.case, planner.judged = case, judged
            planner.base = planner.first if scope == FIRST else planner.base
            planner.steps = [*steps, (recovery.name, change)]
        planner.tools.save(planner.case, planner.ledger)

    def _best_change(
        self, recovery: Sweeping, start: Case, diagnosed: Diagnosed
    ) -> tuple[Change, Case, Judged]:
        """The change, and how it does; asked for more where trials were content too early."""
        planner, goal = self.planner, self._goal
        context = planner.context(diagnosed, self.progress)
        for _ in range(_ROUNDS if recovery.stage == "precision" else 1):
            asked = replace(context, effort=replace(context.effort, goal=goal))
            change = recovery.change(start, asked)
            case = start if change.empty else applied(start, change)
            judged = planner.tools.judge(case)
            if goal is None or self._met(judged) or time.monotonic() > planner.deadline:
                break
            goal = raised(goal, self._short(judged))
        return change, case, judged

    def _short(self, judged: Judged) -> float:
        """What the figure lacks to the goal, in its unit."""
        assert self._goal is not None
        figure = self._goal.figure(judged.baseline)
        return abs(self._goal.bound - (self._goal.bound if figure is None else figure))

    def _replaces(self, case: Case, judged: Judged) -> bool:
        """Whether it is better than the best; of two that meet the goal, the one with fewer wide sites."""
        planner = self.planner
        if self._met(judged) and self._met(planner.judged):
            return len(wide(case)) < len(wide(planner.case))
        return planner.prefers(judged)

    def _leave_out(self) -> None:
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
            if better(planner.judged, judged, LEAST) and self._met(judged) >= self._met(planner.judged):
                self._drop(planner.steps[number][0], case, judged, rest)

    def _drop(
        self, name: str, case: Case, judged: Judged, rest: list[tuple[str, Change]]
    ) -> None:
        planner = self.planner
        note = say("ledger.left_out", name=name)
        figures = (0.0, planner.now, judged.baseline, True, 0.0, note, {})
        planner.ledger.append(Entry(name, "left out", *figures))
        planner.case, planner.judged, planner.steps = case, judged, rest
        planner.tools.save(case, planner.ledger)


def rebuilt(base: Case, steps: Sequence[tuple[str, Change]]) -> Case:
    """A case with all of these changes, one after the other."""
    for _, change in steps:
        base = applied(base, change)
    return base


def wide(case: Case) -> list[str]:
    """Keys of the sites with more bits than the target's own, or in float."""
    least = {"weight": case.target.weights.grid.bits, "activation": case.target.activations.grid.bits}
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
