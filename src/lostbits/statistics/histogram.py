"""Counts in fixed bins, and the error that any grid would make on them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Array
from lostbits.statistic import Parts, Statistic
from lostbits.statistics.counting import by_row, count
from lostbits.statistics.distortion_loop import add_clip, add_error

Floats = NDArray[np.float64]
_Added = Callable[[Floats, Floats, Floats, Floats, Floats, Floats], None]


class Distortion(NamedTuple):
    """Squared error summed over the values of each row, split by cause; shape (..., rows)."""

    round: Floats
    clip: Floats

    @property
    def total(self) -> Floats:
        """Round plus clip."""
        return self.round + self.clip


@final
class Histogram(Statistic[Parts]):
    """Signed counts over ``[-absmax, absmax]``, one row per channel (or one row in all).

    The range is fixed beforehand from exact extremes, so that histograms of any split, order or
    shard of the data add up to the same counts. Exact zeros are counted apart: every grid
    represents zero exactly, and rectified tensors are full of them.

    Args:
        lo, hi: Exact extremes of each row, shape ``(rows,)``.
        bins: Bins on each side of zero; 2,048 on one side is TensorRT's histogram of ``|x|``.
        axis: Channel axis of the arrays to come, None for a single row.

    Attributes:
        counts: Shape ``(rows, 2 * bins)``, int64; column ``bins + k`` covers
            ``[k, k + 1) * absmax / bins``. Includes the zeros, in column ``bins``.
        zeros: Shape ``(rows,)``, int64.
    """

    form = Parts

    def __init__(self, lo: Array, hi: Array, bins: int = 2048, axis: int | None = None) -> None:
        self.lo = np.atleast_1d(np.asarray(lo, np.float64))
        self.hi = np.atleast_1d(np.asarray(hi, np.float64))
        self.bins = bins
        self.axis = axis
        self.absmax = np.maximum(np.abs(self.lo), np.abs(self.hi))
        self.counts: NDArray[np.int64] = np.zeros((self.absmax.size, 2 * bins), np.int64)
        self.zeros: NDArray[np.int64] = np.zeros(self.absmax.size, np.int64)

    def update(self, x: Array) -> Self:
        """Count one batch (values beyond the fixed range fall into the outermost bins)."""
        if x.size == 0:
            return self
        rows = self.absmax.size
        scale = np.divide(self.bins, self.absmax, out=np.zeros(rows), where=self.absmax > 0)
        # A channel of denormal values would overflow float32 and make NaN of its zeros.
        factors = np.minimum(scale, np.finfo(np.float32).max).astype(np.float32)
        count(by_row(x, self.axis), factors, self.bins, self.counts, self.zeros)
        return self

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``, which must have the same range and bins."""
        if not np.array_equal(self.absmax, other.absmax) or self.bins != other.bins:
            raise ValueError("Histogram.merge: ranges or bins differ")
        self.counts += other.counts
        self.zeros += other.zeros
        return self

    def state(self) -> Parts:
        """Range and counts."""
        return {"lo": self.lo, "hi": self.hi, "counts": self.counts, "zeros": self.zeros}

    def restore(self, state: Parts) -> Self:
        """The counts of a state, which must have the same range and bins."""
        if any(not np.array_equal(state[n], getattr(self, n)) for n in ("lo", "hi")):
            raise ValueError("Histogram.restore: ranges differ")
        counts, zeros = (state[n].astype(np.int64) for n in ("counts", "zeros"))
        if (counts.shape, zeros.shape) != (self.counts.shape, self.zeros.shape):
            raise ValueError("Histogram.restore: bins differ")
        self.counts, self.zeros = counts, zeros
        return self

    @property
    def width(self) -> Floats:
        """Bin width of each row."""
        return self.absmax / self.bins

    @property
    def size(self) -> int:
        """How many values have been counted."""
        return int(self.counts.sum())

    @property
    def edges(self) -> Floats:
        """Bin edges, shape ``(rows, 2 * bins + 1)``."""
        return self.absmax[:, None] * np.linspace(-1.0, 1.0, 2 * self.bins + 1)

    @property
    def live(self) -> NDArray[np.int64]:
        """Counts without the exact zeros."""
        counts = self.counts.copy()
        counts[:, self.bins] -= self.zeros
        return counts

    @property
    def means(self) -> Floats:
        """Mean of each row, every value counted at its bin's middle; exact zeros as zero."""
        middles = (self.edges[:, :-1] + self.edges[:, 1:]) / 2
        sums: Floats = np.einsum("rb,rb->r", self.live.astype(np.float64), middles)
        sums /= np.maximum(self.counts.sum(axis=1), 1)
        return sums

    @property
    def variances(self) -> Floats:
        """Variance of each row, values counted as for the mean."""
        middles = (self.edges[:, :-1] + self.edges[:, 1:]) / 2
        squares: Floats = np.einsum("rb,rb->r", self.live.astype(np.float64), middles**2)
        squares /= np.maximum(self.counts.sum(axis=1), 1)
        return np.maximum(squares - self.means**2, 0.0)

    def by_row(self) -> Iterator["Histogram"]:
        """A histogram for each row, of that row alone."""
        for i in range(self.absmax.size):
            one = Histogram(self.lo[i], self.hi[i], self.bins)
            one.counts, one.zeros = self.counts[i : i + 1], self.zeros[i : i + 1]
            yield one

    def density(self) -> "Density":
        """What the counts say of the values between the edges; hold it for many grids."""
        return Density.of(self.live, self.absmax)

    def distortion(self, lo: Array, hi: Array, scale: Array) -> Distortion:
        """Squared error of grids with step ``scale`` and ends ``lo``, ``hi``; shape (..., rows)."""
        return self.density().distortion(lo, hi, scale)


