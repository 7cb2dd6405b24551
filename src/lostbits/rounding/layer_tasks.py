"""The rounding of one layer, in tasks that can be computed apart.

Given the moments of its inputs, the rows of a layer know nothing of each other, nor do its groups.
Only the strengths of the ridge and of the damping are chosen for all of them, by sums.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gptq import Damped, Settings, Solution, round_rows
from lostbits.rounding.gram import Gram
from lostbits.rounding.ridge import Ridge
from lostbits.rounding.row_grid import RowGrid
from lostbits.rounding.scale_search import ScaleSearch, refit_scale, search_scale

Floats = NDArray[np.float64]
_ROWS, _MOST = 192, 4  # in two parts, and parts of a matrix: each pays for the columns anew
_GROUPS, _MOST_OF_GROUPS = 64, 16  # the same of a layer of groups, where nothing is paid twice


class Part(NamedTuple):
    """Some of the groups, and some of the rows of each."""

    groups: slice
    rows: slice

    def of(self, array: Floats) -> Floats:
        """Its share of an array of shape ``(groups, rows, ...)``."""
        return array[self.groups, self.rows]


def parts(groups: int, rows: int) -> list[Part]:
    """A layer in parts whose borders know nothing of who works."""
    every = slice(None)
    if groups > 1:
        return [Part(cut, every) for cut in _cuts(groups, groups // _GROUPS, _MOST_OF_GROUPS)]
    return [Part(every, cut) for cut in _cuts(rows, 2 * (rows // _ROWS), _MOST)]


def _cuts(length: int, wanted: int, most: int) -> list[slice]:
    count = min(max(wanted, 1), most)
    ends = [length * number // count for number in range(count + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


@final
@dataclass(frozen=True)
class Problem:
    """Weights to be rounded, and what is known of their inputs.

    Attributes:
        weights: Shape ``(groups, rows, columns)``.
        rest, held: Moments of the samples to learn from and of those to judge by, paired.
        grid: Before a scale is looked for.
        search: How to look for one; None keeps the grid.
        centred: Whether a bias, or a normalisation behind, takes care of the mean of the error.
    """

    weights: Floats
    rest: Gram
    held: Gram
    grid: RowGrid
    search: ScaleSearch | None = None
    centred: bool = True

    @cached_property
    def parts(self) -> list[Part]:
        """Its parts, to be computed apart."""
        return parts(*self.weights.shape[:2])

    @cached_property
    def every(self) -> Gram:
        """Of all samples, about the means where something takes care of those."""
        return self._about_means(deepcopy(self.rest).merge(self.held))

    @cached_property
    def _apart(self) -> tuple[Gram, Gram]:
        return self._about_means(self.rest), self._about_means(self.held)

    def _about_means(self, gram: Gram) -> Gram:
        return gram.centred() if self.centred else gram

    @cached_property
    def _learned(self) -> Ridge:
        return Ridge(self.weights, *self._apart)

    def ridge_error(self, ridge: float) -> float:
        """What a strength of the ridge, learned from the rest, costs on the held-out samples."""
        return self._learned.error(ridge)

    @cached_property
    def _known(self) -> dict[object, Any]:
        """What several parts ask for, the last of each kind."""
        return {}

    def target(self, ridge: float) -> Floats:
        """What the codes are to stand for."""
        if self._known.get("ridge") != ridge:
            target = Ridge(self.weights, self.every, self.every).target(ridge)
            self._known.update(ridge=ridge, target=target)
        found: Floats = self._known["target"]
        return found

    def _damped(self, damping: float, part: Part) -> Damped:
        """Parts of a single matrix share it."""
        if len(self.weights) > 1:
            return Damped(self.every.gram[part.groups], damping)
        known: Damped | None = self._known.get("damped")
        if known is None or known.damping != damping:
            self._known["damped"] = known = Damped(self.every.gram, damping)
        return known

    def grids(self, ridge: float, cuts: Sequence[Part]) -> list[RowGrid]:
        """The grids of some parts, with scales that are looked for together."""
        if self.search is None:
            return [self.grid.part(cut) for cut in cuts]
        target, gram = self.target(ridge), self.every.gram
        if self.search.per_row:
            return [
                search_scale(cut.of(target), gram[cut.groups], self.grid.part(cut), self.search)
                for cut in cuts
            ]
        found = search_scale(target, gram, self.grid, self.search)
        return [found.part(cut) for cut in cuts]

    def damping_error(self, ridge: float, damping: float, grids: Sequence[RowGrid]) -> float:
        """What codes that a damping led to, learned from the rest, cost on the held-out samples.

        Not in parts, of which each would factor the matrix anew: that takes most of the time.
        """
        rest, held = self._apart
        target, grid = self.target(ridge), self.joined(grids)
        quick = Settings(damping=damping, passes=0, restarts=0)
        codes = round_rows(target, rest.gram, grid, settings=quick).codes
        off = grid.values(codes) - target
        return float(((off @ held.gram) * off).sum())

    def joined(self, grids: Sequence[RowGrid]) -> RowGrid:
        """Of the whole layer, from those of its parts."""
        return RowGrid.joined(grids, self.axis)

    @property
    def axis(self) -> int:
        """Along which the parts follow each other."""
        return 0 if len(self.weights) > 1 else 1

    def solution(
        self, ridge: float, damping: float, part: Part, grid: RowGrid
    ) -> tuple[RowGrid, Solution]:
        """The codes of a part, and the grid that they lie on.

        Scales of rows that were looked for are fitted once more, to the codes that they led to; of
        four-bit depthwise weights that takes another 2 to 6 % of the error.
        """
        known = self._damped(damping, part)
        aim, settings = part.of(self.target(ridge)), Settings(damping=damping)
        solve = partial(round_rows, part.of(self.weights), known.plain, target=aim)
        found = solve(grid, settings=settings, known=known)
        if self.search is None or not self.search.per_row:
            return grid, found
        fitted = refit_scale(aim, known.plain, grid, found.codes)
        again = solve(fitted, start=found.codes, settings=settings, known=known)
        return fitted, again._replace(nearest=found.nearest)
