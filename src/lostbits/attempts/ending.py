"""What follows the attempts, as far as there is time: what is written, and what bounds it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import final

from lostbits.attempts.all_samples import made_again, on_all_samples
from lostbits.attempts.bench import ROUGHLY, Bench, Wishes
from lostbits.attempts.finish import at_least
from lostbits.attempts.in_runtime import InRuntime
from lostbits.attempts.planner import Planner
from lostbits.case import Case
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.own_effects import RANKED
from lostbits.recoveries.precision import by_cost, widened
from lostbits.recovery import applied
from lostbits.results.recovery import Wider
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.simulation import unless_infinite
from lostbits.system.deadline import Deadline
from lostbits.workers.progress import Progress

_WIDER = (1, 3, 5)
_JUDGED = 4  # cases that are judged after the attempts: those to be written, and the floors
_PART = 0.5  # of the time that is left, for the last attribution: what follows is judged


@final
class Ending:
    """The end of a recovery.

    Args:
        bench: What it is measured with.
        judge: Of all cases.
        wishes: With the deadline of the whole run.
        run: The first diagnosis.
        progress: Told how far the work is.
    """

    def __init__(
        self, bench: Bench, judge: Judge, wishes: Wishes, run: Run, progress: Progress
    ) -> None:
        self.bench, self.judge, self.wishes = bench, judge, wishes
        self.run, self.progress = run, progress
        self.in_runtime = InRuntime(judge, wishes.methods, wishes.deadline)

    @property
    def _deadline(self) -> Deadline:
        return self.wishes.deadline

    @property
    def _look(self) -> float:
        """Seconds that attributing one batch takes."""
        batches = max(self.run.done / self.run.batch, 1)
        return self.wishes.took.get("diagnose", 0.0) / batches

    @property
    def calibrating(self) -> float:
        """Seconds of a calibration on the samples to work on."""
        return self.wishes.took.get("calibrate", 0.0)

    @property
    def _anew(self) -> float:
        """Seconds of a calibration on all samples."""
        if self.bench.whole is None:
            return 0.0
        return self.calibrating * len(self.bench.whole) / len(self.bench.source)

    def seconds(self, judging: float) -> float:
        """That it should have, where judging a case takes so many."""
        in_runtime = self.in_runtime.seconds(self.run.case, judging)
        return self._anew + 2 * self._look + _JUDGED * judging + in_runtime

    def _left(self, planner: Planner) -> float:
        """Seconds for what is written: without those in which it runs in the runtime."""
        return self._deadline.left - self.in_runtime.seconds(planner.case, planner.judging)

    def written(self, planner: Planner) -> tuple[Case, Baseline | None]:
        """What is written: the best, made on all samples, and no worse than the plan on those.

        Where there is no time for that, the best as it was found.
        """
        bench, needed = self.bench, self._anew + planner.judging
        if bench.whole is None or bench.planned is None or self._left(planner) < needed:
            return planner.case, None
        best, figures = planner.case, planner.judged
        for number, rival in enumerate(self._rivals(planner)):
            judged = self.judge.judged(rival)
            # Of equals the one that saw most; without changes the plan of all samples is the plan.
            first = number == 0 and (at_least(judged, figures) or not planner.steps)
            if first or not at_least(figures, judged):
                best, figures = rival, judged
        return best, figures.baseline

    def _rivals(self, planner: Planner) -> Iterator[Case]:
        """Cases of all samples, the likeliest first, as long as there is time to judge one."""
        bench = self.bench
        assert bench.whole is not None and bench.planned is not None
        base = plan = bench.planned()
        if planner.base is not planner.first:
            base = bench.recalibrate(planner.base, planner.base.model, bench.whole)
        yield on_all_samples(planner.base, base, planner.steps)
        if planner.steps and not Deadline(planner.deadline).passed:
            context = planner.context(planner.diagnosed, self.progress)
            yield made_again(planner, base, replace(context, source=bench.whole))
        if planner.steps and self._left(planner) > planner.judging:
            yield plan

    def last(self, best: Case, of: str, judging: float) -> Run | None:
        """The attribution of what is written; None where there is no time for it."""
        if self._deadline.left < 2 * self._look + judging:  # what is said of it takes as long
            return None
        until = self._deadline.part(_PART)
        return self.bench.run(best, self.progress, ROUGHLY, of=of, deadline=until)

    def floors(self, planner: Planner) -> dict[str, float | None]:
        """Decibels of the output with one role in float, which no rounding of the other can beat.

        Unknown where there is no time to judge them, or where an output is no number any more.
        """
        found: dict[str, float | None] = {}
        for name, case in _in_part(planner.case).items():
            late = self._deadline.left < planner.judging
            found[name] = None if late else self._decibels(case)
        return found

    def _decibels(self, case: Case) -> float | None:
        found = unless_infinite(lambda: self.judge(case))
        return None if found is None else found.sqnr_db

    def predicted_floor(self, planner: Planner) -> float | None:
        """What noise gains predict in the place of the first of these; None without time or model.

        They take about as long as the attribution of a batch.
        """
        late = self._deadline.left < self._look + planner.judging
        if late and not planner.known.knows(planner.case):
            return None
        return planner.known(planner.case, planner.diagnosed.focus).floor_db(planner.case)

    def wider(self, planner: Planner) -> list[Wider]:
        """What the wide grid, or float, on the tensors that cost most would give.

        Which these are takes about as long as the attribution of as many samples.
        """
        case, found = planner.case, []
        ranked = self._look * min(RANKED, len(self.bench.source)) / self.run.batch
        if self._deadline.left < ranked + planner.judging:
            return []
        order = by_cost(case, self.bench.source)
        for count in sorted({min(count, len(order)) for count in _WIDER}):
            if self._deadline.left < planner.judging:
                break
            change = widened(case, order[:count])
            tensors = [group[0].tensor for step in order[:count] for group in step]
            found.append(Wider(tensors, self.judge(applied(case, change))))
        return found


def _in_part(case: Case) -> dict[str, Case]:
    """The case with either role in float."""
    activations = {s.key: case.plan[s.key] for s in case.sites if s.streams}
    constants = {key: a for key, a in case.plan.items() if key not in activations}
    return {
        "weights_in_float": replace(case, plan=activations, written={}),
        "activations_in_float": replace(case, plan=constants),
    }
