"""The range with the least error at the output, by what each value is worth there."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.estimator import Ends, Estimator
from lostbits.grid import Grid
from lostbits.statistics import Histogram

Floats = NDArray[np.float64]
# Ends that are tried: 36, each a tenth of an octave inside the one before.
_ENDS = 2.0 ** (-np.arange(36) / 10)


@final
@dataclass(frozen=True, eq=False)
class Weighted(Estimator):
    """The range that minimises rounding inside it plus ``coherence`` times clipping outside.

    ``J(lo, hi) = ((hi - lo) / steps)^2 / 12 sum_inside w + coherence sum_outside w (x - end)^2``
    with the weights ``w`` of all values. What rounding does to one value does not depend on the
    next, so that energies add up; what clipping does has one sign, and sums of it grow faster.

    Attributes:
        weights: Of the values in each bin of the histogram, (2 * bins,); zeros have none.
        coherence: How many times as much a clipped value costs as its energy says.
        keep_highest: Whether the upper end stays: the largest of some scores is the answer.
    """

    name: ClassVar[str] = "weighted"
    title: ClassVar[str] = "least error at the output, by noise gains"
    weights: Floats
    coherence: float = 16.0
    keep_highest: bool = False

    def ranges(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Ends:
        """The best of 36 by 36 pairs of ends, the extremes among them; of 36 where symmetric."""
        lowest, highest = min(float(seen.lo.min()), 0.0), max(float(seen.hi.max()), 0.0)
        if not self.weights.any() or (symmetric and self.keep_highest):
            return np.array([lowest]), np.array([highest])
        if symmetric:
            top = max(-lowest, highest) * _ENDS
            lo, hi = np.maximum(lowest, -top), np.minimum(highest, top)
            span = 2 * top
        else:
            ends = _ENDS[:1] if self.keep_highest else _ENDS
            lo, hi = (v.ravel() for v in np.meshgrid(lowest * _ENDS, highest * ends))
            span = hi - lo
        cost = self._cost(_Tails.of(seen.edges[0], self.weights), lo, hi, span, grid)
        best = int(np.argmin(cost))  # of equals the widest
        return lo[best : best + 1], hi[best : best + 1]

    def _cost(self, tails: "_Tails", lo: Floats, hi: Floats, span: Floats, grid: Grid) -> Floats:
        outside, below = tails.below(lo)
        beyond, above = tails.above(hi)
        inside = tails.total - outside - beyond
        rounding = (span / (grid.qmax - grid.qmin)) ** 2 / 12 * inside
        return np.asarray(rounding + self.coherence * (below + above))


@final
@dataclass(frozen=True)
class _Tails:
    """Sums over all bins up to each, every value at the middle of its bin.

    Attributes:
        middles: Of the bins.
        sums: Of weights times the 0th to 2nd power of the middles; shape (3, bins + 1).
    """

    middles: Floats
    sums: Floats

    @classmethod
    def of(cls, edges: Floats, weights: Floats) -> "_Tails":
        middles = (edges[1:] + edges[:-1]) / 2
        moments = weights * middles ** np.arange(3)[:, None]
        return cls(middles, np.pad(moments.cumsum(axis=1), ((0, 0), (1, 0))))

    @property
    def total(self) -> float:
        """All weights."""
        return float(self.sums[0, -1])

    def below(self, ends: Floats) -> tuple[Floats, Floats]:
        """Weights of what is below each end, and their squared distances from it."""
        return self._of(self.sums[:, np.searchsorted(self.middles, ends)], ends)

    def above(self, ends: Floats) -> tuple[Floats, Floats]:
        """The same of what is above."""
        first = self.sums[:, np.searchsorted(self.middles, ends, side="right")]
        return self._of(self.sums[:, -1:] - first, ends)

    @staticmethod
    def _of(sums: Floats, ends: Floats) -> tuple[Floats, Floats]:
        weights, first, second = sums
        return weights, np.maximum(second - 2 * ends * first + ends**2 * weights, 0.0)
