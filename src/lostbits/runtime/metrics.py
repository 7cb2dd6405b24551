"""How far the outputs of one network are from those of another, as numbers that add up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.data import Batch, check_classes
from lostbits.errors import SimulationError, TargetError, close_match, edge
from lostbits.graph.outputs import Compared
from lostbits.runtime.answers import answering, classifies
from lostbits.runtime.counting import Counts, counting, without_padding, zeroed
from lostbits.runtime.decibels import decibels
from lostbits.runtime.divergence import kl
from lostbits.runtime.figure_kinds import Count, Part
from lostbits.runtime.finite_pairs import check_finite
from lostbits.runtime.label_offset import Offset, beside, labels_off
from lostbits.runtime.output_figures import Kind, MetricFigures, OutputFigures, PartFigures, worst
from lostbits.runtime.part_figures import figures_of, part_sums, together
from lostbits.statistic import RecordSum

Metric = Literal["nsr", "kl", "loss"]
Loss = Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], torch.Tensor]
METRICS: dict[str, str] = {
    "nsr": "squared error over the power of the float output, mean over outputs",
    "kl": "Kullback-Leibler divergence of softmax(float) and softmax(quantized), nats per sample",
}


_ZERO = 1e-6  # of a loss where nothing is lost
_NONE = 2**62  # above any answer


def check_metric(name: str) -> Metric:
    """``name``, if it is what can be attributed by name.

    Raises:
        TargetError: T007 for any other name.
    """
    if name not in METRICS:
        raise TargetError(
            "T007", f"metric {name!r}", "no such metric", advice=close_match(name, METRICS)
        )
    return name  # type: ignore[return-value]


@final
@dataclass(frozen=True)
class Focus:
    """One output, or a part of one, whose error is looked at instead of that of all.

    Attributes:
        name: Of the output or part.
        output: Its number among those that are compared.
        index: Of the part in an array of the output.
        power: Sum of squares of the float values over all data.
    """

    name: str
    output: int
    index: tuple[slice, ...]
    power: float


@final
class Value:
    """The scalar ``v`` of a batch of outputs; batches add up to the figure of the whole data.

    Args:
        metric: ``nsr``, ``kl`` or ``loss``.
        energy: Sum of squares of every float output over all data.
        samples: Number of samples of all data.
        compared: The outputs, if anything is known of them.
        focus: What alone counts; None: all outputs.
        loss: Of a user's metric: of a batch, a mean over its samples, of outputs and those of the
            float network by name; least, and zero, where both are equal.
    """

    def __init__(
        self,
        metric: Metric,
        energy: Mapping[str, float],
        samples: int,
        compared: Sequence[Compared] = (),
        focus: Focus | None = None,
        loss: Loss | None = None,
    ) -> None:
        self.metric, self.samples, self.compared, self.focus = metric, samples, compared, focus
        self.loss, self.names = loss, list(energy)
        powers = list(energy.values()) if focus is None else [focus.power]
        weights = [1 / e if e > 0 else 0.0 for e in powers]
        if not any(weights):
            raise SimulationError("S006", "outputs of the float network", "all are zero")
        count = sum(w > 0 for w in weights)
        self.weights = [w / count for w in weights]

    def __call__(
        self,
        floats: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        part: Batch | None = None,
    ) -> torch.Tensor:
        """``v`` of these outputs of a batch, float64, differentiable in ``others``.

        Raises:
            SimulationError: S024 for a loss that is none.
        """
        if self.loss is not None:
            return self._of_loss(floats, others)
        counts = self._counts(floats, part)
        if self.metric == "kl":
            number = (answering(self.compared) or 0) if self.focus is None else self.focus.output
            axis = self.compared[number].axis if self.compared else -1
            return kl(floats[number], others[number], counts[number], axis) / self.samples
        pairs = zip(floats, others, counts, strict=True)
        errors = [(f, q, c) for f, q, c in pairs]
        if self.focus is not None:
            return self._part(*errors[self.focus.output])
        parts = [
            w * without_padding(q.double() - f.double(), c).square().sum()
            for w, (f, q, c) in zip(self.weights, errors, strict=True)
            if w
        ]
        return torch.stack(parts).sum()

    def _part(self, plain: torch.Tensor, other: torch.Tensor, counts: Counts) -> torch.Tensor:
        assert self.focus is not None
        error = without_padding(other.double() - plain.double(), counts)[self.focus.index]
        return self.weights[0] * error.square().sum()

    def _of_loss(
        self, floats: Sequence[torch.Tensor], others: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """A batch counts for as many samples as it has."""
        assert self.loss is not None
        reference, outputs = (dict(zip(self.names, each, strict=True)) for each in (floats, others))
        size = floats[0].shape[0] if floats[0].ndim else 1
        with edge(lambda found: SimulationError("S024", "loss of the metric", found)):
            zero, value = self.loss(reference, reference), self.loss(outputs, reference)
            if not isinstance(value, torch.Tensor) or value.numel() != 1:
                raise SimulationError("S024", "loss of the metric", f"a {type(value).__name__}")
        if abs(float(zero)) > _ZERO or not torch.isfinite(value).all():
            found = f"{float(zero):.3g} for equal outputs, {float(value):.3g} for these"
            raise SimulationError("S024", "loss of the metric", found)
        return value.double().reshape(()) * (size / self.samples)

    def _counts(self, floats: Sequence[torch.Tensor], part: Batch | None) -> list[Counts]:
        if part is None or not self.compared:
            return [None] * len(floats)
        return counting(self.compared, part, [tuple(f.shape) for f in floats])


@final
@dataclass(frozen=True)
class Baseline:
    """Figures of the quantized network beside the float one.

    Attributes:
        sqnr_db: Of the outputs, in dB; None where they are equal.
        kl: Divergence of the softmax of the first output, in nats a sample; None without classes.
        agreement: Samples with the same answer; None without classes.
        accuracy_float: Samples with the right answer in float; None without labels.
        accuracy_quantized: The same of the quantized network.
        outputs_sqnr_db: By output.
        outputs: Every output by itself and by part.
        answers: Answers that the agreement is a share of.
        labelled: Answers that the accuracies are shares of.
        metric: That was asked for, on all samples together; None without one.
        labels_off: 1 where most labels are one above what float answers, -1 where they are one
            below; 0 otherwise.
        one_answer: Whether float gives one and the same answer everywhere.
    """

    sqnr_db: float | None
    kl: float | None
    agreement: Part | None
    accuracy_float: Part | None = None
    accuracy_quantized: Part | None = None
    outputs_sqnr_db: Mapping[str, float | None] = field(default_factory=dict)
    outputs: list[OutputFigures] = field(default_factory=list)
    answers: Count = 0
    labelled: Count = 0
    metric: MetricFigures | None = None
    labels_off: Offset = 0
    one_answer: bool = False

    @property
    def telling_agreement(self) -> float | None:
        """The agreement; None too where all answers are one, which a bad network keeps as well."""
        return None if self.one_answer and self.agreement == 1.0 else self.agreement

    @property
    def worst(self) -> PartFigures | None:
        """The part of an output that is farthest from float; None where all are equal."""
        return worst(self.outputs)


@final
@dataclass(frozen=True)
class Outputs:
    """What is known of the outputs of a batch.

    Attributes:
        compared: Of each what it means; none: nothing is known.
        counts: Of each which positions count.
    """

    compared: Sequence[Compared] = ()
    counts: Sequence[Counts] = ()

    @classmethod
    def of(
        cls, compared: Sequence[Compared], part: Batch, arrays: Sequence[NDArray[Any]]
    ) -> "Outputs":
        """Those of a batch; ``arrays`` as the network gave them."""
        return cls(compared, counting(compared, part, [a.shape for a in arrays]))

    def at(self, rows: slice) -> "Outputs":
        """Those of some samples of the batch."""
        return Outputs(self.compared, [None if c is None else c[rows] for c in self.counts])


UNKNOWN = Outputs()


@final
@dataclass
class Comparison(RecordSum):
    """Running figures of the quantized against the float outputs.

    Attributes:
        error: Squared, of each output.
        power: Squares of each float output.
        parts: Of every part of every output; see ``output_parts.part_sums``.
        divergence: Of the output with answers, summed over samples.
        samples: How many.
        positions: Answers that were compared, of which ``agreed`` are the same.
        agreed: See there.
        ends: The least and the largest answer of float; the least is above where there is none.
        labelled: Samples with labels.
        right: Of these, in float and quantized.
        beside: Of these, for which float answers one less than the label, and one more.
    """

    error: NDArray[np.float64] | None = None
    power: NDArray[np.float64] | None = None
    parts: NDArray[np.float64] | None = None
    divergence: float = 0.0
    samples: int = 0
    positions: int = 0
    agreed: int = 0
    ends: tuple[int, int] = (_NONE, -1)
    labelled: int = 0
    right: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    beside: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    def update(
        self,
        floats: Sequence[NDArray[Any]],
        others: Sequence[NDArray[Any]],
        span: range,
        every: NDArray[np.int64] | None = None,
        outputs: Outputs = UNKNOWN,
    ) -> Self:
        """Take in the outputs of one batch.

        Args:
            floats: Of the float network.
            others: Of the quantized one, in the same order.
            span: Numbers of the samples.
            every: Class numbers of all samples, or None.
            outputs: What is known of them; nothing: those of two and three axes are scores.

        Raises:
            DataError: D022 for labels that are no class of the output.
            SimulationError: S003 and S005 for what counts and is not finite; S009 for other shapes.
        """
        counts = outputs.counts or [None] * len(floats)
        for number, (f, q) in enumerate(zip(floats, others, strict=True)):
            if f.shape != q.shape:
                found = f"{q.shape} instead of {f.shape}: its shape depends on its values"
                raise SimulationError("S009", f"output {number}", found)
        pairs = [
            (zeroed(f.astype(np.float64), c), zeroed(q.astype(np.float64), c))
            for f, q, c in zip(floats, others, counts, strict=True)
        ]
        check_finite(pairs, span, outputs.compared)
        error = np.array([((q - f) ** 2).sum() for f, q in pairs])
        power = np.array([(f**2).sum() for f, _ in pairs])
        self.error = error if self.error is None else self.error + error
        self.power = power if self.power is None else self.power + power
        self.samples += len(span)
        if outputs.compared:
            self._take_parts(part_sums(outputs.compared, pairs, counts))
        chosen = self._answering(outputs.compared, floats, every)
        if chosen is not None:
            axis = outputs.compared[chosen].axis if outputs.compared else -1
            self._take_answers(pairs[chosen], counts[chosen], axis, span, every)
        return self

    @staticmethod
    def _answering(
        compared: Sequence[Compared],
        floats: Sequence[NDArray[Any]],
        every: NDArray[np.int64] | None,
    ) -> int | None:
        """The output with answers: by its kind, or because there are labels for it."""
        if not compared:
            return 0 if classifies(floats[0]) else None
        labelled = every is not None and floats[0].ndim == 2 and floats[0].shape[-1] > 1
        return 0 if (found := answering(compared)) is None and labelled else found

    def _take_parts(self, sums: NDArray[np.float64]) -> None:
        self.parts = sums if self.parts is None else together(self.parts, sums)

    def _take_answers(
        self,
        pair: tuple[NDArray[Any], NDArray[Any]],
        counts: Counts,
        axis: int,
        span: range,
        every: NDArray[np.int64] | None,
    ) -> None:
        plain, other = pair
        self.divergence += float(kl(torch.from_numpy(plain), torch.from_numpy(other), counts, axis))
        winners = plain.argmax(axis), other.argmax(axis)
        same = winners[0] == winners[1]
        self.positions += same.size if counts is None else int(counts.sum())
        self.agreed += int(same.sum() if counts is None else same[counts].sum())
        self._take_ends(winners[0] if counts is None else winners[0][counts])
        if every is not None and plain.ndim == 2:
            labels = every[span.start : span.stop]
            check_classes(every, plain.shape[-1])
            self.labelled += len(span)
            self.right += [int((w == labels).sum()) for w in winners]
            self.beside += beside(winners[0], labels)

    def _take_ends(self, answers: NDArray[np.integer[Any]]) -> None:
        if answers.size:
            self._widen(int(answers.min()), int(answers.max()))

    def _widen(self, least: int, most: int) -> None:
        self.ends = min(self.ends[0], least), max(self.ends[1], most)

    def merge(self, other: Self) -> Self:
        """Add the figures of other samples."""
        if other.error is not None and other.power is not None:
            self.error = other.error if self.error is None else self.error + other.error
            self.power = other.power if self.power is None else self.power + other.power
        if other.parts is not None:
            self._take_parts(other.parts)
        self.divergence += other.divergence
        self.samples += other.samples
        self.positions += other.positions
        self.agreed += other.agreed
        self._widen(*other.ends)
        self.labelled += other.labelled
        self.right += other.right
        self.beside += other.beside
        return self

    def baseline(self, names: Sequence[str], compared: Sequence[Compared] = ()) -> Baseline:
        """The figures; None where they do not apply."""
        assert self.error is not None and self.power is not None
        per_output = {
            name: decibels(float(p), float(e))
            for name, p, e in zip(names, self.power, self.error, strict=True)
        }
        live = self.power > 0
        nsr = float(np.mean(self.error[live] / self.power[live])) if live.any() else 0.0
        accuracy: list[float | None] = [None, None]
        if self.labelled:
            accuracy = [float(r) / self.labelled for r in self.right]
        figures = [
            OutputFigures(name, Kind.OTHER, value, [PartFigures(name, value)])
            for name, value in per_output.items()
        ]
        if self.parts is not None:
            figures = figures_of(compared, self.parts, per_output)
        return Baseline(
            sqnr_db=decibels(1.0, nsr),
            kl=self.divergence / self.samples if self.positions else None,
            agreement=self.agreed / self.positions if self.positions else None,
            accuracy_float=accuracy[0],
            accuracy_quantized=accuracy[1],
            outputs_sqnr_db=per_output,
            outputs=figures,
            answers=self.positions,
            labelled=self.labelled,
            labels_off=labels_off(self.labelled, int(self.right[0]), self.beside),
            one_answer=self.ends[0] == self.ends[1],
        )
