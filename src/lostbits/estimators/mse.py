"""The range with the least squared error."""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.estimator import Ends, Estimator
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.statistics import Histogram

Floats = NDArray[np.float64]
_OCTAVES = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)
_FINE = 6  # bits from which the error is smooth in both ends: a step holds little of the values


@final
@dataclass(frozen=True)
class MeanSquaredError(Estimator):
    """The range whose grid minimises ``sum (Q(x) - x)^2``; clips what costs more to keep.

    References:
        Nagel, Fournarakis, Amjad, Bondarenko, van Baalen, Blankevoort, A White Paper on Neural
        Network Quantization, 2021, arXiv:2106.08295, section 3.1 (range setting by MSE).

    >>> x = np.r_[np.linspace(-1, 1, 100_000), 100.0]
    >>> seen = Histogram([-1.0], [100.0]).update(x)
    >>> MeanSquaredError()(seen, Grid.of(4, signed=True), symmetric=True).hi < 10
    True
    """

    name: ClassVar[str] = "mse"
    title: ClassVar[str] = "least squared error"

    def ranges(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Ends:
        """The best ranges found; never worse than the exact extremes."""
        lo, hi, _ = best_ranges(seen, grid, symmetric=symmetric, per_channel=True)
        return lo, hi


def best_ranges(
    seen: Histogram, grid: Grid, *, symmetric: bool, per_channel: bool
) -> tuple[Floats, Floats, Floats]:
    """Ranges with the least ``Histogram.distortion``, and that distortion.

    Every candidate is judged by the grid that ``affine_from_range`` makes of it, zero point
    rounded and all, for all rows at once. The exact extremes are the first of them, so the result
    is never worse than min-max; asymmetric ranges start from the best symmetric grid as well, so
    they are never worse than that (up to the rounding of scales to float32).

    A range that clips may end anywhere inside the extremes. An asymmetric one of two ends may
    also pass one of them, where a grid of few codes is better aligned for it. There the search
    need not find the very best: for values in two narrow clusters it may miss a step that hits
    both; otherwise it stays within a few percent.

    Args:
        seen: Values of ``rows`` channels.
        grid: The integer codes.
        symmetric: As in ``affine_from_range``.
        per_channel: Whether every row has a range of its own, or one holds for all.

    Returns:
        Low ends, high ends, and squared error summed over the values; each of shape ``(rows,)``,
        or ``(1,)`` if not ``per_channel``.
    """
    search = _Search(seen, grid, symmetric, per_channel)
    if symmetric or not (search.lowest.any() and search.highest.any()):
        search.one_end()
    else:
        fair = _Search(seen, grid, True, per_channel)
        fair.one_end()
        search.two_ends(fair.affine(fair.lo, fair.hi))
    return search.lo, search.hi, search.total


@final
class _Search:
    """The best ranges so far.

    Attributes:
        lowest, highest: The exact extremes, widened to hold zero.
        lo, hi, total: Best ends and their squared error. All of shape (rows,) or (1,).
    """

    def __init__(self, seen: Histogram, grid: Grid, symmetric: bool, per_channel: bool) -> None:
        self.grid, self.symmetric, self.per_channel = grid, symmetric, per_channel
        self.lowest, self.highest = np.minimum(seen.lo, 0.0), np.maximum(seen.hi, 0.0)
        if not per_channel:
            self.lowest = self.lowest.min(keepdims=True)
            self.highest = self.highest.max(keepdims=True)
        self.smooth = grid.bits >= _FINE
        self.depth = np.log2(2 * seen.bins)  # octaves down to half a bin
        self.density = seen.density()
        self.lo, self.hi = self.lowest, self.highest
        self.total = self.error(self.lo, self.hi)

    def one_end(self) -> None:
        """Shrink the larger end, at last in coarser steps; then adjust it by smaller factors."""
        top = np.maximum(-self.lowest, self.highest)
        stride = 0.5 if self.smooth else 0.25
        octaves = np.r_[np.arange(0.25, 2, 0.25), np.arange(2, self.depth, stride)]
        self.reach(top * 0.5 ** octaves[:, None])
        for step in _OCTAVES:
            self.reach(np.maximum(-self.lo, self.hi) * 2.0 ** np.array([[step], [-step]]))

    def two_ends(self, start: Affine) -> None:
        """Start from a symmetric grid too; then search as the smoothness of the error allows."""
        self.offer(start.lo.astype(np.float64), start.hi.astype(np.float64))
        if self.smooth:
            self.one_minimum()
        else:
            self.many_minima()

    def one_minimum(self) -> None:
        """Halve both ends again and again, or one of them; then adjust what was best."""
        half = 0.5 ** np.arange(1, self.depth)
        below, above = np.concatenate([[half, half], [half, half**0], [half**0, half]], axis=1)
        self.offer(self.lowest * below[:, None], self.highest * above[:, None])
        for octaves in _OCTAVES[:5]:
            self.by_octaves(octaves)

    def many_minima(self) -> None:
        """Halve each end again and again, in all combinations; then adjust both, or one.

        With 2 to 4 bits the error has many minima: as the step grows, clusters of values move on
        and off the codes, and the zero point has few places, a whole step apart. Hence the sweep
        over an octave of steps, and the moves by whole codes.
        """
        halves = 0.5 ** np.arange(self.depth)
        below, above = (m.reshape(-1, 1) for m in np.meshgrid(halves, halves))
        self.offer(self.lowest * below, self.highest * above)
        factors = 2.0 ** np.linspace(-0.5, 0.5, 24)[:, None]
        self.offer(self.lo * factors, self.hi * factors)
        for octaves in _OCTAVES:
            self.by_octaves(octaves)
            if octaves in (1 / 4, 1 / 16):
                self.by_codes()

    def by_octaves(self, octaves: float) -> None:
        """Offer neighbours with both ends, or one, further out by that factor; then further in."""
        for factor in (2.0**octaves, 0.5**octaves):
            below, above = np.array([[factor, factor, 1.0], [factor, 1.0, factor]])[:, :, None]
            self.offer(self.lo * below, self.hi * above)

    def by_codes(self) -> None:
        """Offer the eight neighbours whose ends are a code further out or in."""
        step = (self.hi - self.lo) / (self.grid.qmax - self.grid.qmin)
        below, above = np.array(list(product((-1, 0, 1), repeat=2))).T[:, :, None]
        self.offer(self.lo + below * step, self.hi + above * step)

    def reach(self, top: Floats) -> None:
        """Offer the extremes limited to ``[-top, top]``."""
        self.offer(np.maximum(self.lowest, -top), np.minimum(self.highest, top))

    def offer(self, lo: Floats, hi: Floats) -> None:
        """Take over the rows in which one of the ranges is better; shape (..., rows)."""
        lo, hi = (np.atleast_2d(end) for end in (np.minimum(lo, 0.0), np.maximum(hi, 0.0)))
        totals = self.error(lo, hi)
        best = totals.argmin(axis=0), np.arange(totals.shape[1])
        lo, hi, total = lo[best], hi[best], totals[best]
        better = total < self.total
        self.lo, self.hi = np.where(better, lo, self.lo), np.where(better, hi, self.hi)
        self.total = np.where(better, total, self.total)

    def affine(self, lo: Floats, hi: Floats) -> Affine:
        """The grid that a range stands for."""
        return affine_from_range(lo, hi, self.grid, symmetric=self.symmetric, axis=0)

    def error(self, lo: Floats, hi: Floats) -> Floats:
        """Squared error of the grid of each range, shape (..., rows or 1)."""
        grid = self.affine(lo, hi)
        total = self.density.error(grid.lo, grid.hi, grid.scale)
        return total if self.per_channel else total.sum(axis=-1, keepdims=True)
