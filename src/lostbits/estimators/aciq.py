"""The clip that is best for a Laplacian or a Gaussian of the same spread."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erfc, lambertw

from lostbits.estimator import RowEstimator
from lostbits.grid import Grid, Range
from lostbits.statistics import Histogram

Floats = NDArray[np.float64]
_ROUNDS, _MEAN_BITS = 10, 0.01  # of the search for an allocation, and how near its mean must be


@final
@dataclass(frozen=True)
class AciqLaplace(RowEstimator):
    """Clips at a fixed multiple of the mean absolute deviation ``b = mean |x - mean|``.

    ``[mean - a, mean + a]`` with ``a = laplace_ratio(bits) * b``, or ``[0, mean + a]`` for
    rectified data; limited to the exact extremes.

    References:
        Banner, Nahshan, Soudry, Post Training 4-bit Quantization of Convolutional Networks for
        Rapid-Deployment, NeurIPS 2019, arXiv:1810.05723, section 3.

    >>> x = np.random.default_rng(0).laplace(size=100_000)
    >>> seen = Histogram([x.min()], [x.max()]).update(x)
    >>> r = AciqLaplace()(seen, Grid.of(4, signed=True), symmetric=True)
    >>> round(r.hi, 1)
    5.0
    """

    name: ClassVar[str] = "aciq_laplace"
    title: ClassVar[str] = "best clip of a Laplacian"

    def row(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The clipped range."""
        ratio = laplace_ratio(_bits(seen, grid, symmetric))
        return _around_mean(seen, ratio * _deviation(seen, 1))


@final
@dataclass(frozen=True)
class AciqGauss(RowEstimator):
    """Clips at a fixed multiple of the standard deviation; otherwise as ``AciqLaplace``.

    References:
        Banner, Nahshan, Soudry, Post Training 4-bit Quantization of Convolutional Networks for
        Rapid-Deployment, NeurIPS 2019, arXiv:1810.05723, section 3.

    >>> x = np.random.default_rng(0).normal(size=100_000)
    >>> seen = Histogram([x.min()], [x.max()]).update(x)
    >>> r = AciqGauss()(seen, Grid.of(4, signed=True), symmetric=True)
    >>> round(r.hi, 2)
    2.56
    """

    name: ClassVar[str] = "aciq_gauss"
    title: ClassVar[str] = "best clip of a Gaussian"

    def row(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The clipped range."""
        ratio = gauss_ratio(_bits(seen, grid, symmetric))
        return _around_mean(seen, ratio * _deviation(seen, 2) ** 0.5)


@lru_cache
def laplace_ratio(bits: int) -> float:
    """``a/b`` that minimises ``2 b^2 exp(-a/b) + a^2 / (3 * 4^bits)``: Lambert's W of 3 * 4^bits.

    >>> round(laplace_ratio(8), 4)
    9.8968
    """
    return float(lambertw(3.0 * 4.0**bits).real)


@lru_cache
def gauss_ratio(bits: int) -> float:
    """``a/sigma`` at which a Gaussian's clip and round errors change by the same amount.

    The root of ``a / (6 * 4^bits) = phi(a) - a Q(a)``, phi the density and Q its upper tail.

    >>> round(gauss_ratio(8), 4)
    3.924
    """

    def slope(a: float) -> float:
        density = np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
        return float(density - a * erfc(a / np.sqrt(2)) / 2 - a / (6 * 4.0**bits))

    return float(brentq(slope, 0.0, 40.0))


def bit_allocation(reach: Floats, bits: int) -> NDArray[np.int64]:
    """Bits of each channel, ``bits`` on average, that leave the least rounding error in all.

    ``sum a_i^2 / (3 B_i^2)`` over numbers of levels B with a fixed sum is least for
    ``B_i ~ a_i^(2/3)`` (equation 11 of the paper). Rounded to whole bits within 0 to 8, or to
    ``bits`` where that is more; the sum of levels is then moved until the mean fits. No common
    device has channels of different widths: an analysis of what granularity in bits would win.

    Args:
        reach: Largest magnitude of each channel, shape ``(channels,)``.
        bits: Mean width.

    >>> bit_allocation(np.array([1.0, 8.0]), 4).tolist()
    [3, 5]
    """
    share = reach ** (2 / 3) / max(float((reach ** (2 / 3)).sum()), np.finfo(float).tiny)
    goal, found = float(bits), np.full(reach.shape, bits)
    for _ in range(_ROUNDS):
        levels = np.maximum(reach.size * 2.0**goal * share, 1.0)
        found = np.clip(np.rint(np.log2(levels)), 0, max(bits, 8)).astype(np.int64)
        off = bits - float(found.mean())
        if abs(off) < _MEAN_BITS:
            break
        goal += off / 2
    return found


def _bits(seen: Histogram, grid: Grid, symmetric: bool) -> int:
    """Bits of the two-sided formula that has this grid's step.

    Rectified data on an asymmetric grid have all codes on one side, half the step, as if two-sided
    data had one bit more; on a symmetric grid half of the codes are lost to them.
    """
    one_sided = float(seen.lo[0]) >= 0 or float(seen.hi[0]) <= 0
    return grid.bits + (one_sided and not symmetric)


def _around_mean(seen: Histogram, reach: float) -> Range:
    lo, hi, mean = float(seen.lo[0]), float(seen.hi[0]), float(seen.means[0])
    if lo >= 0:
        return Range(0.0, min(hi, mean + reach))
    if hi <= 0:
        return Range(max(lo, mean - reach), 0.0)
    return Range(min(max(lo, mean - reach), 0.0), max(min(hi, mean + reach), 0.0))


def _deviation(seen: Histogram, power: int) -> float:
    """Mean of ``|x - mean|^power``, exact for a density that is constant inside each bin."""
    mean, width = float(seen.means[0]), float(seen.width[0])
    if width == 0:
        return 0.0
    away = seen.edges[0] - mean
    integral = np.sign(away) * np.abs(away) ** (power + 1) / (power + 1)
    spread = float(seen.live[0] @ np.diff(integral)) / width
    return (spread + int(seen.zeros[0]) * abs(mean) ** power) / max(seen.size, 1)
