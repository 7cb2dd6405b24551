"""What a worker does in a diagnosis: one pass over its samples feeds every measurement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.layers import LayerErrors, LayerSums
from lostbits.diagnoses.left_sums import LeftSum
from lostbits.diagnoses.network import Attributed, NetworkErrors
from lostbits.diagnoses.permutation import PermutationErrors, Walked
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.sites import SiteErrors, SiteSums, no_sums
from lostbits.errors import SimulationError, TargetError
from lostbits.graph.queries import name_of
from lostbits.runtime.chords import pointed
from lostbits.runtime.compare_networks import Listener, compare, observe, to_compare
from lostbits.runtime.equality import relative_error
from lostbits.runtime.executor import Executor
from lostbits.runtime.metrics import Comparison, Focus, Outputs, Value
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Frozen, Simulation
from lostbits.statistic import RecordSum, join_all, joined
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.handover import by_threads
from lostbits.workers.work_folder import nobody

_ALIKE = 1e-3  # relative error of outputs that two libraries compute
_NOISE = 4  # times what ONNX Runtime's own rewriting moves: no more need be explained
_LAYER_SAMPLES = 8  # the identity of a layer is exact on any data; two more convolutions a layer
PERMUTED_SAMPLES = 16  # walking permutations takes two runs a site, so a few samples must do


@final
@dataclass
class Measured(RecordSum):
    """What is measured of samples: all that a diagnosis is made of, and all that parts add to it.

    Attributes:
        samples: How many they are.
        sites, layers, comparison: Running sums of each.
        attributed: By gradients, or None.
        walked: By permutations, or None.
        opaque: Nodes that no gradient passes, in the order of their names.
        pointed: Whether a node can come near a point without slope; see runtime.chords.
        left: Sums that left their range, by the name of the layer.
    """

    samples: int
    sites: SiteSums
    layers: LayerSums
    comparison: Comparison
    attributed: Attributed | None = None
    walked: Walked | None = None
    opaque: Sequence[str] = ()
    pointed: bool = False
    left: dict[str, LeftSum] = field(default_factory=dict)

    @classmethod
    def none(cls, case: Case) -> Self:
        """Nothing yet."""
        return cls(0, no_sums(case), {}, Comparison())

    def merge(self, other: Self) -> Self:
        """Add what was measured elsewhere."""
        self.samples += other.samples
        join_all(self.sites, other.sites)
        join_all(self.layers, other.layers)
        self.comparison.merge(other.comparison)
        self.attributed = joined(self.attributed, other.attributed)
        self.walked = joined(self.walked, other.walked)
        self.opaque = sorted({*self.opaque, *other.opaque})
        self.pointed |= other.pointed
        join_all(self.left, other.left)
        return self


@final
@dataclass(frozen=True)
class Measurement:
    """The job: its items are chunks of samples.

    Attributes:
        case: What is diagnosed, without its statistics, which only reports need.
        source: Its samples.
        settings: What was asked for, without other data.
        labels: Class numbers of the samples, or None.
        batch: Samples a run.
        finer: Batches to attribute again, by their first sample, and by which rule.
            Where there are any, nothing else is measured.
        walk: Whether permutations are walked, and nothing else is measured.
        focus: What alone is attributed; None: the error of all outputs.
        deadline: After which no batch is attributed by a finer rule.
    """

    case: Case
    source: Source
    settings: Settings
    labels: NDArray[np.int64] | None
    batch: int
    finer: Mapping[int, int] = field(default_factory=dict)
    walk: bool = False
    focus: Focus | None = None
    deadline: Deadline = NEVER

    @classmethod
    def of(
        cls,
        case: Case,
        source: Source,
        settings: Settings,
        labels: NDArray[np.int64] | None,
        batch: int,
        focus: Focus | None = None,
    ) -> Self:
        """The job, reduced to what a worker needs."""
        plain = replace(settings, announce=nobody, cache=None)
        return cls(replace(case, seen={}), source, plain, labels, batch, focus=focus)

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.case.model)

    def open(self) -> Callable[[range], Measured]:
        """The networks, ready to run."""
        return _Measuring(self).measure


@final
class _Measuring:
    """Both networks, and everything that listens to them."""

    def __init__(self, job: Measurement) -> None:
        self.job, self.case, self.cursor = job, job.case, job.source.cursor()
        self.executor = Executor(self.case.model, self.case.error_sites)
        self.simulation = Simulation(self.case)
        told = job.settings
        energy, samples, compared = self.case.output_energy, self.case.samples, self.case.compared
        self.value = Value(told.metric, energy, samples, compared, job.focus, told.loss)
        self.site_errors = SiteErrors(self.case)
        self.layer_errors = LayerErrors(self.case, self.executor)
        self.comparison = Comparison()
        self.gradient: NetworkErrors | None = None
        self.permutation: PermutationErrors | None = None
        self.pointed = pointed(self.executor)
        self.left: dict[str, LeftSum] = {}

    def measure(self, chunk: range) -> Measured:
        """All of a chunk."""
        self._begin()
        samples = 0
        for part in self.cursor.batches(chunk, self.job.batch):
            if self.job.finer or self.job.walk:
                self._again(part)
                continue
            self._one(part)
            samples += part.size
        return Measured(
            samples,
            self.site_errors.sums,
            self.layer_errors.sums,
            self.comparison,
            None if self.gradient is None else self.gradient.sums,
            None if self.permutation is None else self.permutation.sums,
            sorted(self.executor.opaque),
            self.pointed,
            self.left,
        )

    def _begin(self) -> None:
        """Sums of nothing; those of the chunk before belong to the driver."""
        self.site_errors.sums = no_sums(self.case)
        self.layer_errors.sums = {}
        self.left = {}
        self.comparison = Comparison()
        if self.gradient is not None:
            self.gradient.sums = Attributed()
        if self.permutation is not None:
            self.permutation.sums = Walked.none(self.case)

    def _one(self, part: Batch) -> None:
        others, frozen = self.simulation.run(part)
        for name, seen in frozen.left.items():
            self.left.setdefault(name, LeftSum()).include(seen)
        listeners: list[Listener] = [self.site_errors]
        if part.first < _LAYER_SAMPLES:
            listeners.append(self.layer_errors)
        floats = self._floats(part, frozen, listeners)
        arrays = [f.numpy() for f in floats]
        if part.first == 0:
            self._check_executor(part, arrays)
        if self.gradient is None and self.permutation is None:
            self._choose_method()
        keep = [i for i, f in enumerate(floats) if f.is_floating_point()]
        span = range(part.first, part.first + part.size)
        pair = [arrays[i] for i in keep], [others[i] for i in keep]
        known = Outputs.of(self.case.compared, part, pair[0])
        self.comparison.update(*pair, span, self.job.labels, known)
        if self.gradient is not None:
            tensors = [torch.from_numpy(np.array(others[i])) for i in keep]
            self.gradient.update(part, frozen, [floats[i] for i in keep], tensors)
        elif self.permutation is not None:
            self._walk(part)

    def _again(self, part: Batch) -> None:
        if self.job.walk:
            self._walk(part)
        elif part.first in self.job.finer:
            self._refine(part)

    def _walk(self, part: Batch) -> None:
        self.permutation = self.permutation or permutations(
            self.case, self.value, self.job.settings
        )
        if part.first < PERMUTED_SAMPLES:
            self.permutation.update(part)

    def _refine(self, part: Batch) -> None:
        self.gradient = self.gradient or NetworkErrors(self.case, self.executor, self.value)
        others, frozen = self.simulation.run(part)
        floats = self._floats(part, frozen, [])
        keep = [i for i, f in enumerate(floats) if f.is_floating_point()]
        tensors = [torch.from_numpy(np.array(others[i])) for i in keep]
        plain = [floats[i] for i in keep]
        self.gradient.refine(part, frozen, plain, tensors, self.job.finer[part.first])

    def _floats(
        self, part: Batch, frozen: Frozen, listeners: Sequence[Listener]
    ) -> list[torch.Tensor]:
        """Outputs of the float network; the quantized one runs beside it only where it must."""
        if self.layer_errors in listeners or to_compare(self.executor, frozen):
            return compare(self.executor, part, frozen, listeners)
        return observe(self.executor, part, listeners)

    def _check_executor(self, part: Batch, arrays: Sequence[NDArray[Any]]) -> None:
        """The explaining executor must compute what ONNX Runtime computes."""
        expected = Session(self.case.model).run(part.feeds)
        for value, array in zip(self.case.model.graph.outputs, arrays, strict=True):
            name = name_of(value)
            error = relative_error(array, part.real(expected[name]))
            if not error < _ALIKE and not error < self._noise(part, name, expected[name]):
                raise SimulationError("S002", f"output {name!r}", f"relative error {error:.1e}")

    def _noise(self, part: Batch, output: str, expected: NDArray[Any]) -> float:
        """How far two ways through ONNX Runtime may be apart: of a probability near zero, far."""
        other = Session(self.case.model, optimise=False).run(part.feeds)[output]
        return _NOISE * relative_error(part.real(other), part.real(expected))

    def _choose_method(self) -> None:
        """After the first batch, which shows the nodes that no gradient passes; all show them."""
        opaque, settings = sorted(self.executor.opaque), self.job.settings
        if settings.method == "aumann-shapley" and opaque:
            raise TargetError(
                "T008", "--method aumann-shapley", f"none through {', '.join(opaque[:5])}"
            )
        if settings.method == "permutation" or (settings.method == "auto" and opaque):
            self.permutation = permutations(self.case, self.value, settings)
        else:
            until = self.job.deadline
            self.gradient = NetworkErrors(self.case, self.executor, self.value, deadline=until)


def permutations(case: Case, value: Value, settings: Settings) -> PermutationErrors:
    """The attribution without gradients, as the settings want it."""
    return PermutationErrors(case, value, settings.seed, orders(settings) // 2)


def orders(settings: Settings) -> int:
    """How many permutations are walked: pairs of one and its reverse."""
    return 2 * max(settings.permutations // 2, 1)
