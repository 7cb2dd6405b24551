"""The verb ``recover``: diagnosis, attempts, and the best case on disk at any time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, final

import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.attempts.all_samples import made_again, on_all_samples
from lostbits.attempts.finish import Finish, at_least
from lostbits.attempts.in_words import in_words
from lostbits.attempts.ledger import Entry
from lostbits.attempts.planner import Planner, Tools
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.network import CLOSURE
from lostbits.diagnoses.settings import Settings
from lostbits.graph.named_parts import ALL
from lostbits.graph.outputs import Compared
from lostbits.graph.place import place
from lostbits.graph.site import Role
from lostbits.metric import Metric
from lostbits.plan.calibrated import calibrated
from lostbits.recoveries.float_ops import floatable
from lostbits.recoveries.precision import by_cost, widened
from lostbits.recovery import Diagnosed, Effort, Recovery, applied
from lostbits.results.recovery import Attempt, Outcome, SiteChange, Wider
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.equality import relative_error
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judge, Judges
from lostbits.runtime.measured import measured_model
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.session import Session
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent

_DIAGNOSED, _LEAST_DIAGNOSED = 16, 4  # samples that the first and the last attribution look at
# Seconds that attributing one activation of one sample takes, on two cores. Not measured anew in a
# run, because then two runs with one seed could look at different samples.
_DIAGNOSIS_SECONDS = 2e-8
_DIAGNOSIS_SHARE = 0.25  # part of the time that one may take
# Of attributions between attempts: samples, and what they may miss the total by. They choose the
# next attempt, for which rough figures do; as good as the first, they cost as much as an attempt.
_BETWEEN, _ROUGHLY = 8, 0.1
# Runs that a pass is timed by: a neighbour's work makes single ones half as long again.
_LEAST_TIMED, _TIMED, _TIMING_SECONDS = 4, 12, 1.0

Save = Callable[[Case, Sequence[Entry]], None]


@final
@dataclass(frozen=True)
class Wishes:
    """What a recovery may be told.

    Attributes:
        methods: What may be tried.
        goal: Where to stop; None tries everything that there is time for.
        budget: Seconds that the attempts may take together.
        effort: How hard to try.
    """

    methods: tuple[Recovery, ...]
    goal: Goal | None = None
    budget: float = 600.0
    effort: Effort = field(default_factory=Effort)


@final
@dataclass(frozen=True)
class Bench:
    """What every attempt is measured with.

    Attributes:
        source: Samples to work on.
        judges: Samples that judge.
        labels: Of the samples that judge, or None.
        settings: Of the diagnosis.
        budget: Seconds for everything, of which attributions take a part.
        pool: Who calibrates, diagnoses, sweeps and judges.
        metric: That counts, or None.
        taught: Labels of the samples to work on, or None.
        whole: All samples, where those that judge were taken from them; else None.
        planned: Makes the case as it came on all of them.
    """

    source: Source
    judges: Source
    labels: NDArray[Any] | None
    settings: Settings
    budget: float = float("inf")
    pool: Pool = field(default_factory=InProcess)
    metric: Metric | None = None
    taught: NDArray[Any] | None = None
    whole: Source | None = None
    planned: Callable[[], Case] | None = None

    @property
    def panel(self) -> Judges:
        """What decides over attempts."""
        return Judges(self.judges, self.labels, self.metric, self.pool)

    def trials(self, goal: Goal | None) -> Judges:
        """What decides over trials within an attempt: the samples to work on.

        Where they have no labels and what counts needs some, the samples that judge stand in: a
        search among few candidates in a fixed order learns next to nothing from them.
        """
        counts = self.metric is not None and self.metric.labels != "none"
        asks = goal is not None and goal.name.startswith("accuracy")
        if self.taught is None and self.labels is not None and (counts or asks):
            return self.panel
        return Judges(self.source, self.taught, self.metric, self.pool)

    def run(
        self,
        case: Case,
        progress: Progress = silent,
        tolerance: float = CLOSURE,
        most: int = _DIAGNOSED,
        of: str | None = None,
    ) -> Run:
        """A diagnosis of the first samples; ``of`` is what is attributed, see ``Settings``."""
        few = self.source.slice(0, min(self._few(case), most))
        part = case.over(len(few))
        run = Run(part, few, replace(self.settings, of=of or self.settings.of), None, tolerance)
        run.diagnose(progress, self.pool)
        return run

    def _few(self, case: Case) -> int:
        """Samples that an attribution may look at: as many as a part of the time is enough for."""
        affordable = _DIAGNOSIS_SHARE * self.budget / max(_each(case), 1e-9)
        return int(min(max(affordable, _LEAST_DIAGNOSED), _DIAGNOSED, len(self.source)))

    def diagnose(self, case: Case) -> Diagnosed:
        """Where its error comes from."""
        return _diagnosed(self.run(case, tolerance=_ROUGHLY, most=_BETWEEN))

    def look_seconds(self, case: Case) -> float:
        """How long ``diagnose`` takes, about."""
        return min(self._few(case), _BETWEEN) * _each(case)

    def recalibrate(self, case: Case, model: ir.Model, source: Source | None = None) -> Case:
        """The case of ``model``, planned by the target's own rules and the user's wishes."""
        placed, told = place(model, case.target), self.settings
        return calibrated(
            model,
            placed,
            case.target,
            source or self.source,
            batch=told.batch,
            overrides=told.overrides,
            work=told.cache,
            pool=self.pool,
            compared=case.compared,
        )

    def pass_seconds(self, model: ir.Model) -> float:
        """How long ``model`` takes over the samples to work on, from the fastest of some runs."""
        session = Session(model)
        part = next(iter(self.source.batches(self.settings.batch)))
        times: list[float] = []
        while len(times) < _LEAST_TIMED or (len(times) < _TIMED and sum(times) < _TIMING_SECONDS):
            start = time.perf_counter()
            session.run(part.feeds)
            times.append(time.perf_counter() - start)
        return min(times) * len(self.source) / part.size

    def distance(
        self, before: ir.Model, compared: Sequence[Compared] = ()
    ) -> Callable[[ir.Model], float]:
        """How far another form of the network is from ``before`` on the samples that judge.

        Where outputs are chosen from candidates, by those: the last bit may choose otherwise.
        """
        first = next(iter(self.judges.batches(self.settings.batch)))
        floats = trimmed(Session(measured_model(before, compared)).run(first.feeds), first)

        def distance(model: ir.Model) -> float:
            ended = measured_model(model, compared)
            others = trimmed(Session(ended).run(first.feeds), first)
            pairs = zip(others.values(), floats.values(), strict=True)
            return max(relative_error(other, plain) for other, plain in pairs)

        return distance


def recover(
    case: Case, run: Run, bench: Bench, wishes: Wishes, save: Save, progress: Progress = silent
) -> tuple[Case, list[Attempt], Outcome]:
    """Win back what can be won of a case, which ``run`` has diagnosed: the best, and how."""
    judge = bench.panel.judge(case)
    judges, distance = bench.trials(wishes.goal), bench.distance(case.model, case.compared)
    tools = Tools(judge.judged, bench.diagnose, bench.recalibrate, distance, save, judges)
    deadline = time.monotonic() + wishes.budget
    effort = replace(wishes.effort, goal=wishes.goal, pool=bench.pool)
    first, seconds = _diagnosed(run), (bench.pass_seconds(case.model), bench.look_seconds(case))
    planner = Planner(case, first, bench.source, wishes.methods, deadline, effort, tools, *seconds)
    finish = Finish(planner, progress)
    planner.attempted = finish.again
    planner.run(progress)
    finish.leave_out()
    met = None if wishes.goal is None else wishes.goal.met(planner.now)
    best, written = _written(planner, bench, judge, progress)
    if best is not planner.case:
        save(best, [])
    same = ALL if run.focus is None else run.focus.name
    last = bench.run(best, progress, _ROUGHLY, of=same)
    sites, bounds = site_changes(run, last), floors(planner.case, judge)
    wider = [] if wishes.goal is not None else with_more_bits(planner.case, last, judge)
    stopped = planner.reason_to_stop()
    figures = (planner.before, planner.now, stopped, met, bounds)
    whole = bench.whole if best is not planner.case else None
    text = in_words(*figures, wider, whole)
    outcome = Outcome(*figures, sites, text, wider, None if whole is None else written)
    return best, [_attempt(entry) for entry in planner.ledger], outcome


def _written(
    planner: Planner, bench: Bench, judge: Judge, progress: Progress
) -> tuple[Case, Baseline | None]:
    """What is written: the best, made on all samples, and no worse than the plan on those."""
    if bench.whole is None or bench.planned is None:
        return planner.case, None
    base = plan = bench.planned()
    if planner.base is not planner.first:
        base = bench.recalibrate(planner.base, planner.base.model, bench.whole)
    rivals = [on_all_samples(planner.base, base, planner.steps)]
    if planner.steps:
        context = replace(planner.context(planner.diagnosed, progress), source=bench.whole)
        rivals += [made_again(planner, base, context), planner.case, plan]
    return best_of(rivals, judge)


def best_of(cases: Sequence[Case], judge: Judge) -> tuple[Case, Baseline]:
    """The best, and of equals the first."""
    judged = [judge.judged(case) for case in cases]
    best = 0
    for number in range(1, len(cases)):
        if not at_least(judged[best], judged[number]):
            best = number
    return cases[best], judged[best].baseline


_WIDER = (1, 3, 5)


def with_more_bits(case: Case, run: Run, judge: Judge) -> list[Wider]:
    """What the wide grid, or float, on the tensors that cost most would give."""
    order = by_cost(case, _diagnosed(run))
    found = []
    for count in sorted({min(count, len(order)) for count in _WIDER}):
        change = widened(case, order[:count])
        tensors = [group[0].tensor for step in order[:count] for group in step]
        found.append(Wider(tensors, judge(applied(case, change))))
    return found


def _attempt(entry: Entry) -> Attempt:
    return Attempt(**vars(entry), gain_db=entry.gain_db)


def site_changes(before: Run, after: Run) -> list[SiteChange]:
    """Every site of two diagnoses of the same samples, before and after."""
    error = before.network().total
    old, new = (run.standings(error) for run in (before, after))
    parts = {key: key.rpartition(":") for key in {**old, **new}}
    return [
        SiteChange(tensor, cast(Role, role), old.get(key), new.get(key))
        for key, (tensor, _, role) in parts.items()
    ]


def floors(case: Case, judge: Callable[[Case], Baseline]) -> dict[str, float | None]:
    """Decibels that the output would have with one role in float: what no rounding can beat."""
    activations = {s.key: case.plan[s.key] for s in case.sites if s.streams}
    constants = {key: a for key, a in case.plan.items() if key not in activations}
    return {
        "weights_in_float": judge(replace(case, plan=activations, written={})).sqnr_db,
        "activations_in_float": judge(replace(case, plan=constants)).sqnr_db,
    }


def _each(case: Case) -> float:
    """Seconds that attributing one sample takes."""
    return _DIAGNOSIS_SECONDS * case.values(case.sites)


def _diagnosed(run: Run) -> Diagnosed:
    return Diagnosed(run.network(), tuple(run.layers()), floatable=floatable(run.case))
