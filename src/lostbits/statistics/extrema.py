"""Smallest and largest value per channel."""

from typing import Self, final

import numpy as np

from lostbits.grid import Array
from lostbits.statistic import Parts, Statistic


@final
class Extrema(Statistic[Parts]):
    """Exact extremes, per index of ``axis`` or (None) of the whole tensor.

    Attributes:
        lo, hi: Shape ``(channels,)``, float64; ``+inf`` / ``-inf`` until something was seen.

    >>> Extrema(axis=1).update(np.array([[1.0, -2.0], [3.0, 5.0]])).hi
    array([3., 5.])
    """

    form = Parts

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self.lo = np.full(1, np.inf)
        self.hi = np.full(1, -np.inf)

    def update(self, x: Array) -> Self:
        """Take in one batch."""
        if x.size == 0:
            return self
        others = None if self.axis is None else tuple(d for d in range(x.ndim) if d != self.axis)
        return self.include(x.min(axis=others), x.max(axis=others))

    def include(self, lo: Array, hi: Array) -> Self:
        """Take in extremes that were found elsewhere (inside the graph)."""
        self.lo = np.minimum(self.lo, np.atleast_1d(lo).astype(np.float64))
        self.hi = np.maximum(self.hi, np.atleast_1d(hi).astype(np.float64))
        return self

    def merge(self, other: Self) -> Self:
        """Take in the extremes of ``other``."""
        return self.include(other.lo, other.hi)

    def state(self) -> Parts:
        """The two arrays."""
        return {"lo": self.lo, "hi": self.hi}

    def restore(self, state: Parts) -> Self:
        """Those of a state."""
        lo, hi = (state[name].astype(np.float64) for name in ("lo", "hi"))
        if lo.ndim != 1 or lo.shape != hi.shape:
            raise ValueError(f"extremes of shapes {lo.shape} and {hi.shape}")
        self.lo, self.hi = lo, hi
        return self
