"""The range that all but a few values fit in."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.estimator import Ends, Estimator
from lostbits.grid import Grid
from lostbits.statistics import Histogram


@final
@dataclass(frozen=True)
class Percentile(Estimator):
    """Extremes after a few parts per million of the values are cut off.

    For an asymmetric grid the cut is made at each end; for a symmetric one it is made in ``|x|``,
    because only the larger end counts there. At most that share lies outside, and each end is
    less than one bin wider than it had to be; the exact extremes are never exceeded.

    Args:
        cut_ppm: Parts per million to cut, 0 (the exact extremes) to 499,999. An integer, since
            shares such as 100 - 99.9 are not exact in binary and may keep the very outlier they
            were to cut. 100 is the 99.99th percentile.

    References:
        Wu, Judd, Zhang, Isaev, Micikevicius, Integer Quantization for Deep Learning Inference,
        2020, arXiv:2004.09602 (percentile calibration).

    >>> x = np.r_[np.zeros(998), 8.0, 1000.0]
    >>> seen = Histogram([0.0], [1000.0], bins=1000).update(x)
    >>> Percentile(cut_ppm=1000)(seen, Grid.of(8, signed=False), symmetric=False)
    Range(lo=0.0, hi=9.0)
    """

    name: ClassVar[str] = "percentile"
    title: ClassVar[str] = "all but a few values"
    cut_ppm: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.cut_ppm < 500_000:
            raise ValueError(f"Percentile(cut_ppm=...) must be in 0..499999, got {self.cut_ppm!r}")

    def ranges(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Ends:
        """Bin edges, rounded outwards; the grid plays no part."""
        counts, bins = seen.counts, seen.bins
        cut = counts.sum(axis=1, keepdims=True) * self.cut_ppm // 1_000_000
        if symmetric:
            folded = counts[:, bins:] + counts[:, bins - 1 :: -1]
            below = above = bins - _dropped(folded, cut)
        else:
            below, above = (bins - _dropped(end, cut) for end in (counts[:, ::-1], counts))
        lo = np.maximum(seen.lo, -below * seen.width)
        hi = np.minimum(seen.hi, above * seen.width)
        return np.minimum(lo, 0.0), np.maximum(hi, 0.0)


def _dropped(counts: NDArray[np.int64], cut: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the last bins of each row hold at most ``cut`` values together."""
    dropped: NDArray[np.int64] = (np.cumsum(counts[:, ::-1], axis=1) <= cut).sum(axis=1)
    return dropped
