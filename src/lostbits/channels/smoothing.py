"""Factors that share out the difficulty of channels between an activation and its readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics import Histogram

Doubles = NDArray[np.float64]
_MOST = 8 * np.log(2)  # a channel beyond would have all 8 bits of a grid to itself
STRENGTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


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


@final
@dataclass(frozen=True)
class Operands:
    """What meets at the layers that read a tensor.

    Attributes:
        lo, hi: Of each channel of the tensor, (channels,).
        power: Mean square of each channel.
        weights: Of every reader, (groups, outputs, inputs, taps).
        levels: Steps of the activation's grid, and of the weights' on either side of zero.
        symmetric: Whether the activation's grid is.
        per_row: Whether weights have one scale for each output.
    """

    lo: Doubles
    hi: Doubles
    power: Doubles
    weights: Sequence[Doubles]
    levels: tuple[int, int]
    symmetric: bool
    per_row: bool

    def noise(self, factors: Doubles) -> float:
        """Energy that rounding adds to the readers' outputs at one position, as forecast.

        A grid of step ``d`` rounds with a mean square of ``d^2 / 12``; the error of a channel
        meets the weights that read it, the error of a weight the power of its channel.
        """
        lo, hi = min((self.lo / factors).min(), 0.0), max((self.hi / factors).max(), 0.0)
        span = 2 * max(-lo, hi) if self.symmetric else hi - lo
        power = self.power / factors**2
        total = 0.0
        for blocks in self.weights:
            scaled = blocks * factors.reshape(blocks.shape[0], 1, -1, 1)
            steps = np.abs(scaled).max(axis=(2, 3) if self.per_row else None, keepdims=True)
            taps = np.broadcast_to(power.reshape(blocks.shape[0], 1, -1, 1), scaled.shape)
            total += (span / self.levels[0]) ** 2 / 12 * float(np.square(scaled).sum())
            total += float(((steps / self.levels[1]) ** 2 / 12 * taps).sum())
        return total


def best_smoothing(operands: Operands, peaks: Doubles, ranges: Doubles) -> Doubles:
    """Factors of the strength that leaves the readers' outputs the least noise; ones for none."""
    ones = np.ones(peaks.shape)
    tried = [ones, *(smoothing(peaks, ranges, strength) for strength in STRENGTHS)]
    return tried[int(np.argmin([operands.noise(factors) for factors in tried]))]


def power_of(channels: Histogram) -> Doubles:
    """Mean square of each channel, from the middles of its bins."""
    middles = (channels.edges[:, 1:] + channels.edges[:, :-1]) / 2
    counts = channels.live
    return np.asarray(
        (counts * middles**2).sum(axis=1) / np.maximum(channels.counts.sum(axis=1), 1)
    )
