"""Figures of a case on samples that no recovery has seen, with hard integer rounding."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.errors import SimulationError
from lostbits.graph.outputs import Compared
from lostbits.graph.queries import is_float, name_of
from lostbits.metric import Answers, Metric, check_repeats, figure_of, joined, named
from lostbits.runtime.calibration import Arrays, trimmed
from lostbits.runtime.judged import GROUPS, Judged
from lostbits.runtime.measured import chooses, measured, measured_model
from lostbits.runtime.metrics import UNKNOWN, Baseline, Comparison, Outputs
from lostbits.runtime.output_figures import MetricFigures
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import not_finite, simulated_model
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess

_BATCH = 8


@final
@dataclass(frozen=True)
class _Answer:
    """What a network gave for a batch.

    Attributes:
        size: Samples.
        values: By output.
        known: What is known of the float ones, such as which positions count.
    """

    size: int
    values: dict[str, NDArray[Any]]
    known: Outputs

    @property
    def floats(self) -> list[NDArray[Any]]:
        """Those outputs that are compared, in order."""
        return [a for a in self.values.values() if a.dtype.kind == "f"]


@final
class _Found(NamedTuple):
    """Answers of a network to all samples: what is compared, and its outputs for the metric.

    These are the same but where outputs are compared by what they are chosen from.
    """

    compared: list[_Answer]
    outputs: list[_Answer]


@final
@dataclass(frozen=True)
class _Run:
    """The job: what a network answers, batch by batch."""

    model: ir.Model
    source: Source
    optimise: bool
    compared: Sequence[Compared] = ()

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], list[_Answer]]:
        session, cursor = Session(self.model, optimise=self.optimise), self.source.cursor()

        def work(chunk: range) -> list[_Answer]:
            parts = cursor.batches(chunk, _BATCH)
            return [_answered(part, session.run(part.feeds), self.compared) for part in parts]

        return work


def _answered(part: Batch, values: Arrays, compared: Sequence[Compared]) -> _Answer:
    bare = _Answer(part.size, _arrays(values, part), UNKNOWN)
    known = bare.floats[: len(compared)]  # a file of another maker may give more
    return replace(bare, known=Outputs.of(compared, part, known))


def _arrays(values: Arrays, part: Batch) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(a) for name, a in trimmed(values, part).items()}


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

    def judge(self, case: Case, most: int | None = None) -> "Judge":
        """A judge of cases of one function, with the first samples."""
        size = min(most or len(self.source), len(self.source))
        labels = None if self.labels is None else self.labels[:size]
        source = self.source.slice(0, size) if size < len(self.source) else self.source
        return Judge(case.model, source, labels, self.pool, self.metric, case.compared)


@final
class Judge:
    """Compares cases with the float network, which runs once.

    Args:
        model: The float network; all cases must be of the same function.
        source: The samples.
        labels: Their truth, one a sample: class numbers, or what ``metric`` takes; or None.
        pool: Who runs the networks; None is this process.
        metric: To be measured beside the other figures, or None.
        compared: What of the network is compared; nothing: its float outputs, of which no more is
            known.

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
        compared: Sequence[Compared] = (),
    ) -> None:
        self.source, self.pool, self.metric = source, pool or InProcess(), metric
        self.truth = labels
        self.labels = None if metric is not None and metric.labels == "any" else labels
        self.compared, ends = compared, measured_model(model, compared)
        self._ends = [name_of(v) for v in ends.graph.outputs]
        self.names = [name_of(v) for v in ends.graph.outputs if is_float(v)]
        self._floats = self._found(ends, lambda: model, optimise=True)
        self._reference = None if metric is None else check_repeats(metric, self._of(self._floats))

    def __call__(self, case: Case) -> Baseline:
        """How far the quantized network of ``case`` is from the float one."""
        return self._whole(self._answers(case))

    def judged(self, case: Case) -> Judged:
        """The same, and what it is without each group of samples."""
        return self._judged(self._answers(case))

    @property
    def chooses(self) -> bool:
        """Whether what is compared lies before the outputs that a metric sees."""
        return self.metric is not None and chooses(self.compared)

    def ran(self, run: Callable[[Arrays], Mapping[str, NDArray[Any]]]) -> Judged:
        """The same of what a runtime answers; it runs the network that ends with what is compared.

        Args:
            run: All outputs of a batch, in the order of the network.
        """
        parts = self.source.batches(_BATCH)
        answers = [_answered(part, self._named(run(part.feeds)), self.compared) for part in parts]
        first = 0
        for answer in answers:
            self._check(answer.floats, first, answer.size)
            first += answer.size
        return self._judged(_Found(answers, answers))

    def _named(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """By the names of the network: runtimes have others for an output with several."""
        if len(values) != len(self._ends):
            found = f"{len(values)} outputs in the place of {len(self._ends)}"
            raise SimulationError("S001", "running the file", found)
        return dict(zip(self._ends, values.values(), strict=True))

    def _judged(self, others: _Found) -> Judged:
        whole, parts, groups = self._whole(others), self._parts(others), self._groups
        if len(parts) < 2:
            return Judged(whole)
        answers = None if self.metric is None else self._of(others)
        without = [
            self._figures(_sum([*parts[:g], *parts[g + 1 :]]), answers, np.flatnonzero(groups != g))
            for g in range(len(parts))
        ]
        return Judged(whole, without, [p.baseline(self.names, self.compared) for p in parts])

    def of(self, model: ir.Model) -> Baseline:
        """How far any network of the same inputs is from the float one, by its first outputs.

        Raises:
            SimulationError: S005 where it answers with what is not finite; S025 where it lacks
                what is compared.
        """
        return self._whole(self._checked(measured_model(model, self.compared), lambda: model))

    def _answers(self, case: Case) -> _Found:
        return self._checked(simulated_model(measured(case)), lambda: simulated_model(case))

    def _whole(self, others: _Found) -> Baseline:
        comparison, first = Comparison(), 0
        for plain, other in self._pairs(others):
            span = range(first, first + plain.size)
            pair = plain.floats, other.floats[: len(plain.floats)]
            comparison.update(*pair, span, self.labels, plain.known)
            first += plain.size
        answers = None if self.metric is None else self._of(others)
        return self._figures(comparison, answers, np.arange(first))

    def _figures(
        self, comparison: Comparison, answers: Answers | None, rows: NDArray[np.int64]
    ) -> Baseline:
        """Of some samples, whose comparison this is."""
        found = comparison.baseline(self.names, self.compared)
        if self.metric is None or answers is None:
            return found
        some = answers if rows.size == len(self.source) else answers.at(rows)
        value = figure_of(self.metric, some)
        figures = MetricFigures(named(self.metric), _finite(value), _finite(self._reference))
        return replace(found, metric=figures)

    def _checked(self, ends: ir.Model, whole: Callable[[], ir.Model]) -> _Found:
        found, first = self._found(ends, whole, optimise=False), 0
        for other in found.compared:
            self._check(other.floats, first, other.size)
            first += other.size
        return found

    def _found(self, ends: ir.Model, whole: Callable[[], ir.Model], *, optimise: bool) -> _Found:
        """Answers of the network that ends with what is compared, and of it as a whole."""
        answers = list(self._outputs(ends, self.compared, optimise=optimise))
        if not self.chooses:
            return _Found(answers, answers)
        return _Found(answers, list(self._outputs(whole(), (), optimise=optimise)))

    def _pairs(self, others: _Found) -> Iterator[tuple[_Answer, _Answer]]:
        return zip(self._floats.compared, others.compared, strict=True)

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
        sizes = [plain.size for plain in self._floats.compared]
        if not all(_by_sample(plain.floats, plain.size) for plain in self._floats.compared):
            return np.repeat(np.arange(len(sizes)), sizes)
        count = sum(sizes)
        return np.arange(count) * min(GROUPS, count) // count

    def _parts(self, others: _Found) -> list[Comparison]:
        """The comparison of every group."""
        groups, first = self._groups, 0
        parts = [Comparison() for _ in range(int(groups[-1]) + 1)]
        for plain, other in self._pairs(others):
            size, own = plain.size, groups[first : first + plain.size]
            for g in np.unique(own):
                rows = np.flatnonzero(own == g)
                low, high = int(rows[0]), int(rows[-1]) + 1
                span = range(first + low, first + high)
                pair, known = (plain.floats, other.floats), plain.known
                if high - low < size:  # a batch as a whole may have no axis of samples
                    cut = slice(low, high)
                    pair = [f[cut] for f in pair[0]], [q[cut] for q in pair[1]]
                    known = known.at(cut)
                pair = pair[0], pair[1][: len(pair[0])]
                parts[g].update(*pair, span, self.labels, known)
            first += size
        return parts

    def _of(self, found: _Found) -> Answers:
        """What a metric sees."""
        sizes = [answer.size for answer in found.outputs]
        floats, others = (
            joined([answer.values for answer in each.outputs], sizes)
            for each in (self._floats, found)
        )
        return Answers(others, floats, self._samples, self.truth)

    @cached_property
    def _samples(self) -> dict[str, NDArray[Any]]:
        """What went in; an input that is the same for all samples is left out."""
        parts = list(self.source.batches(_BATCH))
        arrays = [_arrays(part.feeds, part) for part in parts]
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

    def _outputs(
        self, model: ir.Model, compared: Sequence[Compared], *, optimise: bool
    ) -> Iterator[_Answer]:
        """In the order of the samples."""
        chunks = self.source.chunks(_BATCH, _BATCH)
        for outputs in self.pool.map(_Run(model, self.source, optimise, compared), chunks):
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
