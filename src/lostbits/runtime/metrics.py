"""How far the outputs of one network are from those of another, as numbers that add up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.data import check_classes
from lostbits.errors import SimulationError, edge
from lostbits.runtime.figure_kinds import Part
from lostbits.runtime.output_figures import Kind, MetricFigures, OutputFigures, PartFigures, worst
from lostbits.statistic import RecordSum

Metric = Literal["nsr", "kl", "loss"]
Loss = Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], torch.Tensor]
METRICS: dict[str, str] = {
    "nsr": "squared error over the power of the float output, mean over outputs",
    "kl": "Kullback-Leibler divergence of softmax(float) and softmax(quantized), nats per sample",
}


_ZERO = 1e-6  # of a loss where nothing is lost


@final
class Value:
    """The scalar ``v`` of a batch of outputs; batches add up to the figure of the whole data.

    Args:
        metric: ``nsr``, ``kl`` or ``loss``.
        energy: Sum of squares of every float output over all data.
        samples: Number of samples of all data.
        loss: Of a user's metric: of a batch, a mean over its samples, of outputs and those of the
            float network by name; least, and zero, where both are equal.
    """

    def __init__(
        self,
        metric: Metric,
        energy: Mapping[str, float],
        samples: int,
        loss: Loss | None = None,
    ) -> None:
        self.metric, self.loss, self.names = metric, loss, list(energy)
        self.samples = samples
        self.weights = [1 / e if e > 0 else 0.0 for e in energy.values()]
        if not any(self.weights):
            raise SimulationError("S006", "outputs of the float network", "all are zero")
        count = sum(w > 0 for w in self.weights)
        self.weights = [w / count for w in self.weights]

    def __call__(
        self, floats: Sequence[torch.Tensor], others: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """``v`` of these outputs, float64, differentiable in ``others``.

        Raises:
            SimulationError: S024 for a loss that is none.
        """
        if self.loss is not None:
            return self._of_loss(floats, others)
        if self.metric == "kl":
            return _kl(floats[0], others[0]) / self.samples
        parts = [
            w * (q.double() - f.double()).square().sum()
            for w, f, q in zip(self.weights, floats, others, strict=True)
            if w
        ]
        return torch.stack(parts).sum()

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


def _kl(plain: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Sum over samples (mean over further positions) of the divergence along the last axis."""
    p, q = torch.log_softmax(plain.double(), -1), torch.log_softmax(other.double(), -1)
    each = (p.exp() * (p - q)).sum(-1)
    return each.reshape(each.shape[0], -1).mean(1).sum() if each.ndim else each


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
        metric: That was asked for, on all samples together; None without one.
    """

    sqnr_db: float | None
    kl: float | None
    agreement: Part | None
    accuracy_float: Part | None = None
    accuracy_quantized: Part | None = None
    outputs_sqnr_db: Mapping[str, float | None] = field(default_factory=dict)
    outputs: list[OutputFigures] = field(default_factory=list)
    metric: MetricFigures | None = None

    @property
    def worst(self) -> PartFigures | None:
        """The part of an output that is farthest from float; None where all are equal."""
        return worst(self.outputs)


def _other_shape(
    number: int, floats: tuple[int, ...], quantized: tuple[int, ...]
) -> SimulationError:
    return SimulationError(
        "S009",
        f"output {number}",
        f"{quantized} instead of {floats}: its shape depends on its values",
    )


@final
@dataclass
class Comparison(RecordSum):
    """Running figures of the quantized against the float outputs."""

    error: NDArray[np.float64] | None = None
    power: NDArray[np.float64] | None = None
    divergence: float = 0.0
    samples: int = 0
    positions: int = 0
    agreed: int = 0
    labelled: int = 0
    right: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    def update(
        self,
        floats: Sequence[NDArray[Any]],
        others: Sequence[NDArray[Any]],
        span: range,
        every: NDArray[np.int64] | None = None,
    ) -> Self:
        """Take in the outputs of one batch.

        Args:
            floats: Of the float network.
            others: Of the quantized one, in the same order.
            span: Numbers of the samples.
            every: Class numbers of all samples, or None.

        Raises:
            DataError: D022 for labels that are no class of the output.
        """
        pairs = [
            (f.astype(np.float64), q.astype(np.float64))
            for f, q in zip(floats, others, strict=True)
        ]
        for number, (f, q) in enumerate(pairs):
            if f.shape != q.shape:
                raise _other_shape(number, f.shape, q.shape)
        error = np.array([((q - f) ** 2).sum() for f, q in pairs])
        power = np.array([(f**2).sum() for f, _ in pairs])
        self.error = error if self.error is None else self.error + error
        self.power = power if self.power is None else self.power + power
        self.samples += len(span)
        plain, other = floats[0], others[0]
        if classifies(plain):
            self.divergence += float(_kl(torch.from_numpy(plain), torch.from_numpy(other)))
            winners = plain.argmax(-1), other.argmax(-1)
            self.positions += winners[0].size
            self.agreed += int((winners[0] == winners[1]).sum())
            if every is not None and plain.ndim == 2:
                labels = every[span.start : span.stop]
                check_classes(every, plain.shape[-1])
                self.labelled += len(span)
                self.right += [int((w == labels).sum()) for w in winners]
        return self

    def merge(self, other: Self) -> Self:
        """Add the figures of other samples."""
        if other.error is not None and other.power is not None:
            self.error = other.error if self.error is None else self.error + other.error
            self.power = other.power if self.power is None else self.power + other.power
        self.divergence += other.divergence
        self.samples += other.samples
        self.positions += other.positions
        self.agreed += other.agreed
        self.labelled += other.labelled
        self.right += other.right
        return self

    def baseline(self, names: Sequence[str]) -> Baseline:
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
        return Baseline(
            sqnr_db=decibels(1.0, nsr),
            kl=self.divergence / self.samples if self.positions else None,
            agreement=self.agreed / self.positions if self.positions else None,
            accuracy_float=accuracy[0],
            accuracy_quantized=accuracy[1],
            outputs_sqnr_db=per_output,
            outputs=figures,
        )


def classifies(output: NDArray[Any]) -> bool:
    """Whether the largest entry along the last axis means something: scores, not maps."""
    return output.ndim in (2, 3) and output.shape[-1] > 1


def decibels(power: float, error: float) -> float | None:
    """``10 log10(power / error)``; None where one of them is zero."""
    return float(10 * np.log10(power / error)) if power > 0 and error > 0 else None
