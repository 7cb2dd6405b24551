"""Counts in fixed bins, and the error that any grid would make on them."""

from functools import cached_property
from typing import Any, NamedTuple, Self, final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Array, along
from lostbits.statistic import Statistic

Floats = NDArray[np.float64]


class Distortion(NamedTuple):
    """Squared error summed over the values of each row, split by cause; shape (..., rows)."""

    round: Floats
    clip: Floats

    @property
    def total(self) -> Floats:
        """Round plus clip."""
        return self.round + self.clip


@final
class Histogram(Statistic):
    """Signed counts over ``[-absmax, absmax]``, one row per channel (or one row in all).

    The range is fixed beforehand from exact extremes, so that histograms of any split, order or
    shard of the data add up to the same counts. Exact zeros are counted apart: every grid
    represents zero exactly, and rectified tensors are full of them.

    Args:
        lo, hi: Exact extremes of each row, shape ``(rows,)``.
        bins: Bins on each side of zero; 2,048 on one side is TensorRT's histogram of |x|.
        axis: Channel axis of the arrays to come, None for a single row.

    Attributes:
        counts: Shape ``(rows, 2 * bins)``, int64; column ``bins + k`` covers
            ``[k, k + 1) * absmax / bins``. Includes the zeros, in column ``bins``.
        zeros: Shape ``(rows,)``, int64.
    """

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
        scale = np.divide(
            self.bins, self.absmax, out=np.zeros_like(self.absmax), where=self.absmax > 0
        )
        position = x * along(scale.astype(np.float32), x.ndim, self.axis) + np.float32(self.bins)
        np.clip(position, 0, 2 * self.bins - 1, out=position)
        index = position.astype(np.int32)
        if self.axis is not None:
            first = np.arange(self.absmax.size, dtype=np.int32) * (2 * self.bins)
            index += along(first, x.ndim, self.axis)
        counted = np.bincount(index.reshape(-1), minlength=self.counts.size)
        self.counts += counted.reshape(self.counts.shape)
        others = tuple(d for d in range(x.ndim) if d != self.axis)
        self.zeros += x.size // self.zeros.size - np.count_nonzero(
            x, axis=None if self.axis is None else others
        )
        return self

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``, which must have the same range and bins."""
        if not np.array_equal(self.absmax, other.absmax) or self.bins != other.bins:
            raise ValueError("Histogram.merge: ranges or bins differ")
        self.counts += other.counts
        self.zeros += other.zeros
        return self

    def state(self) -> dict[str, Any]:
        """Range and counts."""
        return {"lo": self.lo, "hi": self.hi, "counts": self.counts, "zeros": self.zeros}

    @property
    def width(self) -> Floats:
        """Bin width of each row."""
        return self.absmax / self.bins

    @property
    def size(self) -> int:
        """How many values have been counted."""
        return int(self.counts.sum())

    @cached_property
    def edges(self) -> Floats:
        """Bin edges, shape ``(rows, 2 * bins + 1)``."""
        return self.absmax[:, None] * np.linspace(-1.0, 1.0, 2 * self.bins + 1)

    @property
    def live(self) -> NDArray[np.int64]:
        """Counts without the exact zeros."""
        counts = self.counts.copy()
        counts[:, self.bins] -= self.zeros
        return counts

    def distortion(self, lo: Array, hi: Array, scale: Array) -> Distortion:
        """Squared error of grids with step ``scale`` and ends ``lo``, ``hi``; shape (..., rows).

        Exact for a density that is constant inside each bin: the squared rounding error has the
        antiderivative ``s^3 (n/12 + (u-n)^3/3)`` with ``u = x/s`` and ``n = rint(u)``, so no bin
        is ever too coarse for the step. Zero must be a grid point.
        """
        low, high, step = (np.asarray(v, np.float64)[..., None] for v in (lo, hi, scale))
        edges = self.edges
        u = np.clip(edges, low, high) / step
        n = np.rint(u)
        rounded = step**3 * (n / 12 + (u - n) ** 3 / 3)
        clipped = (np.maximum(edges - high, 0) ** 3 - np.maximum(low - edges, 0) ** 3) / 3
        width = self.width[:, None]
        density = np.divide(self.live, width, out=np.zeros(self.counts.shape), where=width > 0)
        return Distortion(
            np.einsum("...rb,rb->...r", np.diff(rounded, axis=-1), density),
            np.einsum("...rb,rb->...r", np.diff(clipped, axis=-1), density),
        )
