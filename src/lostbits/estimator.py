"""Contract of a range estimator: what was seen of a tensor -> the range to quantize it over."""

import abc
from typing import ClassVar

from lostbits.grid import Grid, Range
from lostbits.statistics.histogram import Histogram


class Estimator(abc.ABC):
    """Chooses ``[lo, hi]`` for one row of a histogram; pure, and blind to how the data came.

    Attributes:
        name: What users type.
        title: One line for tables.
        minimum_values: Fewer values than this make the method meaningless; callers take another.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    minimum_values: ClassVar[int] = 1

    @abc.abstractmethod
    def __call__(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The range for the single row of ``seen``; contains zero, never wider than needed."""
