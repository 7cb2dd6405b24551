"""Figures of a case on samples that no recovery has seen, with hard integer rounding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.queries import is_float, name_of
from lostbits.metric import Answers, Metric, check_repeats, joined, measured, named
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.judged import GROUPS, Judged
from lostbits.runtime.metrics import Baseline, Comparison
from lostbits.runtime.output_figures import MetricFigures
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import not_finite, quantized_model
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess

_BATCH = 8


Outputs = tuple[int, dict[str, NDArray[Any]]]  # size of a batch, and what was answered to it


@final
@dataclass(frozen=True)
class _Run:
    """The job: what a network answers, batch by batch."""

    model: ir.Model
    source: Source
    optimise: bool

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], list[Outputs]]:
        session, cursor = Session(self.model, optimise=self.optimise), self.source.cursor()

        def work(chunk: range) -> list[Outputs]:
            parts = cursor.batches(chunk, _BATCH)
            return [(part.size, _arrays(trimmed(session.run(part.feeds), part))) for part in parts]

        return work


def _arrays(values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(a) for name, a in values.items()}


def _floats(values: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return [a for a in values.values() if a.dtype.kind == "f"]


@final
@dataclass(frozen=True)
class Judges:
    """Samples that judge, and by what.

    Attributes:
        source: The samples.
        labels: Their truth, or None.
        metric: That counts, or None.
        pool: Who runs the networks.
    """

    source: Source
    labels: NDArray[Any] | None = None
    metric: Metric | None = None
    pool: Pool = field(default_factory=InProcess)

    def judge(self, model: ir.Model, most: int | None = None) -> "Judge":
        """A judge with the first samples."""
        size = min(most or len(self.source), len(self.source))
        labels = None if self.labels is None else self.labels[:size]
        source = self.source.slice(0, size) if size < len(self.source) else self.source
        return Judge(model, source, labels, self.pool, self.metric)


@final
class Judge:
    """Compares cases with the float network, which runs once.

    Args:
        model: The float network; all cases must be of the same function.
        source: The samples.
        labels: Their truth, one a sample: class numbers, or what ``metric`` takes; or None.
        pool: Who runs the networks; None is this process.
        metric: To be measured beside the other figures, or None.

    Raises:
        SimulationError: S021 to S023 for a metric that is none.
    """

    def __init__(
        self,
        model: ir.Model,
        source: Source,
        labels: NDArray[Any] | None = None,
        pool: Pool | None = None,
        metric: Metric | None = None,
    ) -> None:
        self.source, self.pool, self.metric = source, pool or InProcess(), metric
        self.truth = labels
        self.labels = None if metric is not None and metric.labels == "any" else labels
        self.names = [name_of(v) for v in model.graph.outputs if is_float(v)]
        self._floats = list(self._outputs(model, optimise=True))
        self._reference = None if metric is None else check_repeats(metric, self._of(self._floats))

    def __call__(self, case: Case) -> Baseline:
        """How far the quantized network of ``case`` is from the float one."""
        return self.of(quantized_model(case))

    def judged(self, case: Case) -> Judged:
        """The same, and what it is without each group of samples."""
        others = self._checked(quantized_model(case))
        parts, groups = self._parts(others), self._groups
        answers = None if self.metric is None else self._of(others)
        without = [
            self._figures(_sum([*parts[:g], *parts[g + 1 :]]), answers, np.flatnonzero(groups != g))
            for g in range(len(parts))
        ]
        return Judged(self._whole(others), without if len(parts) > 1 else ())

    def of(self, model: ir.Model) -> Baseline:
        """How far any network of the same inputs is from the float one, by its first outputs.

        Raises:
            SimulationError: S005 where it answers with what is not finite.
        """
        return self._whole(self._checked(model))

    def _whole(self, others: Sequence[Outputs]) -> Baseline:
        comparison, first = Comparison(), 0
        for (size, floats), (_, quantized) in zip(self._floats, others, strict=True):
            plain, span = _floats(floats), range(first, first + size)
            comparison.update(plain, _floats(quantized)[: len(plain)], span, self.labels)
            first += size
        answers = None if self.metric is None else self._of(others)
        return self._figures(comparison, answers, np.arange(first))

    def _figures(
        self, comparison: Comparison, answers: Answers | None, rows: NDArray[np.int64]
    ) -> Baseline:
        """Of some samples, whose comparison this is."""
        found = comparison.baseline(self.names)
        if self.metric is None or answers is None:
            return found
        some = answers if rows.size == len(self.source) else answers.at(rows)
        value = measured(self.metric, some)
        figures = MetricFigures(named(self.metric), _finite(value), _finite(self._reference))
        return replace(found, metric=figures)

    def _checked(self, model: ir.Model) -> list[Outputs]:
        others, first = list(self._outputs(model, optimise=False)), 0
        for size, quantized in others:
            self._check(_floats(quantized), first, size)
            first += size
        return others

    def _check(self, outputs: list[NDArray[Any]], first: int, size: int) -> None:
        for name, output in zip(self.names, outputs, strict=False):
            if not np.isfinite(output).all():
                span = f"within the judging samples {first} to {first + size - 1}"
                raise not_finite(f"output {name!r}", f"NaN or infinity {span}")

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        """The group of every sample: neighbours, which are often alike, together.

        Where nothing tells which values belong to which sample, a batch is a group.
        """
        sizes = [size for size, _ in self._floats]
        if not all(_by_sample(_floats(values), size) for size, values in self._floats):
            return np.repeat(np.arange(len(sizes)), sizes)
        count = sum(sizes)
        return np.arange(count) * min(GROUPS, count) // count

    def _parts(self, others: Sequence[Outputs]) -> list[Comparison]:
        """The comparison of every group."""
        groups, first = self._groups, 0
        parts = [Comparison() for _ in range(int(groups[-1]) + 1)]
        for (size, floats), (_, quantized) in zip(self._floats, others, strict=True):
            plain = _floats(floats)
            other = _floats(quantized)[: len(plain)]
            own = groups[first : first + size]
            for g in np.unique(own):
                rows = np.flatnonzero(own == g)
                low, high = int(rows[0]), int(rows[-1]) + 1
                cut = slice(low, high) if high - low < size else slice(None)
                span = range(first + low, first + high)
                parts[g].update([f[cut] for f in plain], [q[cut] for q in other], span, self.labels)
            first += size
        return parts

    def _of(self, outputs: Sequence[Outputs]) -> Answers:
        """What a metric sees."""
        sizes = [size for size, _ in outputs]
        floats = joined([values for _, values in self._floats], sizes)
        found = floats if outputs is self._floats else joined([v for _, v in outputs], sizes)
        return Answers(found, floats, self._samples, self.truth)

    @cached_property
    def _samples(self) -> dict[str, NDArray[Any]]:
        """What went in; an input that is the same for all samples is left out."""
        parts = list(self.source.batches(_BATCH))
        arrays = [_arrays(trimmed(part.feeds, part)) for part in parts]
        sizes = [part.size for part in parts]
        own = [
            name
            for name in arrays[0]
            if all(
                _by_sample([a[name]], size) or size == 1
                for a, size in zip(arrays, sizes, strict=True)
            )
        ]
        return joined([{n: a[n] for n in own} for a in arrays], sizes)

    def _outputs(self, model: ir.Model, *, optimise: bool) -> Iterator[Outputs]:
        """In the order of the samples."""
        chunks = self.source.chunks(_BATCH, _BATCH)
        for outputs in self.pool.map(_Run(model, self.source, optimise), chunks):
            yield from outputs


def _by_sample(values: Sequence[NDArray[Any]], size: int) -> bool:
    """Whether axis 0 of all counts samples."""
    return all(v.ndim > 0 and v.shape[0] == size for v in values)


def _sum(parts: Sequence[Comparison]) -> Comparison:
    whole = Comparison()
    for part in parts:
        whole.merge(part)
    return whole


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
