"""Contract of a range method: what was seen of a tensor -> the range to quantize it over."""

import abc
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Grid, Range
from lostbits.statistics.histogram import Histogram

Floats = NDArray[np.float64]
Ends = tuple[Floats, Floats]


class Estimator(abc.ABC):
    """Chooses ``[lo, hi]`` for every row of a histogram; pure, and blind to how the data came.

    A method is a value: a frozen dataclass whose fields are its settings. One that has its answer
    for a single row at a time derives from ``RowEstimator``.

    Attributes:
        name: What users type.
        title: One line for tables.
        minimum_values: Fewer values a row than this make the method meaningless; callers take the
            extremes there.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    minimum_values: ClassVar[int] = 1

    @abc.abstractmethod
    def ranges(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Ends:
        """Low and high ends for the rows of ``seen``, each of shape ``(rows,)``.

        They need not hold zero, which every grid does.
        """

    @final
    def __call__(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The range for the single row of ``seen``; contains zero, never wider than needed."""
        (lo,), (hi,) = self.ranges(seen, grid, symmetric=symmetric)
        return Range(min(float(lo), 0.0), max(float(hi), 0.0))


class RowEstimator(Estimator, abc.ABC):
    """A range method that looks at one row at a time, in steps that need a fine histogram.

    It works for every channel by itself, but not quickly, and on the few bins that are kept of a
    channel not well: where nobody asks for it by name, channels are not compared by it.
    """

    @abc.abstractmethod
    def row(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The range for the single row of ``seen``; contains zero, never wider than needed."""

    @final
    def ranges(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Ends:
        """Row by row."""
        found = [self.row(one, grid, symmetric=symmetric) for one in seen.by_row()]
        return np.array([r.lo for r in found]), np.array([r.hi for r in found])
