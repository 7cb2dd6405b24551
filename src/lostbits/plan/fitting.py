"""A grid laid over what was seen of a tensor, as a rule has it."""

import numpy as np
from numpy.typing import NDArray

from lostbits.estimator import Estimator
from lostbits.grid import Affine, affine_from_range
from lostbits.plan.bias_scale import powers_of_two
from lostbits.statistics import Histogram
from lostbits.target import Rule


def of_whole(whole: Histogram, method: Estimator, rule: Rule) -> Affine:
    """One grid for all values; ``method`` may be another than that of the rule."""
    low, high = method(whole, rule.grid, symmetric=rule.symmetric)
    return _finish(np.asarray(low), np.asarray(high), rule, None)


def of_channels(channels: Histogram, method: Estimator, rule: Rule, axis: int | None) -> Affine:
    """A grid for each row of the histogram, along ``axis`` of the tensor.

    Rows with fewer values than the method needs take their extremes.
    """
    lo, hi = method.ranges(channels, rule.grid, symmetric=rule.symmetric)
    if method.minimum_values > 1:
        few = channels.counts.sum(axis=1) < method.minimum_values
        lo, hi = np.where(few, channels.lo, lo), np.where(few, channels.hi, hi)
    return _finish(lo, hi, rule, axis)


def together(a: Histogram, b: Histogram) -> Histogram:
    """The values of both, between the extremes of both, which have the same bins."""
    merged = Histogram(np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi), a.bins)
    return merged.merge(a).merge(b)


def _finish(
    lo: NDArray[np.float64], hi: NDArray[np.float64], rule: Rule, axis: int | None
) -> Affine:
    """Affine of a range under the rule's floor and scale format."""
    live = (hi > lo) & (hi - lo < rule.minimum_range)
    hi = np.where(live, lo + rule.minimum_range, hi)
    affine = affine_from_range(lo, hi, rule.grid, symmetric=rule.symmetric, axis=axis)
    if not rule.power_of_two:
        return affine
    scale = powers_of_two(affine.scale)
    zero = affine.zero_point
    if not rule.symmetric:
        zero = np.clip(np.rint(rule.grid.qmin - lo / scale), rule.grid.qmin, rule.grid.qmax)
    return Affine(rule.grid, scale, zero.astype(np.int64), axis)
