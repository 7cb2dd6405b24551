"""What every attempt is measured with: samples, judges, attributions, the clock."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.attempts.ledger import Entry
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.driver import LARGEST, Run
from lostbits.diagnoses.network import CLOSURE
from lostbits.diagnoses.settings import Settings
from lostbits.graph.outputs import Compared
from lostbits.graph.place import place
from lostbits.graph.products import products
from lostbits.graph.site import Role
from lostbits.metric import Metric
from lostbits.plan.calibrated import calibrated
from lostbits.recoveries.float_ops import floatable
from lostbits.recovery import Diagnosed, Effort, Recovery
from lostbits.results.recovery import SiteChange
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.equality import relative_error
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judges
from lostbits.runtime.measured import measured_model
from lostbits.runtime.session import Session
from lostbits.sweep.twin_networks import unread_weights
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent

_DIAGNOSED, _LEAST_DIAGNOSED = 16, 4  # samples that the first and the last attribution look at
# Seconds that attributing one activation of one sample takes, on two cores. Not measured anew in a
# run, because then two runs with one seed could look at different samples.
_DIAGNOSIS_SECONDS = 2e-8
_DIAGNOSIS_SHARE = 0.25  # part of the time that one may take
# Of a batch that is attributed, at whose end it may stop: at most, and as a part of the time; and
# of a product of weight and value, of which an attribution computes a dozen for one of a run.
_BATCH_SECONDS, _BATCH_SHARE, _PRODUCT_SECONDS = 8.0, 0.05, 1e-9
# Of attributions between attempts: samples, and what they may miss the total by. They choose the
# next attempt, for which rough figures do; as good as the first, they cost as much as an attempt.
_BETWEEN, ROUGHLY = 8, 0.1
# Runs that a pass is timed by: a neighbour's work makes single ones half as long again.
_LEAST_TIMED, _TIMED, _TIMING_SECONDS = 2, 12, 1.0

Save = Callable[[Case, Sequence[Entry]], None]


@final
@dataclass(frozen=True)
class Wishes:
    """What a recovery may be told.

    Attributes:
        methods: What may be tried.
        goal: Where to stop; None tries everything that there is time for.
        budget: Seconds that everything may take together.
        deadline: When that time is over.
        took: Seconds that were measured before the attempts, by stage: ``calibrate``, on the
            samples to work on, and ``diagnose``.
        effort: How hard to try.
    """

    methods: tuple[Recovery, ...]
    goal: Goal | None = None
    budget: float = 600.0
    effort: Effort = field(default_factory=Effort)
    deadline: Deadline = NEVER
    took: Mapping[str, float] = field(default_factory=dict)


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
        deadline: Deadline = NEVER,
    ) -> Run:
        """A diagnosis of the first samples; ``of`` is what is attributed, see ``Settings``.

        What is not in time is left out, batch by batch.
        """
        few = self.source.slice(0, min(self._few(case), most))
        told = replace(self.settings, of=of or self.settings.of)
        longest = min(_BATCH_SECONDS, _BATCH_SHARE * self.budget)
        batch = int(np.clip(longest // _with_products(case), 1, LARGEST))
        part = case.over(len(few))
        run = Run(part, few, told, None, tolerance, deadline=deadline, largest=batch)
        run.wanted = min(most, len(self.source))
        run.diagnose(progress, self.pool)
        return run

    def _few(self, case: Case) -> int:
        """Samples that an attribution may look at: as many as a part of the time is enough for."""
        affordable = _DIAGNOSIS_SHARE * self.budget / max(_each(case), 1e-9)
        return int(min(max(affordable, _LEAST_DIAGNOSED), _DIAGNOSED, len(self.source)))

    def diagnose(self, case: Case, deadline: Deadline = NEVER) -> Diagnosed:
        """Where its error comes from."""
        return diagnosed(self.run(case, tolerance=ROUGHLY, most=_BETWEEN, deadline=deadline))

    def look_seconds(self, case: Case, took: float = 0.0) -> float:
        """How long ``diagnose`` takes, about.

        Args:
            case: The case.
            took: Seconds of a sample in the diagnosis before: other work may slow this one down.
        """
        return min(self._few(case), _BETWEEN) * max(_each(case), took)

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


def site_changes(before: Run, after: Run) -> list[SiteChange]:
    """Every site of two diagnoses of the same samples, before and after."""
    error = before.network().total
    old, new = (run.standings(error) for run in (before, after))
    parts = {key: key.rpartition(":") for key in {**old, **new}}
    return [
        SiteChange(tensor, cast(Role, role), old.get(key), new.get(key))
        for key, (tensor, _, role) in parts.items()
    ]


def _with_products(case: Case) -> float:
    """Seconds that attributing one sample takes where weights are many, about."""
    return max(_each(case) + _PRODUCT_SECONDS * products(case.model.graph), 1e-9)


def _each(case: Case) -> float:
    """Seconds that attributing one sample takes."""
    return _DIAGNOSIS_SECONDS * case.values(case.sites)


def diagnosed(run: Run) -> Diagnosed:
    """What recoveries may know of a diagnosis."""
    unreached = frozenset(site.key for site, _ in unread_weights(run.case))
    free, layers = floatable(run.case), tuple(run.layers())
    return Diagnosed(run.network(), layers, unreached=unreached, floatable=free, focus=run.focus)
