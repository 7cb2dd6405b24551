"""Counting values into bins, one pass over memory."""

import numpy as np
from numpy.typing import NDArray

from lostbits.compiled import compiled

_BLOCK = 1024  # values whose bins are found at once, with vector instructions
_COPIES = 4  # of the counts: to add to one that has just been added to means waiting for it


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
    copies = np.zeros((rows, _COPIES, 2 * bins), np.uint32)
    places = np.empty(_BLOCK, np.uint32)
    for i in range(before):
        for row in range(rows):
            for start in range(0, after, _BLOCK):
                block = table[i, row, start : start + _BLOCK]
                zeros[row] += _find(block, scale[row], np.float32(bins), places)
                for j in range(block.size):
                    copies[row, j % _COPIES, places[j]] += np.uint32(1)
    for row in range(rows):
        for copy in range(_COPIES):
            for k in range(2 * bins):
                counts[row, k] += np.int64(copies[row, copy, k])


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
