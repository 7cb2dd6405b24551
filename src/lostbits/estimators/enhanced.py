"""The search of Qualcomm's enhanced quantizer."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.estimator import RowEstimator
from lostbits.grid import Grid, Range
from lostbits.statistics import Histogram
from lostbits.statistics.cumulative import cumulative
from lostbits.statistics.jit import compiled_sums

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
_BINS = 1536
_CLIP_WEIGHT = 3.0


@final
@dataclass(frozen=True)
class SnpeEnhanced(RowEstimator):
    """The cheapest of a few hundred ranges, where clipping costs three times its squared error.

    Candidates and cost are those of the platform. For an asymmetric grid: 17 steps up to 17/16 of
    the min-max step, each at 21 places of the zero point and limited to what was observed, and
    min-max itself. For a symmetric one: 101 steps, in hundredths of ``max|x|`` over half the
    codes. The cost, ``3 E[clip^2] + E[round^2]``, is taken at the middles of 1,536 bins; what is
    clipped is measured from the middle of the bin in which the range ends. With six bins to the
    step of int8, rounding is sampled coarsely: the choice costs up to a fifth more squared error
    than the best range (up to half as much again on the platform, which has two).

    Three faults of the platform are not reproduced: its bins are fixed by the first batch, and
    drop what later lies outside; its range ends at edges of bins, not at the extremes; and it
    widens narrow ranges to 0.01 (the minimum is a matter of the target's rule).

    References:
        AIMET 2.42, DlQuantization, TfEnhancedEncodingAnalyzer: the method that SNPE calls
        enhanced and QNN sqnr.

    >>> x = np.r_[np.random.default_rng(0).normal(size=100_000), 20.0]
    >>> seen = Histogram([x.min()], [20.0]).update(x)
    >>> SnpeEnhanced()(seen, Grid.of(4, signed=False), symmetric=False).hi < 5
    True
    """

    name: ClassVar[str] = "snpe_enhanced"
    title: ClassVar[str] = "SNPE enhanced (clip error times 3)"

    def row(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The first of the cheapest candidates."""
        lo, hi = min(float(seen.lo[0]), 0.0), max(float(seen.hi[0]), 0.0)
        if lo == hi:
            return Range(0.0, 0.0)
        steps = grid.qmax - grid.qmin
        search = symmetric_candidates if symmetric else asymmetric_candidates
        low, high = search(lo, hi, steps)
        best = int(cost(rebin(seen, lo, hi), low, high, steps).argmin())
        if not symmetric:
            return Range(float(low[best]), float(high[best]))
        return Range(-float(high[best]) if lo < 0 else 0.0, float(high[best]) if hi > 0 else 0.0)


class Bins(NamedTuple):
    """Counts in bins of one width; ``left`` is the low end of the first."""

    counts: Floats
    left: float
    width: float


def symmetric_candidates(lo: float, hi: float, steps: int) -> tuple[Floats, Floats]:
    """Ends of the 101 symmetric grids; the low end has one code more."""
    step = np.arange(1, 102) / 100 * max(-lo, hi) / (steps / 2)
    return -step * (steps // 2 + 1), step * (steps // 2)


def asymmetric_candidates(lo: float, hi: float, steps: int) -> tuple[Floats, Floats]:
    """Ends of at most 358 ranges in ``[lo, hi]``, min-max last."""
    step = np.repeat(np.arange(1, 18) / 16 * (hi - lo) / steps, 21)
    offset = np.tile(np.trunc(-steps + steps * np.arange(21) / 20), 17)
    low, high = step * offset, step * (offset + steps)
    # Those that reach beyond both ends are min-max again; those on the empty side of data with
    # one sign would be limited to nothing.
    useful = ((low >= lo) | (high <= hi)) & (low < hi) & (high > lo)
    low, high = np.maximum(low, lo)[useful], np.minimum(high, hi)[useful]
    return np.append(low, lo), np.append(high, hi)


def cost(bins: Bins, low: Floats, high: Floats, steps: int) -> Floats:
    """``3 E[clip^2] + E[round^2]`` of the grid of each range, times the number of values."""
    step = (high - low) / steps
    offset = np.floor(low / step + 0.5)
    index = np.arange(bins.counts.size)
    middles = bins.left + (index + 0.5) * np.float64(bins.width)
    first, last = (
        np.clip(np.floor((step * end - bins.left) / bins.width), 0, index[-1]).astype(np.int64)
        for end in (offset, offset + steps)
    )
    total = _beyond(bins.counts, middles, middles[first], first)
    total += _beyond(bins.counts[::-1], middles[::-1], middles[last], index.size - last)
    total *= _CLIP_WEIGHT
    total += _rounded(bins.counts, middles, step, first, last)
    return total


def _beyond(counts: Floats, middles: Floats, limit: Floats, kept_from: Whole) -> Floats:
    """Squared distance to ``limit`` of the values in the bins before ``kept_from``."""
    moments = (cumulative(counts * middles**power)[kept_from] for power in range(3))
    size, sums, squares = moments
    beyond: Floats = squares - 2 * limit * sums + limit**2 * size
    return beyond


@compiled_sums
def _rounded(counts: Floats, middles: Floats, step: Floats, first: Whole, last: Whole) -> Floats:
    """Squared rounding error of the values in the bins ``first`` to ``last - 1``."""
    error = np.zeros(step.size)
    for i in range(step.size):
        for k in range(first[i], last[i]):
            away = middles[k] / step[i]
            error[i] += counts[k] * (away - np.rint(away)) ** 2
    return error * step**2


def rebin(seen: Histogram, lo: float, hi: float) -> Bins:
    """The histogram in ``_BINS`` bins of ``[lo, hi]``, old bins spread evenly over new ones."""
    edges = np.linspace(lo, hi, _BINS + 1)
    below = np.interp(edges, seen.edges[0], cumulative(seen.live[0]))
    below[[0, -1]] = 0, seen.live[0].sum()
    counts = np.diff(below)
    width = (hi - lo) / _BINS
    counts[min(int(-lo / width), _BINS - 1)] += seen.zeros[0]
    return Bins(counts, lo, width)
