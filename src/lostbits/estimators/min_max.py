"""The full range."""

from dataclasses import dataclass
from typing import ClassVar, final

from lostbits.estimator import Ends, Estimator
from lostbits.grid import Grid
from lostbits.statistics import Histogram


@final
@dataclass(frozen=True)
class MinMax(Estimator):
    """The exact extremes; never clips what it has seen.

    >>> MinMax()(Histogram([1.0], [5.0]), Grid.of(8, signed=False), symmetric=False)
    Range(lo=0.0, hi=5.0)
    """

    name: ClassVar[str] = "min_max"
    title: ClassVar[str] = "exact extremes"

    def ranges(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Ends:
        """The extremes; neither grid nor symmetry plays a part."""
        return seen.lo, seen.hi
