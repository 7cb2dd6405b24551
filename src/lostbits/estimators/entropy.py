"""The threshold of TensorRT's calibration: least information lost."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from lostbits.estimator import RowEstimator
from lostbits.grid import Grid, Range
from lostbits.statistics import Histogram
from lostbits.statistics.cumulative import cumulative
from lostbits.statistics.jit import compiled

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Entropy(RowEstimator):
    """The clip of ``|x|`` whose coarse histogram diverges least from the fine one.

    A candidate keeps the first ``i`` bins of the histogram of ``|x|``. P is what clipping makes
    of the data: those bins, the outliers added to the last. Q is what the grid can tell of it:
    the same bins without the outliers, merged into as many groups as the grid has codes for
    ``|x|``, each group spread evenly over those of its bins that hold anything. The threshold of
    the candidate with the least KL(P || Q), the first if several tie, is ``(i + 1/2)`` bins: half
    a bin beyond the last kept, and so beyond the largest value when nothing is clipped; the
    scales in published calibration caches of TensorRT are 2048.5/2048 of the extreme.

    What the talk leaves open is decided so: the first bin counts as much as the second, as in
    NVIDIA's own torch calibrator, because no grid loses the zeros of a rectified tensor, but their
    spike, spread over a group, would drive the threshold to its least (EfficientNet-Lite0 then
    answers nothing right); a candidate whose Q is empty where P is not (its last bin holds
    outliers only) is skipped; an asymmetric grid has twice the codes for ``|x|`` when the data
    have one sign.

    References:
        Migacz, 8-bit Inference with TensorRT, GTC 2017, session S7310.

    >>> seen = Histogram([-4.0], [4.0]).update(np.array([-4.0, 0.0, 4.0]))
    >>> Entropy()(seen, Grid.of(8, signed=True), symmetric=True).hi == 4 * 2048.5 / 2048
    True
    """

    name: ClassVar[str] = "entropy"
    title: ClassVar[str] = "least KL divergence (TensorRT)"
    minimum_values: ClassVar[int] = 128

    def row(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """``[-t, t]`` without the sides that hold no data; limited to them if asymmetric."""
        lo, hi = min(float(seen.lo[0]), 0.0), max(float(seen.hi[0]), 0.0)
        if lo == hi:
            return Range(0.0, 0.0)
        bins, counts = seen.bins, seen.counts[0]
        whole = not symmetric and (lo == 0 or hi == 0)
        levels = min(bins, 2 ** (grid.bits if whole else grid.bits - 1))
        folded = (counts[bins:] + counts[bins - 1 :: -1]).astype(np.float64)
        folded[0] = folded[1]
        lost = divergences(folded, levels)
        threshold = (levels + int(lost.argmin()) + 0.5) * float(seen.width[0])
        if symmetric:
            return Range(-threshold if lo < 0 else 0.0, threshold if hi > 0 else 0.0)
        return Range(max(lo, -threshold), min(hi, threshold))


def divergences(counts: Floats, levels: int) -> Floats:
    """KL(P || Q) of keeping the first ``levels``, ``levels + 1``, ... all bins of ``counts``.

    Shape (bins,) -> (bins - levels + 1,), in nats; ``inf`` where Q is empty and P is not. Cuts
    that lose nothing score 0, up to rounding.

    Inside a group Q is constant, so with S the sum of a group and N its number of non-empty bins,
    ``sum P log Q`` is ``sum S log(S/N)`` over the groups, plus the outliers, which all lie in the
    last one.
    """
    kept = np.arange(levels, counts.size + 1)
    below, filled = cumulative(counts), cumulative(counts > 0)
    inside, last = below[kept], counts[kept - 1]
    outliers = counts.sum() - inside
    entropy = cumulative(xlogy(counts, counts))[kept - 1] + xlogy(last + outliers, last + outliers)
    total = max(float(counts.sum()), 1.0)  # none where all values are in the bin at zero
    share = np.divide(inside, total, out=np.ones_like(inside), where=inside > 0)
    lost: Floats = (entropy - _cross(below, filled, outliers, levels)) / total
    lost += np.log(share)
    lost[(inside == 0) | ((outliers > 0) & (last == 0))] = np.inf
    return lost


@compiled
def _cross(below: Floats, filled: Floats, outliers: Floats, levels: int) -> Floats:
    """``sum P log Q`` of every candidate, from the sums below each bin.

    Bin k of candidate i is in group floor(k * levels / i), so group j starts at ceil(j*i/levels).
    """
    cross = np.zeros(outliers.size)
    for candidate in range(outliers.size):
        kept, start, level = levels + candidate, 0, 1.0
        for group in range(levels):
            end = -(-(group + 1) * kept // levels)
            inside, number = below[end] - below[start], filled[end] - filled[start]
            level = inside / number if number > 0 else 1.0
            cross[candidate] += inside * np.log(level) if inside > 0 else 0.0
            start = end
        cross[candidate] += outliers[candidate] * np.log(level) if outliers[candidate] > 0 else 0.0
    return cross
