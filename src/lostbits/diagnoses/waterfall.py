"""The lost-bits waterfall and the trade-off curve, from the histograms alone.

Nested classes of quantizers, each search containing the optimum of the narrower class, so that
every step is at least zero and the steps sum to the whole (reference: Bennett 1948 for the ideal
companding quantizer, Banner et al. 2019, arXiv:1810.05723, for the trade-off of round and clip).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.estimator import Ends, RowEstimator
from lostbits.estimators import MEMBERS
from lostbits.estimators.mse import best_ranges
from lostbits.grid import Affine, Array, Grid, affine_from_range
from lostbits.results.sites import LostBits, Mark, TradeOff
from lostbits.statistics import Histogram
from lostbits.statistics.histogram import Density, Distortion
from lostbits.target import Rule

Floats = NDArray[np.float64]

_NOTABLE = 0.02  # bits: below this the range in use counts as the best one
_FACTORS = np.geomspace(1 / 32, 2.0, 33)


def least_error(seen: Seen, rule: Rule) -> Ends:
    """The range, or the ranges per channel, of the least squared error under ``rule``."""
    rows = seen.channels if rule.per_channel else seen.whole
    lo, hi, _ = best_ranges(rows, rule.grid, symmetric=rule.symmetric, per_channel=rule.per_channel)
    return lo, hi


def lost_bits(seen: Seen, affine: Affine, rule: Rule, best: Ends) -> LostBits | None:
    """The waterfall of one site; None for a tensor that its grid represents exactly.

    Args:
        seen: Its histograms; the one per channel judges every step, so that all are comparable.
        affine: The parameters in use.
        rule: The constraints that they obey.
        best: ``least_error`` of the two.
    """
    rows = seen.channels
    density = rows.density()
    used = _error(density, affine)
    if used <= 0 or not density.sides:
        return None
    per_channel = rule.per_channel
    lo, hi, free = _judged(rows, density, rule.grid, rule.symmetric, best)
    loose = _unsigned(rule.grid) if rule.symmetric else rule.grid
    classes = [used, _power_of_two_best(rows, density, rule, per_channel, free), free]
    classes.append(_best(seen, density, loose, per_channel) if rule.symmetric else free)
    classes.append(classes[-1] if per_channel else _best(seen, density, loose, True))
    classes.append(_ideal(rows, rule.grid))
    # Every class holds the optimum of the narrower one; what a search missed of it, and float
    # rounding of the scales, is taken out here.
    nested = np.minimum.accumulate(classes)
    if nested[-1] <= 0:
        return None
    choice, scale, symmetry, granularity, shape = (0.5 * np.log2(nested[:-1] / nested[1:])).tolist()
    total = 0.5 * float(np.log2(nested[0] / nested[-1]))
    direction = _direction(density, affine, lo, hi) if choice > _NOTABLE else "best"
    return LostBits(shape, granularity, symmetry, scale, choice, direction, total)


def _error(density: Density, affine: Affine) -> float:
    return float(density.error(*_ends(affine)).sum())


def _unsigned(grid: Grid) -> Grid:
    """As many codes, which need not lie around zero."""
    return Grid(grid.bits, False, 0, grid.qmax - grid.qmin)


def _ends(affine: Affine) -> tuple[Array, Array, Array]:
    return np.atleast_1d(affine.lo), np.atleast_1d(affine.hi), np.atleast_1d(affine.scale)


def _best(seen: Seen, density: Density, grid: Grid, per_channel: bool) -> float:
    """Least squared error of asymmetric ranges, summed up over the channels."""
    rows = seen.channels if per_channel else seen.whole
    lo, hi, _ = best_ranges(rows, grid, symmetric=False, per_channel=per_channel)
    return _judged(seen.channels, density, grid, False, (lo, hi))[2]


def _judged(
    rows: Histogram, density: Density, grid: Grid, symmetric: bool, best: Ends
) -> tuple[Floats, Floats, float]:
    """The better of ``best`` and min-max, and its error by the rows of the channels.

    One range for all channels is looked for in the one row of the whole tensor, which is far
    quicker, but judged like everything else; there min-max may yet win.
    """
    whole = best[0].size == 1
    full = (rows.lo.min(keepdims=True), rows.hi.max(keepdims=True)) if whole else (rows.lo, rows.hi)
    judged = [
        (lo, hi, _error(density, affine_from_range(lo, hi, grid, symmetric=symmetric)))
        for lo, hi in (best, full)
    ]
    return min(judged, key=lambda each: each[2])


def _power_of_two_best(
    rows: Histogram, density: Density, rule: Rule, per_channel: bool, free: float
) -> float:
    """Least error over neighbouring powers of two (scales are few, so all are tried)."""
    if not rule.power_of_two:
        return free
    widest = rows.absmax if per_channel else rows.absmax.max(keepdims=True)
    start = np.ceil(np.log2(np.where(widest > 0, widest, 1.0) / rule.grid.qmax))
    scale = np.exp2(start - np.arange(8)[:, None])
    table = density.error(scale * rule.grid.qmin, scale * rule.grid.qmax, scale)
    least = table.min(axis=0).sum() if per_channel else table.sum(axis=1).min()
    return max(float(least), free)


def _ideal(rows: Histogram, grid: Grid) -> float:
    """Panter and Dite's companding bound ``(1/12) 4^-N (integral f^(1/3))^3`` of the pooled shape.

    Channels are pooled after scaling each to its own range, since a channel of a depthwise weight
    has too few values for a density of its own.
    """
    counts = rows.live.sum(axis=0).astype(np.float64)
    if counts.sum() == 0:
        return 0.0
    width = 1.0 / rows.bins
    density = counts / counts.sum() / width
    unit = (np.sum(np.cbrt(density)) * width) ** 3 / 12 / 4.0**grid.width
    return float(np.sum(rows.live.sum(axis=1) * rows.absmax**2) * unit)


def _direction(
    density: Density, affine: Affine, lo: Floats, hi: Floats
) -> Literal["too_wide", "too_narrow"]:
    """By width; a wide range that lies beside the values, as without their sign, is too narrow."""
    used, best = (np.log(np.maximum(w, 1e-30)).mean() for w in (affine.hi - affine.lo, hi - lo))
    parts = density.distortion(*_ends(affine))
    misses = float(parts.clip.sum()) > float(parts.round.sum())
    return "too_wide" if used > best and not misses else "too_narrow"


def trade_off(seen: Seen, affine: Affine, rule: Rule, best: Ends) -> TradeOff:
    """Round and clip error of the site over ranges from 1/32 to twice the full one."""
    rows = seen.channels if rule.per_channel else seen.whole
    density = rows.density()
    factors = _FACTORS[:, None]
    curve = _means(rows, density, _grid(factors * rows.lo, factors * rows.hi, rule))
    marks = {"in use": _mark(rows, density, affine, affine.lo, affine.hi)}
    for name, (lo, hi) in _ranges(rows, rule, best).items():
        marks[name] = _mark(rows, density, _grid(lo, hi, rule), lo, hi)
    return TradeOff(
        [float(f) for f in _FACTORS],
        curve.round.tolist(),
        curve.clip.tolist(),
        marks,
    )


def _ranges(rows: Histogram, rule: Rule, best: Ends) -> dict[str, Ends]:
    """What each method makes of these values; of channels, those that look at all at once."""
    known = {"min_max": (rows.lo, rows.hi), "mse": best}
    others = [
        m
        for m in MEMBERS.all()
        if m.name not in known
        and rows.size >= m.minimum_values
        and not (rule.per_channel and isinstance(m, RowEstimator))
    ]
    return known | {m.name: m.ranges(rows, rule.grid, symmetric=rule.symmetric) for m in others}


def _grid(lo: Floats, hi: Floats, rule: Rule) -> Affine:
    return affine_from_range(lo, hi, rule.grid, symmetric=rule.symmetric, axis=0)


def _means(rows: Histogram, density: Density, affine: Affine) -> Distortion:
    """Mean squared error of one grid, or of each of several."""
    part, size = density.distortion(*_ends(affine)), max(rows.size, 1)
    return Distortion(part.round.sum(axis=-1) / size, part.clip.sum(axis=-1) / size)


def _mark(rows: Histogram, density: Density, affine: Affine, lo: Array, hi: Array) -> Mark:
    means = _means(rows, density, affine)
    factor = _factor(rows, np.atleast_1d(lo), np.atleast_1d(hi))
    return Mark(factor, float(means.round), float(means.clip))


def _factor(rows: Histogram, lo: Array, hi: Array) -> float:
    """Width of a range relative to the full one (mean over channels)."""
    full = np.maximum(rows.hi, 0) - np.minimum(rows.lo, 0)
    live = full > 0
    reach = np.minimum(hi, 4 * np.maximum(rows.hi, 0)) - np.maximum(lo, 4 * np.minimum(rows.lo, 0))
    return float(np.mean(reach[live] / full[live])) if live.any() else 1.0
