"""Counting values into bins, one pass over memory."""

import math

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Array
from lostbits.statistics.jit import compiled

_SHORT = 256  # values
BLOCK = 1024  # values whose bins are found at once, with vector instructions
COPIES = 2  # of the counts: to add to one that has just been added to means waiting for it


def by_row(x: Array, axis: int | None) -> NDArray[np.float32]:
    """An array as shape (any, rows, any), contiguous, a row for each index of ``axis``."""
    axis = None if axis is None else axis % x.ndim
    before, rows = (1, 1) if axis is None else (math.prod(x.shape[:axis]), x.shape[axis])
    table = x.reshape(before, rows, x.size // (before * rows))
    if table.shape[2] < _SHORT:  # a row should lie in one piece; to begin a piece takes time
        table = table.swapaxes(0, 1).reshape(1, rows, -1)
    return np.ascontiguousarray(table, np.float32)


@compiled
def count(
    table: NDArray[np.float32],
    scale: NDArray[np.float32],
    bins: int,
    counts: NDArray[np.int64],
    zeros: NDArray[np.int64],
) -> None:
    """Add ``floor(x * scale + bins)``, limited to ``0 .. 2 * bins - 1``, to the counts of its row.

    Args:
        table: Shape (any, rows, any), contiguous.
        scale: Bins per unit, shape (rows,).
        bins: On each side of zero.
        counts: Shape (rows, 2 * bins); added to.
        zeros: Exact zeros, shape (rows,); added to.
    """
    before, rows, after = table.shape
    copies = np.zeros((rows, COPIES, 2 * bins), np.uint32)
    places = np.empty(BLOCK, np.uint32)
    for i in range(before):
        for row in range(rows):
            for start in range(0, after, BLOCK):
                block = table[i, row, start : start + BLOCK]
                zeros[row] += _find(block, scale[row], np.float32(bins), places)
                for j in range(block.size):
                    copies[row, j % COPIES, places[j]] += np.uint32(1)
    for row in range(rows):
        add_copies(copies[row], counts[row])


@compiled
def _find(
    block: NDArray[np.float32], scale: np.float32, middle: np.float32, places: NDArray[np.uint32]
) -> int:
    """Write the bin of every value to ``places``, and return how many are zero."""
    first, last = np.float32(0), np.float32(2) * middle - np.float32(1)
    zeros = np.int32(0)
    for j in range(block.size):
        zeros += np.int32(block[j] == np.float32(0))
        place = block[j] * scale + middle
        # Comparisons in this order put NaN into the first bin, not beyond the array.
        place = place if place > first else first
        places[j] = np.uint32(np.int32(place if place < last else last))
    return int(zeros)


@compiled
def add_copies(copies: NDArray[np.uint32], counts: NDArray[np.int64]) -> None:
    """Add what was counted in turn, shape (copies, bins), to the counts, shape (bins,)."""
    for copy in range(len(copies)):
        for k in range(counts.size):
            counts[k] += np.int64(copies[copy, k])
