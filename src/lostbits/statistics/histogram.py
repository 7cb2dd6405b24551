"""Counts in fixed bins, and the error that any grid would make on them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Array
from lostbits.statistic import Statistic

Floats = NDArray[np.float64]
_Part = Callable[[Floats, Floats, Floats, Floats, Floats], Floats]
_BLOCK = 1 << 18  # values counted at once: long enough for threads, short enough for the cache


class _Room(NamedTuple):
    """Scratch space for one block. Arrays made anew for each would cost threads their speed."""

    positions: NDArray[np.float32]
    indices: NDArray[np.int64]


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
        bins: Bins on each side of zero; 2,048 on one side is TensorRT's histogram of ``|x|``.
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
        if x.size == 0:
            return self
        rows = self.absmax.size
        axis = 0 if self.axis is None else self.axis % x.ndim
        before = 1 if self.axis is None else math.prod(x.shape[:axis])
        table: Array = x.reshape(before, rows, x.size // (before * rows))
        scale = np.divide(self.bins, self.absmax, out=np.zeros(rows), where=self.absmax > 0)
        # A channel of denormal values would overflow float32 and make NaN of its zeros.
        factors = np.minimum(scale, np.finfo(np.float32).max).astype(np.float32)[:, None]
        room = _Room(np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.int64))
        for across, along in _blocks(before, rows, table[0, 0].size):
            for first in range(0, table[0, 0].size, _BLOCK):
                part = table[across, along, first : first + _BLOCK]
                self._count(part, along, factors[along], room)
        return self

    def _count(self, part: Array, rows: slice, scale: NDArray[np.float32], room: "_Room") -> None:
        """Count a block of shape (any, rows, any) that stays in the cache."""
        columns = 2 * self.bins
        position = room.positions[: part.size].reshape(part.shape)
        index = room.indices[: part.size].reshape(part.shape)
        np.multiply(part, scale, out=position)
        position += np.float32(self.bins)
        np.clip(position, 0, columns - 1, out=position)
        np.copyto(index, position, casting="unsafe")
        counts = self.counts[rows]
        if len(counts) > 1:
            index += np.arange(len(counts))[:, None] * columns
        counts += np.bincount(index.ravel(), minlength=counts.size).reshape(counts.shape)
        lone = len(counts) == 1  # counted far quicker without axes
        self.zeros[rows] += np.count_nonzero(part == 0, axis=None if lone else (0, 2))

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

    def density(self) -> "Density":
        """What the counts say of the values between the edges; hold it for many grids."""
        width = self.width[:, None]
        height = np.divide(self.live, width, out=np.zeros(self.counts.shape), where=width > 0)
        falls = -np.diff(height, axis=1, prepend=0.0, append=0.0)
        falls[:, self.bins] = 0.0  # at zero, which has no error
        sides = (slice(0, self.bins), slice(self.bins, None))
        edges = self.edges
        used = [(edges[:, side], falls[:, side]) for side in sides if falls[:, side].any()]
        return Density(self.absmax.size, [(e.copy(), f.copy()) for e, f in used])

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

    def distortion(self, lo: Array, hi: Array, scale: Array) -> Distortion:
        """Squared error of grids with step ``scale`` and ends ``lo``, ``hi``; shape (..., rows).

        Zero and the ends must be grid points.
        """
        total, clip = self.error(lo, hi, scale), self._summed(_clip, lo, hi, scale)
        return Distortion(np.maximum(total - clip, 0.0), clip)

    def error(self, lo: Array, hi: Array, scale: Array) -> Floats:
        """``distortion(...).total``, in half the time."""
        return self._summed(_error, lo, hi, scale)

    def _summed(self, part: _Part, lo: Array, hi: Array, scale: Array) -> Floats:
        ends = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (lo, hi, scale)))
        flat = [v.reshape(-1, v.shape[-1], 1) for v in ends]
        sums = np.zeros((len(flat[0]), self.rows))
        # One candidate at a time: all of them at once would leave the cache.
        for i, grid in enumerate(zip(*flat, strict=True)):
            for edges, falls in self.sides:
                sums[i] += part(edges, falls, *grid)
        return sums.reshape(*ends[0].shape[:-1], self.rows)


def _error(edges: Floats, falls: Floats, low: Floats, high: Floats, step: Floats) -> Floats:
    """Squared error of each row; the ends and the step have shape (rows, 1) or (1, 1).

    With ``u = x / s`` and ``n`` the code of x, counted from zero and limited to the grid, the
    squared error of a density that is constant inside each bin has the antiderivative
    ``s^3 (n/12 + (u - n)^3 / 3)``, round and clip alike, so no bin is ever too coarse for the
    step. Summed by parts, each edge is visited once, weighted by how far the density falls there.
    """
    u = edges / step
    n = np.rint(u)
    np.maximum(n, np.rint(low / step), out=n)
    np.minimum(n, np.rint(high / step), out=n)
    u -= n
    cube = _cube(u)
    cube *= 4
    n += cube
    total: Floats = np.einsum("rb,rb->r", falls, n) * step[:, 0] ** 3 / 12
    return total


def _clip(edges: Floats, falls: Floats, low: Floats, high: Floats, step: Floats) -> Floats:
    """The part of it beyond the ends, whose antiderivative is ``(x - end)^3 / 3``.

    Ends in float32 lie beside their codes; the little that is would be much beside a small rest.
    """
    beyond = edges - np.clip(edges, np.rint(low / step) * step, np.rint(high / step) * step)
    clipped: Floats = np.einsum("rb,rb->r", falls, _cube(beyond)) / 3
    return clipped


def _cube(x: Floats) -> Floats:
    cube = x * x
    cube *= x
    return cube


def _blocks(before: int, rows: int, after: int) -> Iterator[tuple[slice, slice]]:
    """Slices of the first two of three axes that hold about ``_BLOCK`` values, or the least.

    Few rows at a time and all that belongs to them, because every block adds up whole rows; but
    all rows at a time where they are the innermost axis, and one of them a walk through memory.
    """
    whole = rows if after == 1 else 1
    deep = min(before, max(_BLOCK // (whole * after), 1))
    wide = min(rows, max(_BLOCK // (deep * after), 1))
    for first in range(0, before, deep):
        for row in range(0, rows, wide):
            yield slice(first, first + deep), slice(row, row + wide)
