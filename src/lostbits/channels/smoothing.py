"""Factors that share out the difficulty of channels between an activation and its readers."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
_MOST = 8 * np.log(2)  # a channel beyond would have all 8 bits of a grid to itself


def smoothing(peaks: Doubles, ranges: Doubles, strength: float) -> Doubles:
    """``max|X_j|^a / max|W_j|^(1-a)``, with a geometric mean of 1: a common factor does nothing.

    Channels that are dead in the data or in the weights stay.

    >>> smoothing(np.array([1.0, 16.0]), np.array([1.0, 1.0]), 0.5)
    array([0.5, 2. ])
    """
    live = (peaks > 0) & (ranges > 0)
    logs = np.zeros(peaks.shape)
    logs[live] = strength * np.log(peaks[live]) - (1 - strength) * np.log(ranges[live])
    logs[live] -= logs[live].mean() if live.any() else 0.0
    return np.asarray(np.exp(np.clip(logs, -_MOST, _MOST)))
