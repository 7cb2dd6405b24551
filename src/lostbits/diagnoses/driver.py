"""A diagnosis: workers measure chunks of the samples, and the sums are added up in order."""

from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import count
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.cancelling import together
from lostbits.diagnoses.focus import focus_of
from lostbits.diagnoses.kept import check
from lostbits.diagnoses.layers import layer_reports
from lostbits.diagnoses.network import CLOSURE, Attributed, attributed_report
from lostbits.diagnoses.permutation import affordable, walked_report
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.sites import SiteFigures
from lostbits.diagnoses.worker import PERMUTED_SAMPLES, Measured, Measurement, orders
from lostbits.graph.site import Site
from lostbits.language import say
from lostbits.results.diagnosis import LayerReport, NetworkReport
from lostbits.results.sites import SiteReport, Standing
from lostbits.runtime.measured import measured
from lostbits.runtime.metrics import Baseline, Focus
from lostbits.runtime.output_figures import MetricFigures
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.cache import Cache
from lostbits.workers.checkpoint import NOWHERE, Checkpoint, Folding
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress

# Part of the total that gradients may miss: where functions have no slope, and elsewhere.
_OPEN, _LOST = 0.05, 0.5
LARGEST = 16  # samples of a batch
COPIES = 10  # of a float32 activation that are alive at once while it is attributed


