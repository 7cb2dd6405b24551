"""Coordinate descent: codes are moved one or two at a time while the error falls.

Arrays are laid out as in ``sweep``: ``(groups, columns, rows)``, in steps of the row's grid.
"""

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gptq_sweep import Wanted

Floats = NDArray[np.float64]
_BLOCK = 64
_TIE = 1e-9  # a move must be worth more than the noise, or two equal codes swap for ever


def descend(steps: Floats, wanted: Wanted, gram: Floats, passes: int) -> Floats:
    """Give every code in turn its best value, all others held, until none moves.

    The error is a parabola in one code: its least value on the grid is the minimum of the
    parabola, rounded. Rows that a whole pass left alone are finished and cost nothing more.

    Args:
        steps: Start, shape ``(groups, columns, rows)``.
        wanted: The rows and their grids.
        gram: Damped, positive diagonal.
        passes: Most passes over all columns.
    """
    steps = steps.copy()
    ratios = gram / np.diagonal(gram, axis1=1, axis2=2)[..., None]
    rows = np.arange(steps.shape[2])
    for _ in range(passes):
        part = Wanted(wanted.steps[..., rows], wanted.low[:, rows], wanted.high[:, rows])
        moved = _pass(before := steps[..., rows], part, ratios)
        steps[..., rows] = moved
        rows = rows[(moved != before).any(axis=(0, 1))]
        if rows.size == 0:
            break
    return steps


def _pass(steps: Floats, wanted: Wanted, ratios: Floats) -> Floats:
    """Every column once. Within a block the effect of its own moves is added column by column."""
    steps = steps.copy()
    error = steps - wanted.steps
    for first in range(0, steps.shape[1], _BLOCK):
        block = slice(first, first + _BLOCK)
        excess = ratios[:, block] @ error
        moves = np.zeros_like(excess)
        for k in range(excess.shape[1]):
            j = first + k
            own = ratios[:, j, None, first:j] @ moves[:, :k]
            away = excess[:, k] + own[:, 0]
            best = wanted.limit(steps[:, j] - away)
            moves[:, k] = np.where(np.abs(away) > 0.5 + _TIE, best - steps[:, j], 0.0)
        steps[:, block] += moves
        error[:, block] = steps[:, block] - wanted.steps[:, block]
    return steps


def descend_in_pairs(steps: Floats, wanted: Wanted, gram: Floats, rounds: int) -> Floats:
    """Move two codes by one step each, the best pair of every row, then descend again.

    Costs ``groups * rows * columns**2`` a round: for depthwise and other small layers.
    """
    steps = descend(steps, wanted, gram, rounds)
    for _ in range(rounds):
        moved = _best_pair(steps, wanted, gram)
        if not moved.any():
            break
        steps = descend(steps + moved, wanted, gram, rounds)
    return steps


def _best_pair(steps: Floats, wanted: Wanted, gram: Floats) -> Floats:
    """The pair of moves that lowers each row's error most, or zeros; shape of ``steps``."""
    slope = 2 * (gram @ (steps - wanted.steps))
    own = np.diagonal(gram, axis1=1, axis2=2)[..., None]
    up = np.where(steps < wanted.high[:, None], own + slope, np.inf).transpose(0, 2, 1)
    down = np.where(steps > wanted.low[:, None], own - slope, np.inf).transpose(0, 2, 1)
    choices = ((up, up, 1.0, 1.0), (down, down, -1.0, -1.0), (up, down, 1.0, -1.0))
    best = np.full(up.shape[:2], -_TIE) * own.mean(axis=1)
    moves = np.zeros_like(up)
    for first, second, one, other in choices:
        gain, i, j = _least(
            first[..., None] + second[..., None, :] + 2 * one * other * gram[:, None]
        )
        better = gain < best
        best = np.where(better, gain, best)
        pair = np.zeros_like(up)
        np.put_along_axis(pair, i[..., None], one, axis=-1)
        np.put_along_axis(pair, j[..., None], other, axis=-1)
        moves = np.where(better[..., None], pair, moves)
    return moves.transpose(0, 2, 1)


def _least(table: Floats) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Least entry off the diagonal of each ``(columns, columns)`` table, and its indices."""
    columns = table.shape[-1]
    table[..., np.arange(columns), np.arange(columns)] = np.inf
    flat = table.reshape(*table.shape[:-2], columns**2)
    at = flat.argmin(axis=-1)
    return np.take_along_axis(flat, at[..., None], -1)[..., 0], at // columns, at % columns
