"""Whether the samples that set ranges look like those that are measured."""

from dataclasses import dataclass
from typing import Literal, final

from lostbits.runtime.figure_kinds import Count, Named, Part, Size


@final
@dataclass(frozen=True)
class Compared:
    """One tensor of the float network on two sets of samples.

    Attributes:
        tensor: Its name.
        data: Extremes on the samples that are measured.
        calibration: Extremes on those that set the ranges.
        outside: Part of the data's values beyond the extremes of the calibration samples.
        side: Where those lie; ``none`` where there are none.
        ratio: Root mean square of the data over that of the calibration samples.
        shift: Distance of the means, in standard deviations of the calibration samples' values.
    """

    tensor: Named
    data: list[float]
    calibration: list[float]
    outside: Part
    side: Literal["below", "above", "both", "none"]
    ratio: Size
    shift: Size


@final
@dataclass(frozen=True)
class Growth:
    """What more samples would change.

    Attributes:
        median: Part by which all samples reach farther than half of them, over all tensors.
        most: The largest of these.
        tensor: Of which it is.
        samples: How many have set the ranges.
    """

    median: Size
    most: Size
    tensor: str
    samples: Count


@final
@dataclass(frozen=True)
class StatisticsFit:
    """Samples against the running statistics of the file's BatchNormalizations.

    Attributes:
        distance: Kullback-Leibler divergence of the channels' normal distributions, in nats, mean
            over channels, median over the first layers. 0 is the training data themselves.
        layers: How many layers that is of.
        better: What done to the samples makes it least; empty where nothing is much better.
        better_distance: What it is then; ``distance`` where nothing is better.
    """

    distance: Size
    layers: Count
    better: str
    better_distance: Size


@final
@dataclass(frozen=True)
class SampleCheck:
    """What the samples say of themselves.

    Attributes:
        inputs: Inputs of the network on both sets; empty where there is one set.
        tensors: Inner tensors on both sets, the ones least alike first; the first 20.
        beyond: Inner tensors that leave the extremes of the calibration samples.
        compared: Inner tensors that were compared.
        mismatch: Whether the two sets are of another kind, and where it shows first.
        growth: What more samples would change; None for fewer than four.
        constant: Samples whose values are all equal, by input.
        statistics: None where the file has no such statistics.
        samples: How many have set the ranges.
        different: Of these, those that are not next to the same as others; None of too many to
            compare.
    """

    inputs: list[Compared]
    tensors: list[Compared]
    beyond: Count
    compared: Count
    mismatch: Literal["inputs", "tensors", "none"]
    growth: Growth | None
    constant: dict[str, int]
    statistics: StatisticsFit | None = None
    samples: Count = 0
    different: Count | None = None