def fitting(room: float, each: float, most: int = LARGEST) -> int:
    """Samples of a batch that is attributed, where each of them takes so much of the room."""
    return int(np.clip(room // max(each, 1), 1, most))


@final
@dataclass
class Run:
    """One diagnosis in progress.

    Attributes:
        case: What is diagnosed.
        source: Its samples; read once.
        settings: What was asked for.
        labels: Class numbers of the samples, or None.
        tolerance: Part of the total that the attributions may miss it by.
        focus: What alone is attributed; None: the error of all outputs.
        interrupted: Whether the user stopped it before the last sample.
        sums: All that was measured so far.
        metric: What decides, measured on the samples beside all this; None without one.
        deadline: After which no other batch is waited for; one always is.
        largest: Samples of a batch at most.
        wanted: Samples that it would have looked at with more time.
        unwalked: Whether permutations were left out where gradients miss much.
    """

    case: Case
    source: Source
    settings: Settings
    labels: NDArray[np.int64] | None
    tolerance: float = CLOSURE
    focus: Focus | None = None
    interrupted: bool = False
    sums: Measured = field(init=False)
    metric: MetricFigures | None = None
    deadline: Deadline = NEVER
    largest: int = LARGEST
    wanted: int = 0
    unwalked: bool = False

    def __post_init__(self) -> None:
        self.case = measured(self.case)
        self.sums = Measured.none(self.case)

    @property
    def baseline(self) -> Baseline:
        """The quantized network beside the float one, as far as samples were measured."""
        return self.sums.comparison.baseline(list(self.case.output_energy), self.case.compared)

    @property
    def done(self) -> int:
        """Samples that the figures stand for."""
        return self.sums.samples

    @property
    def late(self) -> bool:
        """Whether there was no time for all samples."""
        return not self.interrupted and self.done < self.wanted

    def diagnose(self, progress: Progress, pool: Pool | None = None) -> None:
        """Stream the data once; an interrupt keeps what is finished.

        Each batch is a task of its own, whose sums are added one after the other: that way the
        figures are those of a single loop, to the last bit, with any number of workers.
        """
        pool = pool or InProcess()
        told = self.settings
        looked_at = told.of, told.metric, told.batch
        self.focus = focus_of(self.case, self.source, *looked_at, pool, progress)
        folding = Folding(pool, progress, self._checkpoint(), self.deadline)
        job = Measurement.of(self.case, self.source, told, self.labels, self._batch(), self.focus)
        job = replace(job, deadline=self.deadline)
        chunks = self.source.chunks(job.batch, 1)
        fits = partial(check, case=self.case, samples=len(self.source))
        try:
            folding.run("diagnosis", job, chunks, self.sums, fits)
            for turn in count(1):
                finer = self._attributed.unsettled(self.tolerance)
                if not finer or self.deadline.passed:
                    break
                again = [s for s in chunks if any(first in s for first in finer)]
                job = replace(job, finer=finer)
                folding.run(f"refinement {turn}", job, again, self.sums, fits)
            walk = self._open()
            self.unwalked = walk and not self._walks
            if walk and self._walks:
                few = [s for s in chunks if s.start < self._walks]
                folding.run("permutations", replace(job, finer={}, walk=True), few, self.sums, fits)
        except KeyboardInterrupt:
            if not self.done:
                raise
            self.interrupted = True

    def _open(self) -> bool:
        """Whether gradients miss so much that permutations, which miss nothing, are worth it."""
        if self.settings.method != "auto" or self.sums.walked is not None:
            return False
        if not self.case.attributed_sites:  # all that broke it is in float: nothing is left to walk
            return False
        most = _OPEN if self.sums.pointed else _LOST
        return abs(self._by_gradients().residual) > max(most, self.tolerance)

    @property
    def _walks(self) -> int:
        """Samples over which permutations are worth their time, if any."""
        if self.deadline.passed:
            return 0
        return min(affordable(self.case, orders(self.settings)), PERMUTED_SAMPLES)

    @property
    def _attributed(self) -> Attributed:
        return self.sums.attributed or Attributed()

    def _by_gradients(self) -> NetworkReport:
        return attributed_report(self.case, self.settings.metric, self._attributed)

    def _checkpoint(self) -> Checkpoint:
        """Of all that decides what this run adds up."""
        told = self.settings
        if told.cache is None or told.loss is not None:  # nothing tells one loss from another
            return NOWHERE
        labels = None if self.labels is None else sha256(self.labels.tobytes()).hexdigest()
        named = ("diagnosis", told.metric, told.method, told.permutations, told.seed)
        case = self.case
        arithmetic = case.target.arithmetic
        settings = f"{named} {self.tolerance} {labels} {self.focus} {case.compared} {arithmetic!r}"
        parts = self.case.model, self.case.plan, self.case.written
        return Checkpoint(Cache.of(told.cache, self.source, settings, *parts))

    @property
    def batch(self) -> int:
        """Samples that are attributed at a time."""
        return self._batch()

    def _batch(self) -> int:
        """As many samples as fit into the memory that one batch may take.

        One where a scale is that of a run: a run of an application has one sample.
        """
        if any(site.dynamic for site in self.case.sites):
            return 1
        each = 4 * COPIES * self.case.values(self.case.placed.sites)
        return fitting(self.settings.room, each, self.largest)

    def sites(self) -> list[SiteReport]:
        """One report a site, in the order of the plan."""
        return self._figures.reports()

    def layers(self) -> list[LayerReport]:
        """One report a layer, in topological order."""
        return layer_reports(self.case, self.sums.layers)

    @property
    def _figures(self) -> SiteFigures:
        return SiteFigures(self.case, self.sums.sites)

    def network(self) -> NetworkReport:
        """The attribution so far."""
        of = None if self.focus is None else self.focus.name
        return replace(self._network(), of=of)

    def _network(self) -> NetworkReport:
        gradients = self._by_gradients()
        if self.sums.walked is None:
            return gradients
        reason = say("basis.asked")
        if self._attributed.samples:
            reason = say("basis.open", residual=f"{gradients.residual:+.1%}")
        if self.sums.opaque:
            reason = say("basis.no_gradient", ops=", ".join(self.sums.opaque[:5]))
        metric, walked = self.settings.metric, self.sums.walked
        return walked_report(self.case, metric, walked, orders(self.settings), reason)

    def standings(self, error: float) -> dict[str, Standing]:
        """Every site, by its key; shares are parts of ``error``, in the unit of the metric."""
        values, figures = together(self.network(), self.case).values, self._figures
        return {
            s.key: self._standing(s, figures.sqnr_db(s), values.get(s.key, 0.0) / (error or 1.0))
            for s in self.case.sites
        }

    def _standing(self, site: Site, sqnr_db: float | None, share: float) -> Standing:
        affine = self.case.plan[site.key]
        lo, hi = float(affine.lo.min()), float(affine.hi.max())
        return Standing(affine.grid.name, lo, hi, sqnr_db, share)
