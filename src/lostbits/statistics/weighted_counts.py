"""Counting values into bins by a weight of each, one pass over memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics.jit import compiled_sums

Floats = NDArray[np.float64]


@compiled_sums
def count_squares(
    x: NDArray[Any],
    weights: NDArray[Any],
    ends: Floats,
    scale: float,
    counts: Floats,
    inside: Floats,
) -> None:
    """Add the squares of the weights to the bins of the values, exact zeros left out.

    Args:
        x: Shape (any, channels, any).
        weights: The same shape.
        ends: Least and largest value; between them, without themselves, a value is inside.
        scale: Bins per unit.
        counts: Shape (2 * bins,), the bins of ``Histogram``; added to.
        inside: Shape (channels,), the squares of values inside; added to.
    """
    before, channels, after = x.shape
    bins, last = counts.size // 2, counts.size - 1
    for i in range(before):
        for channel in range(channels):
            for k in range(after):
                value = x[i, channel, k]
                if value != 0:
                    square = np.float64(weights[i, channel, k]) ** 2
                    place = int(np.floor(value * scale)) + bins
                    counts[min(max(place, 0), last)] += square
                    if ends[0] < value < ends[1]:
                        inside[channel] += square
