"""Codes that together make the least error at the layer's output.

References:
    Frantar et al., Optimal Brain Compression, 2022, arXiv:2208.11580; GPTQ, 2022,
    arXiv:2210.17323 (the sweep). Nagel et al., Up or Down?, 2020, arXiv:2004.10568 (why the
    Gram matrix of the inputs is the second derivative that counts).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import RecoveryError
from lostbits.rounding.descent import descend, descend_in_pairs
from lostbits.rounding.gptq_sweep import Wanted, by_weight, damped, feedback, sweep
from lostbits.rounding.output_error import noise_level, quadratic_error
from lostbits.rounding.row_grid import Codes, RowGrid

Floats = NDArray[np.float64]
_SMALL = 64  # columns up to which random restarts and pairs of moves cost next to nothing
_JITTER = 0.35  # steps: a restart decides anew whatever lies within this of a tie


@final
@dataclass(frozen=True)
class Settings:
    """How hard to search.

    Attributes:
        damping: Added to the diagonal, relative to its mean: the weight of not moving far on
            inputs that the samples say little about.
        passes: Most passes of coordinate descent; 0 leaves the sweeps as they are.
        restarts: Random starts, in layers of at most 64 columns.
        seed: Of the random starts.
    """

    damping: float = 0.01
    passes: int = 20
    restarts: int = 16
    seed: int = 0


@final
@dataclass(frozen=True)
class Damped:
    """A Gram matrix with damping, and what it means for all rows: so that parts share the cost.

    Attributes:
        plain: ``sum x x^T`` of the inputs, not normalised, ``(groups, columns, columns)``.
        damping: See ``Settings``.
    """

    plain: Floats
    damping: float

    @cached_property
    def gram(self) -> Floats:
        """With the damping on its diagonal."""
        return damped(self.plain, self.damping)

    @cached_property
    def feedbacks(self) -> list[tuple[NDArray[np.intp], Floats]]:
        """Columns in the order given, and by falling diagonal; with the feedback in that order."""
        by_size = by_weight(self.gram)
        given = np.broadcast_to(np.arange(self.gram.shape[-1]), by_size.shape)
        return [(columns, self._feedback(columns)) for columns in (given, by_size)]

    def _feedback(self, columns: NDArray[np.intp]) -> Floats:
        ordered = np.take_along_axis(self.gram, columns[:, :, None], axis=1)
        return feedback(np.take_along_axis(ordered, columns[:, None, :], axis=2))


class Solution(NamedTuple):
    """Codes, and what they cost.

    Attributes:
        codes: Shape ``(groups, rows, columns)``, int64.
        error: ``quadratic_error`` of every row, ``(groups, rows)``; never above ``nearest``.
        nearest: The same for rounding to nearest (or the start that was given).
    """

    codes: Codes
    error: Floats
    nearest: Floats


def round_rows(
    weights: Floats,
    gram: Floats,
    grid: RowGrid,
    *,
    target: Floats | None = None,
    start: Codes | None = None,
    settings: Settings | None = None,
    known: Damped | None = None,
) -> Solution:
    """Codes q for which ``(q - target) G (q - target)^T`` is small in every row.

    Args:
        weights: Shape ``(groups, rows, columns)``; their nearest codes are the bar to beat.
        gram: ``sum x x^T`` of the inputs, not normalised, ``(groups, columns, columns)``.
        grid: Scale and zero point of every row.
        target: What the codes should stand for; None for the weights themselves.
        start: Codes to beat instead of the nearest, and to descend from.
        settings: How hard to search.
        known: The Gram matrix with the damping of the settings, where others need it too.

    Raises:
        RecoveryError: R002, when the Gram matrix holds a value that is no number.
    """
    if not np.isfinite(gram).all():
        raise RecoveryError(
            "R002", "second-order rounding", "their Gram matrix holds NaN or infinity"
        )
    settings = settings or Settings()
    aim = weights if target is None else target
    first = grid.nearest(weights) if start is None else start
    found = _search(aim, known or Damped(gram, settings.damping), grid, first, settings)
    return _better(found, first, aim, gram, grid)


def _better(found: Codes, first: Codes, aim: Floats, gram: Floats, grid: RowGrid) -> Solution:
    """Row by row, what was found where it is lower by more than float64 can be wrong."""
    before = quadratic_error(grid.values(first), aim, gram)
    after = quadratic_error(grid.values(found), aim, gram)
    noise = sum(noise_level(grid.values(codes), aim, gram) for codes in (found, first))
    gain = before - after > noise
    codes = np.where(gain[..., None], found, first)
    return Solution(codes, np.where(gain, after, before), before)


def _search(aim: Floats, known: Damped, grid: RowGrid, first: Codes, settings: Settings) -> Codes:
    """The best of several starts after descent, under the damped Gram matrix."""
    gram = known.gram
    wanted = Wanted((aim / grid.scale[..., None]).transpose(0, 2, 1), *grid.ends)
    small = gram.shape[-1] <= _SMALL
    starts = [
        grid.steps(first).transpose(0, 2, 1),
        grid.steps(grid.nearest(aim)).transpose(0, 2, 1),
        *_sweeps(wanted, known, settings.restarts if small else 0, settings.seed),
    ]
    stacked = np.concatenate(starts, axis=2)
    if not small:  # where every pass counts, only the best start is descended from
        best = descend(_least(stacked, wanted, gram), wanted, gram, settings.passes)
    else:
        many = _repeated(wanted, len(starts))
        best = _least(descend(stacked, many, gram, settings.passes), wanted, gram)
        best = descend_in_pairs(best, wanted, gram, settings.passes)
    return grid.codes(best.transpose(0, 2, 1))


def _repeated(wanted: Wanted, times: int) -> Wanted:
    """The same rows several times: every start is descended from in one go."""
    low, high = (np.tile(end, (1, times)) for end in (wanted.low, wanted.high))
    return Wanted(np.tile(wanted.steps, (1, 1, times)), low, high)


def _sweeps(wanted: Wanted, known: Damped, restarts: int, seed: int) -> Iterator[Floats]:
    """Sweeps in both orders of the columns, each with half of the random starts."""
    random = np.random.default_rng(seed)
    for columns, ratios in known.feedbacks:
        aim = wanted._replace(steps=np.take_along_axis(wanted.steps, columns[..., None], axis=1))
        back = np.argsort(columns, axis=1)[..., None]
        yield np.take_along_axis(sweep(aim, ratios), back, axis=1)
        for _ in range(restarts // 2):
            jitter = random.uniform(-_JITTER, _JITTER, wanted.steps.shape)
            yield np.take_along_axis(sweep(aim, ratios, jitter), back, axis=1)


def _least(ends: Floats, wanted: Wanted, gram: Floats) -> Floats:
    """For every row, the one of its starts that ended lowest."""
    shape = (*wanted.steps.shape[:2], -1, wanted.steps.shape[2])
    error = ends - _repeated(wanted, ends.shape[2] // shape[3]).steps
    cost = (error * (gram @ error)).sum(axis=1).reshape(shape[0], -1, shape[3])
    best = cost.argmin(axis=1)[:, None, None, :]
    return np.take_along_axis(ends.reshape(shape), best, axis=2)[:, :, 0]
