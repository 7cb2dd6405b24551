"""Counting into bins whose width is a power of two, and grows with the values."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics.counting import BLOCK, COPIES, add_copies
from lostbits.statistics.jit import compiled

_BEYOND = 128  # exponent of float32 from which on values are not finite


@compiled
def ordered(bits: Any) -> Any:
    """Bits of float32 as whole numbers in the order of the floats; and back again.

    NaN lies beyond the infinities, so that extremes do not lose it as comparisons of floats would,
    which moreover forbid vector instructions.
    """
    return bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))


@compiled
def count_growing(
    table: NDArray[np.float32],
    ends: NDArray[np.int32],
    zeros: NDArray[np.int64],
    whole: NDArray[np.int64],
    exponent: NDArray[np.int64],
    channels: NDArray[np.int64],
    exponents: NDArray[np.int64],
) -> bool:
    """Add a batch to the extremes and the counts, in one pass; False if a value is not finite.

    Counts are laid out as in Doubling. All but the first argument are changed.

    Args:
        table: Shape (any, rows, any), contiguous.
        ends: Ordered bits of the least and the largest value, shape (2, rows).
        zeros: Exact zeros, shape (rows,).
        whole: Counts of the tensor, shape (bins,).
        exponent: Theirs, shape (1,).
        channels: Counts of each row, shape (rows, bins).
        exponents: Theirs, shape (rows,).
    """
    before, rows, after = table.shape
    bits = table.view(np.int32)
    copies = np.zeros((COPIES, whole.size), np.uint32)
    of_row = np.empty((COPIES, channels.shape[1]), np.uint32)
    places, places_of_row = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    for row in range(rows):
        of_row[:] = 0
        # The row is still in the processor's cache when it is read again to be counted.
        needed = _include(bits, row, ends)
        if needed > _BEYOND:
            return False
        _reach(needed, exponent, whole, copies)
        _reach(needed, exponents[row : row + 1], channels[row], of_row[:0])
        scale, scale_of_row = _scale(exponent[0], whole), _scale(exponents[row], of_row[0])
        for i in range(before):
            for start in range(0, after, BLOCK):
                block = table[i, row, start : start + BLOCK]
                zeros[row] += _find(block, scale, np.float32(whole.size // 2), places)
                _find(block, scale_of_row, np.float32(of_row.shape[1] // 2), places_of_row)
                _count(block.size, places, copies, places_of_row, of_row)
        add_copies(of_row, channels[row])
    add_copies(copies, whole)
    return True


@compiled
def _include(bits: NDArray[np.int32], row: int, ends: NDArray[np.int32]) -> int:
    """Take a row into its extremes; returns the exponent that its values need."""
    least, most = ends[0, row], ends[1, row]
    for i in range(len(bits)):
        line = bits[i, row]
        for j in range(line.size):
            place = ordered(line[j])
            least, most = min(least, place), max(most, place)
    ends[0, row], ends[1, row] = least, most
    magnitude = max(ordered(least) & 0x7FFFFFFF, ordered(most) & 0x7FFFFFFF)
    return int((magnitude >> 23) - 126)


@compiled
def _reach(
    needed: int,
    exponent: NDArray[np.int64],
    counts: NDArray[np.int64],
    copies: NDArray[np.uint32],
) -> None:
    step = needed - exponent[0]
    if step > 0:
        widen(counts, step)
        for copy in range(len(copies)):
            widen(copies[copy], step)
        exponent[0] = needed


@compiled
def widened(counts: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """A copy of counts, shape (rows, bins), with bins ``2**step`` times as wide in each row."""
    copy = counts.copy()
    for row in range(len(copy)):
        if steps[row] > 0:
            widen(copy[row], steps[row])
    return copy


@compiled
def widen(counts: NDArray[Any], step: int) -> None:
    """Make bins ``2**step`` times as wide: those that become one lie on one side of zero."""
    bins = counts.size // 2
    for k in range(1, bins):
        above, below = counts[bins + k], counts[bins - 1 - k]
        counts[bins + k], counts[bins - 1 - k] = 0, 0
        place = k >> min(step, 62)
        counts[bins + place] += above
        counts[bins - 1 - place] += below


@compiled
def _scale(exponent: int, counts: NDArray[Any]) -> np.float32:
    return np.float32(math.ldexp(counts.size // 2, -exponent))


@compiled
def _find(
    block: NDArray[np.float32], scale: np.float32, middle: np.float32, places: NDArray[np.uint32]
) -> int:
    """Write the bin of every value to ``places``, and return how many are zero."""
    zeros = np.int32(0)
    for j in range(block.size):
        zeros += np.int32(block[j] == np.float32(0))
        first = middle - np.float32(block[j] < np.float32(0))
        places[j] = np.uint32(np.int32(np.trunc(block[j] * scale) + first))
    return int(zeros)


@compiled
def _count(
    size: int,
    places: NDArray[np.uint32],
    copies: NDArray[np.uint32],
    places_of_row: NDArray[np.uint32],
    of_row: NDArray[np.uint32],
) -> None:
    # A function by itself, as the compiler makes better code of it: a fifth of the whole time.
    for j in range(size):
        copies[j % COPIES, places[j]] += np.uint32(1)
        of_row[j % COPIES, places_of_row[j]] += np.uint32(1)
