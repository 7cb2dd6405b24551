"""A diagnosis: stretches of the samples are measured by whoever works, and added up in order."""

from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import count
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.kept import check
from lostbits.diagnoses.layers import LayerErrors
from lostbits.diagnoses.measurement import PERMUTED_SAMPLES, Measured, Measurement, permutations
from lostbits.diagnoses.network import CLOSURE, NetworkErrors
from lostbits.diagnoses.permutation import PermutationErrors
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.sites import SiteErrors
from lostbits.diagnosis import NetworkReport, Standing
from lostbits.graph.site import Site
from lostbits.language import say
from lostbits.runtime.cache import Cache
from lostbits.runtime.checkpoint import NOWHERE, Checkpoint, Folding
from lostbits.runtime.chords import pointed
from lostbits.runtime.executor import Executor
from lostbits.runtime.measure import Comparison, Value, check_metric
from lostbits.runtime.pool import Pool
from lostbits.runtime.pools import InProcess
from lostbits.runtime.progress import Progress

# Part of the total that gradients may miss: where functions have no slope, and elsewhere.
_OPEN, _LOST = 0.05, 0.5
COPIES = 10  # of a float32 activation that are alive at once while it is attributed


def fitting(room: float, each: float) -> int:
    """Samples of a batch that is attributed, where each of them takes so much of the room."""
    return int(np.clip(room // max(each, 1), 1, 16))


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
        interrupted: Whether the user stopped it before the last sample.
        done: Samples that the figures stand for.
    """

    case: Case
    source: Source
    settings: Settings
    labels: NDArray[np.int64] | None
    tolerance: float = CLOSURE
    interrupted: bool = False
    done: int = 0
    form: ClassVar[type[Measured]] = Measured

    def __post_init__(self) -> None:
        executor = Executor(self.case.model, self.case.players)
        metric = check_metric(self.settings.metric)
        self.value = Value(metric, self.case.output_energy, self.case.samples)
        self.site_errors = SiteErrors(self.case)
        self.layer_errors = LayerErrors(self.case, executor)
        self.comparison = Comparison(self.labels)
        self.gradient = NetworkErrors(self.case, executor, self.value, self.tolerance)
        self.permutation: PermutationErrors | None = None
        self.opaque: list[str] = []
        self.pointed = pointed(executor)

    def diagnose(self, progress: Progress, pool: Pool | None = None) -> None:
        """Stream the data once; an interrupt keeps what is finished.

        Each batch is a task of its own, whose sums are added one after the other: that way the
        figures are those of a single loop, to the last bit, whoever computes them.
        """
        folding = Folding(pool or InProcess(), progress, self._checkpoint())
        job = Measurement.of(self.case, self.source, self.settings, self.labels, self._batch())
        stretches = self.source.stretches(job.batch, 1)
        try:
            folding.run("diagnosis", job, stretches, self)
            for turn in count(1):
                if not (finer := self.gradient.unsettled()):
                    break
                again = [s for s in stretches if any(first in s for first in finer)]
                job = replace(job, finer=finer)
                folding.run(f"refinement {turn}", job, again, self)
            if self._open():
                few = [s for s in stretches if s.start < PERMUTED_SAMPLES]
                folding.run("permutations", replace(job, finer={}, walk=True), few, self)
        except KeyboardInterrupt:
            if not self.done:
                raise
            self.interrupted = True

    def _open(self) -> bool:
        """Whether gradients miss so much that permutations, which miss nothing, are worth it."""
        if self.settings.method != "auto" or self.permutation is not None:
            return False
        most = _OPEN if self.pointed else _LOST
        return abs(self.gradient.report().residual) > max(most, self.tolerance)

    def _checkpoint(self) -> Checkpoint:
        """Of all that decides what this run adds up."""
        told = self.settings
        if told.cache is None:
            return NOWHERE
        labels = None if self.labels is None else sha256(self.labels.tobytes()).hexdigest()
        named = ("diagnosis", told.metric, told.method, told.permutations, told.seed)
        settings = f"{named} {self.tolerance} {labels}"
        return Checkpoint(Cache.of(told.cache, self.case, self.source, settings))

    def _batch(self) -> int:
        """As many samples as fit into the memory that one batch may take."""
        each = 4 * COPIES * self.case.values(self.case.placed.sites)
        return fitting(self.settings.room, each)

    def whole(self) -> Measured:
        """All so far, in the form of what one stretch adds."""
        whole = self._taken()
        self.merge(whole)
        return whole

    def restore(self, whole: Measured) -> None:
        """Put what was kept in the place of all so far.

        Raises:
            ValueError: When it is not of this case.
        """
        check(whole, self.case, self.layer_errors.executor, len(self.source))
        self._taken()
        self.merge(whole)

    def _taken(self) -> Measured:
        """All so far; the sums begin anew."""
        done, self.done = self.done, 0
        comparison, self.comparison = self.comparison, Comparison(self.labels)
        return Measured(
            done,
            self.site_errors.taken(),
            self.layer_errors.taken(),
            replace(comparison, labels=None),
            self.gradient.taken(),
            None if self.permutation is None else self.permutation.taken(),
            self.opaque,
        )

    def merge(self, measured: Measured) -> None:
        """Add what a stretch adds."""
        self.site_errors.merge(measured.sites)
        self.layer_errors.merge(measured.layers)
        self.comparison.merge(measured.comparison)
        if measured.attributed is not None:
            self.gradient.merge(measured.attributed)
        if measured.walked is not None:
            if self.permutation is None:
                self.permutation = permutations(self.case, self.value, self.settings)
            self.permutation.merge(measured.walked)
        self.opaque = sorted({*self.opaque, *measured.opaque})
        self.done += measured.samples

    def network(self) -> NetworkReport:
        """The attribution so far."""
        if self.permutation is None:
            return self.gradient.report()
        reason = say("basis.asked")
        if self.gradient.samples:
            missed = self.gradient.report().residual
            reason = say("basis.open", residual=f"{missed:+.1%}")
        if self.opaque:
            reason = say("basis.no_gradient", ops=", ".join(self.opaque[:5]))
        return self.permutation.report(reason)

    def standings(self, error: float) -> dict[str, Standing]:
        """Every site, by its key; shares are parts of ``error``, in the unit of the metric."""
        values = self.network().values
        return {
            s.key: self._standing(s, values.get(s.key, 0.0) / (error or 1.0))
            for s in self.case.sites
        }

    def _standing(self, site: Site, share: float) -> Standing:
        affine = self.case.plan[site.key]
        lo, hi = float(affine.lo.min()), float(affine.hi.max())
        return Standing(affine.grid.name, lo, hi, self.site_errors.sqnr_db(site), share)
