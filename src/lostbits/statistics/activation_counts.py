"""All that one look at the data remembers of an activation."""

from typing import NamedTuple, Self, final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Array
from lostbits.statistic import Statistic
from lostbits.statistics.adaptive_bins import LEAST, Doubling, Packed
from lostbits.statistics.adaptive_bins_loop import count_growing, ordered
from lostbits.statistics.counting import by_row
from lostbits.statistics.histogram import Histogram

Floats = NDArray[np.float64]

# Even where half are not in use, a channel has as many as its histogram and a tensor eight times as
# many: thresholds of least divergence hang on single values far out. Of those of EfficientNet-Lite0
# 95 % and more are the same as with bins fixed beforehand; with a quarter of the bins 82 % are.
_WHOLE_BINS, _CHANNEL_BINS = 32768, 64


class Kept(NamedTuple):
    """A tally as a file holds it; see ``Tally``.

    Attributes:
        finite: As of the tally.
        ends: Ordered bits of the extremes, shape (2, channels).
        zeros: Exact zeros, shape (channels,).
        whole, channels: Counts.
    """

    finite: bool
    ends: NDArray[np.int32]
    zeros: NDArray[np.int64]
    whole: Packed
    channels: Packed


@final
class Tally(Statistic[Kept]):
    """Exact extremes per channel, and counts of the tensor and of each channel; nothing else.

    One look at the data suffices, as the bins adapt to the range. What the estimators read are
    histograms of a fixed range, made of the counts when all data have been seen.

    Args:
        axis: Channel axis, None for a tensor without.

    Attributes:
        lo, hi: Shape (channels,), float64; ``+inf`` / ``-inf`` until something was seen.
        finite: Whether all values were; from the first that is not on, counts mean nothing.
    """

    form = Kept

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self._whole = Doubling(1, _WHOLE_BINS)
        self.finite = True
        self._begin(1)

    def _begin(self, rows: int) -> None:
        ends = np.array([[np.inf], [-np.inf]], np.float32) * np.ones(rows, np.float32)
        self._ends = ordered(ends.view(np.int32))
        self._zeros: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._channels = Doubling(rows, _CHANNEL_BINS)

    @property
    def lo(self) -> Floats:
        """Least value of each channel."""
        return self._extreme(0)

    @property
    def hi(self) -> Floats:
        """Largest value of each channel."""
        return self._extreme(1)

    def _extreme(self, which: int) -> Floats:
        # Adding zero makes the one zero of the other, which compares the same and prints worse.
        floats: Floats = ordered(self._ends[which]).view(np.float32).astype(np.float64)
        return floats + 0.0

    def update(self, x: Array) -> Self:
        """Take in one batch."""
        if x.size:
            table = by_row(x, self.axis)
            self._match(table.shape[1])
            whole, channels = self._whole, self._channels
            self.finite &= count_growing(
                table,
                self._ends,
                self._zeros,
                whole.growing()[0],
                whole.exponents,
                channels.growing(),
                channels.exponents,
            )
        return self

    def merge(self, other: Self) -> Self:
        """Take in what ``other`` has seen."""
        self._match(other._zeros.size)
        if other._zeros.size < self._zeros.size:  # it has seen nothing
            return self
        self._ends[0] = np.minimum(self._ends[0], other._ends[0])
        self._ends[1] = np.maximum(self._ends[1], other._ends[1])
        self.finite &= other.finite
        self._zeros += other._zeros
        self._whole.merge(other._whole)
        self._channels.merge(other._channels)
        return self

    def _match(self, rows: int) -> None:
        if rows > self._zeros.size:  # nothing was seen yet
            self._begin(rows)

    def state(self) -> Kept:
        """All of it, but for the axis."""
        parts = self._whole.packed(), self._channels.packed()
        return Kept(self.finite, self._ends, self._zeros, *parts)

    def restore(self, state: Kept) -> Self:
        """What ``state`` was made of.

        Raises:
            ValueError: When its parts do not fit each other.
        """
        made, rows = Tally(self.axis), state.zeros.size
        made.finite, made._ends, made._zeros = state.finite, state.ends, state.zeros
        made._whole = Doubling.unpacked(state.whole, _WHOLE_BINS)
        made._channels = Doubling.unpacked(state.channels, _CHANNEL_BINS)
        shapes = state.ends.shape, state.zeros.shape, made._whole.exponents.shape
        if shapes != ((2, rows), (rows,), (1,)) or made._channels.exponents.shape != (rows,):
            raise ValueError(f"extremes and counts of different channels: {shapes}")
        made._check_counts()
        vars(self).update(vars(made))
        return self

    def _check_counts(self) -> None:
        """Whether both count as many values, in bins as wide as the extremes need."""
        whole, channels = self._whole.counts.sum(), self._channels.counts.sum(axis=1)
        if whole != channels.sum() or ((self._zeros < 0) | (self._zeros > channels)).any():
            raise ValueError(f"{whole} values, and {channels.sum()} in all channels")
        reach = np.maximum(np.abs(self.lo), np.abs(self.hi))
        needed = np.where(reach > 0, np.maximum(np.frexp(reach)[1], LEAST), LEAST)
        seen = np.isfinite(reach)
        if (needed != self._channels.exponents)[seen].any() or (seen != (channels > 0)).any():
            raise ValueError("counts that do not belong to the extremes")

    @property
    def rows(self) -> int:
        """Channels that were seen; 1 until something was."""
        return int(self._zeros.size)

    @staticmethod
    def bytes(channels: int) -> int:
        """Memory that the counts take."""
        return 16 * (_WHOLE_BINS + channels * _CHANNEL_BINS)

    def whole(self, lo: float, hi: float, bins: int) -> Histogram:
        """Counts of all channels together, over the extremes of the tensor's group."""
        made = Histogram(np.array([lo]), np.array([hi]), bins)
        own = self.lo.min(keepdims=True), self.hi.max(keepdims=True)
        self._whole.into(made, *own, self._zeros.sum(keepdims=True))
        return made

    def channels(self, bins: int) -> Histogram:
        """Counts of each channel over its own extremes."""
        made = Histogram(self.lo, self.hi, bins, self.axis)
        self._channels.into(made, self.lo, self.hi, self._zeros)
        return made
