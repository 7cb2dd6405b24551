"""Classes: whether answers stay the same, and whether they are right."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from lostbits.data import check_classes
from lostbits.metric import Answers, Labels, Metric
from lostbits.metrics.shapes import Floats, pair, truth

_CLASSES = "class numbers, one a sample"


@final
@dataclass(frozen=True)
class Agreement(Metric):
    """Answers that stay the same: of samples, or of the steps of a sequence."""

    name: ClassVar[str] = "agreement"
    title: ClassVar[str] = "share of answers (of steps, in a sequence) that are those of float"
    source: ClassVar[str] = "top-1 of float as the truth; Jacob et al. 2018, arXiv:1712.05877"
    kinds: ClassVar[tuple[str, ...]] = ("classes", "sequence")

    def measure(self, answers: Answers) -> float:
        """Along the last axis of the first output."""
        output, plain = pair(answers, self.name, 2, 3)
        return float((output.argmax(-1) == plain.argmax(-1)).mean())


@final
@dataclass(frozen=True)
class Divergence(Metric):
    """How far the answers' probabilities have moved, as a number below zero."""

    name: ClassVar[str] = "kl"
    title: ClassVar[str] = "minus the Kullback-Leibler divergence from float, nats a sample"
    source: ClassVar[str] = "Kullback and Leibler 1951"
    kinds: ClassVar[tuple[str, ...]] = ("classes", "sequence")
    range: ClassVar[tuple[float, float]] = (-np.inf, 0.0)

    def measure(self, answers: Answers) -> float:
        """Of the softmax along the last axis of the first output."""
        output, plain = pair(answers, self.name, 2, 3)
        p, q = log_softmax(plain, -1), log_softmax(output, -1)
        return -float((np.exp(p) * (p - q)).sum(-1).mean())


@final
@dataclass(frozen=True)
class Accuracy(Metric):
    """Right answers."""

    name: ClassVar[str] = "accuracy"
    title: ClassVar[str] = "share of right answers"
    source: ClassVar[str] = "top-1"
    kinds: ClassVar[tuple[str, ...]] = ("classes",)
    labels: ClassVar[Labels] = "classes"

    def measure(self, answers: Answers) -> float:
        """Of the first output."""
        output, labels = _judged(answers, self.name)
        return float((output.argmax(-1) == labels).mean())


@final
@dataclass(frozen=True)
class TopFive(Metric):
    """The true class among the five that score highest."""

    name: ClassVar[str] = "top5"
    title: ClassVar[str] = "share of samples whose true class is among the first five"
    source: ClassVar[str] = "Russakovsky et al. 2015, arXiv:1409.0575"
    kinds: ClassVar[tuple[str, ...]] = ("classes",)
    labels: ClassVar[Labels] = "classes"

    def measure(self, answers: Answers) -> float:
        """Of the first output; classes that score the same count as ahead."""
        output, labels = _judged(answers, self.name)
        own = np.take_along_axis(output, labels[:, None], 1)
        return float(((output >= own).sum(-1) <= 5).mean())


def _judged(answers: Answers, metric: str) -> tuple[Floats, NDArray[np.int64]]:
    output, _ = pair(answers, metric, 2)
    labels = truth(answers, metric, _CLASSES, len(output)).astype(np.int64)
    check_classes(labels, output.shape[-1])
    return output, labels
