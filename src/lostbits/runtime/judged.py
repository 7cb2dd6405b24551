"""What was judged, with as much beside it as tells a gain from noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from scipy.special import stdtrit

from lostbits.runtime.metrics import Baseline
from lostbits.runtime.output_figures import PartFigures

GROUPS = 16  # most groups of samples that are left out in turn
_CERTAIN = 0.9  # one-sided
_CLEAR = 1.34  # standard errors: so much of Student's t with 15 degrees of freedom
FAR = 10.0  # dB below the whole
NO_ERROR = 200.0  # dB, for a signal without any error

Score = Callable[[Baseline], float]


@final
@dataclass(frozen=True)
class Judged:
    """Figures on the samples that judge.

    Attributes:
        baseline: Of all of them.
        without: Of all but one group, group by group; none where there is but one.
        alone: Of each of these groups.
    """

    baseline: Baseline
    without: Sequence[Baseline] = field(default_factory=tuple)
    alone: Sequence[Baseline] = field(default_factory=tuple)


@final
@dataclass(frozen=True)
class Difference:
    """How much a figure has changed, and how far other samples would have changed it otherwise.

    Attributes:
        value: After less before.
        error: Standard error of it, by the jackknife over groups of samples: both networks have
            answered the same samples, so what makes samples hard cancels (Efron and Tibshirani,
            An Introduction to the Bootstrap, 1993, chapter 11).
    """

    value: float
    error: float

    @classmethod
    def of(cls, before: Judged, after: Judged, score: Score) -> "Difference":
        """Of one figure."""
        value = score(after.baseline) - score(before.baseline)
        pairs = zip(before.without, after.without, strict=True)
        each = np.array([score(new) - score(old) for old, new in pairs])
        if each.size < 2:
            return cls(value, 0.0)
        spread = float(((each - each.mean()) ** 2).sum())
        return cls(value, float(np.sqrt((each.size - 1) / each.size * spread)))

    @classmethod
    def of_groups(cls, before: Judged, after: Judged, score: Score) -> "Difference":
        """Of the mean of what single groups have won, each in its own figure.

        One sample with most of the error leaves a figure of all of them to chance. That all
        samples have won says it better: a paired t-test.
        """
        pairs = zip(before.alone, after.alone, strict=True)
        each = np.array([score(new) - score(old) for old, new in pairs])
        if each.size < 2:
            return cls(0.0, 0.0)
        students = float(stdtrit(each.size - 1, _CERTAIN)) / _CLEAR
        return cls(float(each.mean()), students * float(each.std(ddof=1)) / each.size**0.5)

    @property
    def clear(self) -> bool:
        """Whether it is a gain that other samples would show, too."""
        return self.value > _CLEAR * self.error


def decibels(found: Baseline) -> float:
    """SQNR of the worst part of the outputs; no error at all stands at the end of the scale."""
    part = found.worst
    value = found.sqnr_db if part is None else part.sqnr_db
    return NO_ERROR if value is None else value


def far_below(baseline: Baseline) -> bool:
    """Whether a part of the outputs lost so much more than the whole that it counts alone."""
    worst, whole = baseline.worst, baseline.sqnr_db
    return (
        worst is not None
        and worst.sqnr_db is not None
        and whole is not None
        and worst.sqnr_db < whole - FAR
    )


def parted(before: Baseline, after: Baseline) -> tuple[PartFigures, PartFigures] | None:
    """The part that counts alone before, and the same part after; None where the whole tells it."""
    worst = before.worst
    if worst is None or not far_below(before):
        return None
    parts = (part for output in after.outputs for part in output.parts)
    return next(((worst, part) for part in parts if part.name == worst.name), None)


def accuracy(found: Baseline) -> float:
    """Share of right answers.

    Raises:
        ValueError: Where there are no labels.
    """
    if found.accuracy_quantized is None:
        raise ValueError("no labels")
    return found.accuracy_quantized


def metric(found: Baseline) -> float:
    """The user's figure; infinite where nothing is wrong.

    Raises:
        ValueError: Where there is none.
    """
    if found.metric is None:
        raise ValueError("no metric")
    return np.inf if found.metric.quantized is None else found.metric.quantized


def counting(found: Baseline) -> Score:
    """The figure that counts: the user's, else right answers, else the worst part."""
    if found.metric is not None:
        return metric
    return decibels if found.accuracy_quantized is None else accuracy


def better(before: Judged, after: Judged, least: float) -> bool:
    """Whether a change is a gain in the figure that counts.

    It is where that figure has clearly risen. Where it has not fallen, the worst part may decide,
    by ``least`` dB and clearly: answers of few samples change in steps, and a step may lie ahead.
    """
    score = counting(before.baseline)
    noise, each = (how(before, after, decibels) for how in (Difference.of, Difference.of_groups))
    cleaner = noise.value >= least and (noise.clear or each.clear)
    if score is decibels:
        return cleaner
    first = Difference.of(before, after, score)
    return (first.value > 0 and first.clear) or (first.value >= 0 and cleaner)
