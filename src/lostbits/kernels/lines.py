"""Functions of codes of 16 bits: a table of 513 entries, and straight lines between them.

References:
    TensorFlow Lite, kernels/internal/common.h (LUTPopulate, LUTLookup).
"""

import numpy as np
from numpy.typing import NDArray

from lostbits.kernels.rounding import whole


def sampled(
    values: NDArray[np.float64], middles: NDArray[np.float64], steps: float
) -> NDArray[np.float64]:
    """Entries between which straight lines are drawn, in steps of the result.

    Args:
        values: Of a function at the borders of parts, shape (n + 1,).
        middles: In the middle of each part, shape (n,).
        steps: In one.
    """
    entries = whole(values * steps, "half_away")
    lines = whole((values[1:] * steps + entries[:-1]) / 2, "half_away")
    missed = lines - whole(middles * steps, "half_away")
    entries[:-1] -= whole(missed / 2, "half_away")
    return entries


def between(table: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Values of a table of 513 entries at codes from -32768 to 32767."""
    place = codes + (1 << 15)
    first, part = place >> 7, place & 127
    return np.asarray(table[first] + (((table[first + 1] - table[first]) * part + 64) >> 7))
