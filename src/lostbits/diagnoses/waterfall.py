"""The lost-bits waterfall and the trade-off curve, from the histograms alone.

Nested classes of quantizers, each search containing the optimum of the narrower class, so that
every step is at least zero and the steps sum to the whole (reference: Bennett 1948 for the ideal
companding quantizer, Banner et al. 2019, arXiv:1810.05723, for the trade-off of round and clip).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.diagnosis import LostBits, TradeOff
from lostbits.estimators import ALL
from lostbits.estimators.mse import best_ranges
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.statistics import Histogram
from lostbits.target import Rule

_NOTABLE = 0.02  # bits: below this the range in use counts as the best one
_FACTORS = np.geomspace(1 / 32, 2.0, 49)


def lost_bits(seen: Seen, affine: Affine, rule: Rule) -> LostBits | None:
    """The waterfall of one site; None for a tensor that its grid represents exactly.

    Args:
        seen: Its histograms; the one per channel serves every step, so that all are comparable.
        affine: The parameters in use.
        rule: The constraints that they obey.
    """
    rows = seen.channels
    used = float(_distortion(rows, affine).sum())
    if used <= 0 or not rows.live.any():
        return None
    per_channel = affine.axis is not None
    lo, hi, totals = best_ranges(rows, rule.grid, symmetric=rule.symmetric, per_channel=per_channel)
    free = float(np.sum(totals))
    classes = [used, _power_of_two_best(rows, rule, per_channel, free), free]
    loose = Grid.of(rule.grid.bits, signed=False) if rule.symmetric else rule.grid
    classes.append(_best(rows, loose, per_channel) if rule.symmetric else free)
    classes.append(classes[-1] if per_channel else _best(rows, loose, True))
    classes.append(_ideal(rows, rule.grid))
    # Every search holds the optimum of the narrower class among its candidates; what float
    # rounding of the scales leaves of an inversion is taken out here.
    nested = np.minimum.accumulate(classes)
    if nested[-1] <= 0:
        return None
    choice, scale, symmetry, granularity, shape = (0.5 * np.log2(nested[:-1] / nested[1:])).tolist()
    total = 0.5 * float(np.log2(nested[0] / nested[-1]))
    direction = _direction(affine, lo, hi) if choice > _NOTABLE else "best"
    return LostBits(shape, granularity, symmetry, scale, choice, direction, total)


def _distortion(rows: Histogram, affine: Affine) -> NDArray[np.float64]:
    lo, hi, scale = (
        np.broadcast_to(v, rows.absmax.shape) for v in (affine.lo, affine.hi, affine.scale)
    )
    return rows.distortion(lo, hi, scale).total


def _best(rows: Histogram, grid: Grid, per_channel: bool) -> float:
    """Least squared error of an asymmetric grid."""
    _, _, total = best_ranges(rows, grid, symmetric=False, per_channel=per_channel)
    return float(np.sum(total))


def _power_of_two_best(rows: Histogram, rule: Rule, per_channel: bool, free: float) -> float:
    """Least error over neighbouring powers of two (scales are few, so all are tried)."""
    if not rule.power_of_two:
        return free
    widest = rows.absmax if per_channel else rows.absmax.max(keepdims=True)
    start = np.ceil(np.log2(np.where(widest > 0, widest, 1.0) / rule.grid.qmax))
    trials = []
    for down in range(8):
        scale = np.broadcast_to(np.exp2(start - down), rows.absmax.shape)
        trials.append(rows.distortion(scale * rule.grid.qmin, scale * rule.grid.qmax, scale).total)
    table = np.stack(trials)
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
    unit = (np.sum(np.cbrt(density)) * width) ** 3 / 12 / 4.0**grid.bits
    return float(np.sum(rows.live.sum(axis=1) * rows.absmax**2) * unit)


def _direction(
    affine: Affine, lo: NDArray[np.float64], hi: NDArray[np.float64]
) -> Literal["too_wide", "too_narrow"]:
    used, best = (np.log(np.maximum(w, 1e-30)).mean() for w in (affine.hi - affine.lo, hi - lo))
    return "too_wide" if used > best else "too_narrow"


def trade_off(seen: Seen, affine: Affine, rule: Rule) -> TradeOff:
    """Round and clip error of the site over ranges from 1/32 to twice the full one."""
    rows = seen.channels if affine.axis is not None else seen.whole
    size = max(rows.size, 1)
    points = [_at(rows, factor * rows.lo, factor * rows.hi, rule) for factor in _FACTORS]
    marks = {"in use": _used(rows, affine, size)}
    if affine.axis is None:
        for method in ALL:
            if rows.size >= method.minimum_values:
                ends = np.array(method(rows, rule.grid, symmetric=rule.symmetric))
                marks[method.name] = _mark(rows, ends[:1], ends[1:], rule, size)
    else:
        lo, hi, _ = best_ranges(rows, rule.grid, symmetric=rule.symmetric, per_channel=True)
        marks["min_max"] = _mark(rows, rows.lo, rows.hi, rule, size)
        marks["mse"] = _mark(rows, lo, hi, rule, size)
    return TradeOff(
        [float(f) for f in _FACTORS],
        [r / size for r, _ in points],
        [c / size for _, c in points],
        marks,
    )


def _at(
    rows: Histogram, lo: NDArray[np.float64], hi: NDArray[np.float64], rule: Rule
) -> tuple[float, float]:
    grid = affine_from_range(lo, hi, rule.grid, symmetric=rule.symmetric)
    part = rows.distortion(grid.lo, grid.hi, grid.scale)
    return float(part.round.sum()), float(part.clip.sum())


def _mark(
    rows: Histogram,
    lo: NDArray[np.float64],
    hi: NDArray[np.float64],
    rule: Rule,
    size: int,
) -> dict[str, float]:
    rounded, clipped = _at(rows, lo, hi, rule)
    return {"factor": _factor(rows, lo, hi), "round": rounded / size, "clip": clipped / size}


def _used(rows: Histogram, affine: Affine, size: int) -> dict[str, float]:
    lo, hi, scale = (
        np.atleast_1d(v).astype(np.float64) for v in (affine.lo, affine.hi, affine.scale)
    )
    part = rows.distortion(lo, hi, scale)
    factor = _factor(rows, lo, hi)
    return {
        "factor": factor,
        "round": float(part.round.sum()) / size,
        "clip": float(part.clip.sum()) / size,
    }


def _factor(rows: Histogram, lo: NDArray[np.float64], hi: NDArray[np.float64]) -> float:
    """Width of a range relative to the full one (mean over channels)."""
    full = np.maximum(rows.hi, 0) - np.minimum(rows.lo, 0)
    live = full > 0
    reach = np.minimum(hi, 4 * np.maximum(rows.hi, 0)) - np.maximum(lo, 4 * np.minimum(rows.lo, 0))
    return float(np.mean(reach[live] / full[live])) if live.any() else 1.0
