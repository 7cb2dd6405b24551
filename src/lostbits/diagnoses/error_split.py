"""Splitting the squared error of values on a grid, one pass over memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics.jit import compiled_sums


@compiled_sums
def add_split(
    values: NDArray[Any],
    lo: NDArray[Any],
    hi: NDArray[Any],
    scale: NDArray[Any],
    sums: NDArray[np.float64],
) -> None:
    """Add round, clip, dead zone and power of every sample, each a sum of squares, to ``sums``.

    The ends are grid points, so a limited value needs no more limiting after it was rounded, and
    round and clip have disjoint supports. A value has vanished where its code is zero.

    Args:
        values: Shape (samples, any, channels, any), contiguous; its type is that of the arithmetic.
        lo: Low ends of the grids, shape (channels,), of the same type.
        hi: High ends.
        scale: Steps.
        sums: Shape (samples, 4); added to.
    """
    samples, before, channels, after = values.shape
    for sample in range(samples):
        for i, channel in np.ndindex(before, channels):
            low, high, step = lo[channel], hi[channel], scale[channel]
            rounded = clipped = vanished = power = 0.0
            for k in range(after):
                x = values[sample, i, channel, k]
                limited = min(max(x, low), high)
                code = np.rint(limited / step)
                error = np.float64((limited - code * step) ** 2)
                rounded += error
                clipped += np.float64((limited - x) ** 2)
                vanished += error if code == 0 else 0.0
                power += np.float64(x * x)
            sums[sample, 0] += rounded
            sums[sample, 1] += clipped
            sums[sample, 2] += vanished
            sums[sample, 3] += power
