"""Counts in bins that double their width as the values grow."""

from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics.adaptive_bins_loop import widened
from lostbits.statistics.histogram import Histogram

Floats = NDArray[np.float64]

LEAST = -112  # exponent at which bins per unit are near the largest float32
_MOST = 128  # exponent of the largest float32


class Packed(NamedTuple):
    """Counts as they are sent and kept; see ``Doubling``.

    Attributes:
        exponents: Shape (rows,).
        first: The column of ``counts`` that is the first here.
        counts: Shape (rows, columns in use).
    """

    exponents: NDArray[np.int64]
    first: int
    counts: NDArray[np.unsignedinteger[Any]]


@final
class Doubling:
    """Signed counts over ``(-2**e, 2**e)``, one row per channel, ``e`` the least that suffices.

    To double the width adds neighbouring counts and loses nothing else, and a value times a power
    of two is exact. So the counts depend on the values alone, not on the batches they came in.

    Args:
        rows: How many.
        bins: On each side of zero, a power of two; between half and all of them are in use.

    Attributes:
        exponents: ``e`` of each row, shape (rows,).
        counts: Shape (rows, 2 * bins); column ``bins + k`` covers ``[k, k + 1) * width``, column
            ``bins - 1 - k`` its mirror image. As wide numbers as they need be.
    """

    def __init__(self, rows: int, bins: int) -> None:
        self.bins = bins
        self.exponents = np.full(rows, LEAST, np.int64)
        self.counts: NDArray[np.integer[Any]] = np.zeros((rows, 2 * bins), np.int64)

    def growing(self) -> NDArray[np.int64]:
        """The counts, as what can be added to in place."""
        self.counts = wide = self.counts.astype(np.int64, copy=False)
        return wide

    def packed(self) -> "Packed":
        """Columns in use, as whole numbers no longer than they need be."""
        used = np.flatnonzero(self.counts.any(axis=0))
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        kept = self.counts[:, first:last]
        return Packed(self.exponents, first, _narrow(kept))

    @classmethod
    def unpacked(cls, packed: "Packed", bins: int) -> "Doubling":
        """What ``packed`` was made of.

        Raises:
            ValueError: When it cannot be so many bins.
        """
        exponents, first, kept = packed
        if exponents.ndim != 1 or kept.ndim != 2 or len(kept) != len(exponents):
            raise ValueError(f"counts of shape {kept.shape} for {exponents.shape} exponents")
        if ((exponents < LEAST) | (exponents > _MOST)).any():
            raise ValueError("widths that no float32 needs")
        made = cls(len(kept), bins)
        made.exponents = exponents
        if not 0 <= first <= first + kept.shape[1] <= 2 * bins:
            raise ValueError(f"{kept.shape[1]} counts from {first} on, where there are {2 * bins}")
        made.counts[:, first : first + kept.shape[1]] = kept
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to other processes."""
        return Doubling.unpacked, (self.packed(), self.bins)

    @property
    def width(self) -> Floats:
        """Bin width of each row."""
        return np.ldexp(1.0, self.exponents) / self.bins

    def merge(self, other: "Doubling") -> None:
        """Add the counts of ``other``, which is left as it is.

        A sum waits for the next one, beside those of all other tensors: 4,096 of them would be
        2 GiB in wide numbers.
        """
        exponents = np.maximum(self.exponents, other.exponents)
        self.counts = _narrow(self._reaching(exponents) + other._reaching(exponents))
        self.exponents = exponents

    def _reaching(self, exponents: NDArray[np.int64]) -> NDArray[np.int64]:
        steps, counts = exponents - self.exponents, self.counts.astype(np.int64, copy=False)
        return widened(counts, steps) if steps.any() else counts

    def into(self, made: Histogram, lo: Floats, hi: Floats, zeros: NDArray[np.int64]) -> None:
        """Put the counts into the bins of an empty histogram of as many rows.

        A bin that is cut gives each side its share of the width, rounded so that the sum stays.

        Args:
            made: Covers what was counted.
            lo: Least value of each row; no bin reaches beyond it.
            hi: Largest value of each row; no bin reaches beyond it.
            zeros: Exact zeros of each row; they stay in the bin above zero.
        """
        live = self.counts.astype(np.int64)
        live[:, self.bins] -= zeros
        below = np.concatenate([np.zeros((len(live), 1), np.int64), live.cumsum(axis=1)], axis=1)
        place, share = self._places(made.edges[:, 1:-1], lo, hi)
        inside = np.rint(share * np.take_along_axis(live, place, 1)).astype(np.int64)
        cuts = np.take_along_axis(below, place, 1) + inside
        made.counts += np.diff(cuts, axis=1, prepend=0, append=below[:, -1:])
        made.counts[:, made.bins] += zeros
        made.zeros += zeros

    def _places(self, edges: Floats, lo: Floats, hi: Floats) -> tuple[NDArray[np.int64], Floats]:
        """In which bin each edge lies, and which share of that bin is below it."""
        width = self.width[:, None]
        # Limited first: where all values are zero, bins are so narrow that no integer counts them.
        place = np.clip(np.floor(edges / width), -self.bins, self.bins - 1).astype(np.int64)
        left = np.maximum(place * width, lo[:, None])
        right = np.minimum((place + 1) * width, hi[:, None])
        whole = (edges > left).astype(np.float64)
        share = np.divide(edges - left, right - left, out=whole, where=right > left)
        return place + self.bins, np.clip(share, 0.0, 1.0)


def _narrow(counts: NDArray[np.integer[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    return counts.astype(np.min_scalar_type(counts.max(initial=0)))
