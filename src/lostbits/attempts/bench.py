"""The verb ``recover``: diagnosis, attempts, and the best case on disk at any time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.attempts.planner import Entry, Planner, Tools
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.network import CLOSURE
from lostbits.diagnoses.settings import Settings
from lostbits.graph.compared_outputs import Compared
from lostbits.graph.named_parts import ALL
from lostbits.graph.place import place
from lostbits.graph.site import Role
from lostbits.language import Message, listed, say
from lostbits.plan.calibrated import calibrated
from lostbits.recovery import Diagnosed, Effort, Recovery
from lostbits.results.recovery import Attempt, Outcome, SiteChange
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.equality import relative_error
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judge
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
    """

    source: Source
    judges: Source
    labels: NDArray[np.int64] | None
    settings: Settings
    budget: float = float("inf")
    pool: Pool = field(default_factory=InProcess)

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

    def recalibrate(self, case: Case, model: ir.Model) -> Case:
        """The case of ``model``, planned by the target's own rules and the user's wishes."""
        placed, told = place(model, case.target), self.settings
        return calibrated(
            model,
            placed,
            case.target,
            self.source,
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
    judge = Judge(case.model, bench.judges, bench.labels, bench.pool, case.compared)
    distance = bench.distance(case.model, case.compared)
    tools = Tools(judge, bench.diagnose, bench.recalibrate, distance, save)
    deadline = time.monotonic() + wishes.budget
    effort = replace(wishes.effort, goal=wishes.goal, pool=bench.pool)
    first, seconds = _diagnosed(run), (bench.pass_seconds(case.model), bench.look_seconds(case))
    planner = Planner(case, first, bench.source, wishes.methods, deadline, effort, tools, *seconds)
    planner.run(progress)
    met = None if wishes.goal is None else wishes.goal.met(planner.now)
    best, bounds = planner.case, floors(planner.case, judge)
    same = ALL if run.focus is None else run.focus.name
    sites = site_changes(run, bench.run(best, progress, _ROUGHLY, of=same))
    figures = (planner.before, planner.now, planner.stopped, met, bounds)
    outcome = Outcome(*figures, sites, _in_words(*figures))
    return best, [_attempt(entry) for entry in planner.ledger], outcome


def _attempt(entry: Entry) -> Attempt:
    return Attempt(**vars(entry), gain_db=entry.gain_db)


def _in_words(
    before: Baseline,
    after: Baseline,
    stopped: Message,
    met: bool | None,
    floors: dict[str, float | None],
) -> Message:
    """Before and after, why it ended, and what bounds it."""
    figures = (
        ("sqnr", before.sqnr_db, after.sqnr_db, "{:.1f}"),
        ("agreement", before.agreement, after.agreement, "{:.1%}"),
        ("accuracy", before.accuracy_quantized, after.accuracy_quantized, "{:.1%}"),
    )
    moved = [
        say(f"recovered.{name}", before=form.format(first), after=form.format(last))
        for name, first, last, form in figures
        if first is not None and last is not None
    ]
    floor, now = floors["weights_in_float"], after.sqnr_db
    # Rounded weights also make up for what activations lost, so that the float ones may lose.
    bound = floor is not None and now is not None and floor > now
    return say(
        "recovered.text",
        moved=listed(moved) if moved else say("recovered.no_figure"),
        stopped=stopped,
        goal=say("recovered.goal_missed") if met is False else "",
        limit=say("recovered.limit", floor=f"{floor:.1f}") if bound else "",
    )


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
    return Diagnosed(run.network(), tuple(run.layers()))