@final
@dataclass(frozen=True)
class Density:
    """A density that is constant inside each bin, one row per channel.

    Attributes:
        rows: How many.
        sides: Edges, and by how much the density falls there in values per unit, both of shape
            (rows, edges), below and above zero; a side without values is left out.
    """

    rows: int
    sides: Sequence[tuple[Floats, Floats]]

    @classmethod
    def of(cls, counts: NDArray[Any], absmax: Floats) -> "Density":
        """Of counts, or of weights, in the bins of a ``Histogram`` without its zeros.

        Args:
            counts: Shape ``(rows, 2 * bins)``.
            absmax: The end of the bins of each row, shape ``(rows,)``.
        """
        bins = counts.shape[1] // 2
        width = (absmax / bins)[:, None]
        height = np.divide(counts, width, out=np.zeros(counts.shape), where=width > 0)
        falls = -np.diff(height, axis=1, prepend=0.0, append=0.0)
        falls[:, bins] = 0.0  # at zero, which has no error
        edges = absmax[:, None] * np.linspace(-1.0, 1.0, 2 * bins + 1)
        sides = (slice(0, bins), slice(bins, None))
        used = [(edges[:, side], falls[:, side]) for side in sides if falls[:, side].any()]
        return cls(len(absmax), [(e.copy(), f.copy()) for e, f in used])

    def distortion(self, lo: Array, hi: Array, scale: Array) -> Distortion:
        """Squared error of grids with step ``scale`` and ends ``lo``, ``hi``; shape (..., rows).

        Zero and the ends must be grid points. One grid may be that of all rows: (..., 1).
        """
        total, clip = self.error(lo, hi, scale), self._summed(add_clip, lo, hi, scale)
        return Distortion(np.maximum(total - clip, 0.0), clip)

    def error(self, lo: Array, hi: Array, scale: Array) -> Floats:
        """``distortion(...).total``, in half the time."""
        return self._summed(add_error, lo, hi, scale)

    def _summed(self, part: _Added, lo: Array, hi: Array, scale: Array) -> Floats:
        ends = np.array([lo, hi, scale], np.float64)
        low, high, step = ends.reshape(3, -1, ends.shape[-1])
        sums = np.zeros((len(step), self.rows))
        for edges, falls in self.sides:
            part(edges, falls, low, high, step, sums)
        return sums.reshape(*ends.shape[1:-1], self.rows)
