"""A diagnosis: one pass over the data that feeds every measurement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.layers import LayerErrors
from lostbits.diagnoses.network import NetworkErrors
from lostbits.diagnoses.permutation import PermutationErrors
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.sites import SiteErrors
from lostbits.diagnosis import NetworkReport, Standing
from lostbits.errors import SimulationError, TargetError
from lostbits.graph.queries import name_of
from lostbits.graph.site import Site
from lostbits.language import say
from lostbits.runtime.executor import Executor
from lostbits.runtime.lockstep import compare, observe
from lostbits.runtime.measure import Comparison, Value, check_metric
from lostbits.runtime.progress import Progress, tracked
from lostbits.runtime.reference import relative_error
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Simulation

_MEMORY = 1.2e9  # bytes that the tensors of one batch may take, all copies together
_COPIES = 10  # of a float32 activation that are alive at once while it is attributed
_LAYER_SAMPLES = 16  # the identity of a layer is exact on any data; two more convolutions a layer
_PERMUTED_SAMPLES = 16  # walking permutations takes two runs a site, so a few samples must do


@final
@dataclass
class Run:
    """One diagnosis in progress.

    Attributes:
        case: What is diagnosed.
        source: Its samples; read once.
        settings: What was asked for.
        labels: Class numbers of the samples, or None.
        interrupted: Whether the user stopped it before the last sample.
        done: Samples that the figures stand for.
    """

    case: Case
    source: Source
    settings: Settings
    labels: NDArray[np.int64] | None
    interrupted: bool = False
    done: int = 0

    def __post_init__(self) -> None:
        self.executor = Executor(self.case.model, self.case.players)
        self.simulation = Simulation(self.case)
        self.plain = Session(self.case.model)
        metric = check_metric(self.settings.metric)
        self.value = Value(metric, self.case.output_energy, self.case.samples)
        self.site_errors = SiteErrors(self.case)
        self.layer_errors = LayerErrors(self.case, self.executor)
        self.comparison = Comparison(self.labels)
        self.gradient = NetworkErrors(self.case, self.executor, self.value)
        self.permutation: PermutationErrors | None = None
        self.opaque: list[str] = []

    def diagnose(self, progress: Progress) -> None:
        """Stream the data once; an interrupt keeps what is finished."""
        batches = self.source.batches(self._batch())
        try:
            for part in tracked(batches, "diagnosis", len(self.source), progress):
                self._one(part)
                self.done += part.size
        except KeyboardInterrupt:
            if not self.done:
                raise
            self.interrupted = True

    def _batch(self) -> int:
        """As many samples as fit into the memory that one batch may take."""
        values = sum(s.whole.size for k, s in self.case.seen.items() if not k.endswith(":weight"))
        each = 4 * _COPIES * values / self.case.samples
        return int(np.clip(_MEMORY // max(each, 1), 1, 16))

    def _one(self, part: Batch) -> None:
        others, frozen = self.simulation.run(part)
        if part.first < _LAYER_SAMPLES:
            floats = compare(self.executor, part, frozen, (self.site_errors, self.layer_errors))
        else:
            floats = observe(self.executor, part, self.site_errors)
        arrays = [f.numpy() for f in floats]
        if part.first == 0:
            self._check_executor(part, arrays)
            self._choose_method()
        keep = [i for i, f in enumerate(floats) if f.is_floating_point()]
        self.comparison.update(
            [arrays[i] for i in keep], [others[i] for i in keep], part.first, part.size
        )
        if self.permutation is None:
            tensors = [torch.from_numpy(np.array(others[i])) for i in keep]
            self.gradient.update(part, frozen, [floats[i] for i in keep], tensors)
        elif self.permutation.samples < _PERMUTED_SAMPLES:
            self.permutation.update(part)

    def _check_executor(self, part: Batch, arrays: Sequence[NDArray[Any]]) -> None:
        """The explaining executor must compute what ONNX Runtime computes."""
        expected = self.plain.run(part.feeds)
        for value, array in zip(self.case.model.graph.outputs, arrays, strict=True):
            error = relative_error(array, part.real(expected[name_of(value)]))
            if not error < 1e-3:
                raise SimulationError(
                    "S002",
                    f"output {name_of(value)!r}",
                    "the executor must agree with ONNX Runtime",
                    f"relative error {error:.1e}",
                    "please report the model; --method permutation does without it",
                )

    def _choose_method(self) -> None:
        opaque = sorted(self.executor.opaque)
        if self.settings.method == "aumann-shapley" and opaque:
            raise TargetError(
                "T008",
                "--method aumann-shapley",
                "needs a gradient through every node",
                f"none through {', '.join(opaque[:5])}",
                "use --method auto or permutation",
            )
        if self.settings.method == "permutation" or (self.settings.method == "auto" and opaque):
            self.permutation = PermutationErrors(
                self.case, self.value, self.settings.seed, max(self.settings.permutations // 2, 1)
            )
        self.opaque = opaque

    def network(self) -> NetworkReport:
        """The attribution so far."""
        if self.permutation is None:
            return self.gradient.report()
        reason = say("basis.asked")
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
