"""Per site: the exact split of the squared error, utilisation, and stability."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case, Seen, held_constant
from lostbits.data import Batch
from lostbits.diagnoses.error_split import add_split
from lostbits.diagnoses.waterfall import least_error, lost_bits, trade_off
from lostbits.estimators.aciq import bit_allocation
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid, affine_from_range, split_error
from lostbits.plan.ranges import rule_of
from lostbits.results.sites import Bins, LostBits, SiteReport, Stability, TradeOff, Utilisation
from lostbits.runtime.compare_networks import Pair
from lostbits.runtime.counting import Counts, counting, without_padding
from lostbits.runtime.decibels import decibels
from lostbits.runtime.memory_layout import by_channel
from lostbits.runtime.saturating import saturated
from lostbits.runtime.simulation import Frozen
from lostbits.statistic import RecordSum
from lostbits.statistics import Histogram
from lostbits.statistics.cumulative import cumulative
from lostbits.target import Rule

Doubles = NDArray[np.float64]
_LEVELS = 64  # groups of codes that a report shows
_PLOT_BINS = 128


@final
@dataclass
class SiteSum(RecordSum):
    """Running sums over values of one site, float64.

    Attributes:
        round, clip, dead_zone, total: Squared errors.
        power: Squares of the values.
        size: How many values.
        halves: Squared error and values of either half of the samples.
    """

    round: float = 0.0
    clip: float = 0.0
    dead_zone: float = 0.0
    total: float = 0.0
    power: float = 0.0
    size: int = 0
    halves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 2)))

    @property
    def mse(self) -> float:
        """Mean squared error."""
        return self.total / max(self.size, 1)

    def merge(self, other: Self) -> Self:
        """Add those of other values."""
        self.round += other.round
        self.clip += other.clip
        self.dead_zone += other.dead_zone
        self.total += other.total
        self.power += other.power
        self.size += other.size
        self.halves += other.halves
        return self


SiteSums = dict[str, SiteSum]  # by the key of the site


def no_sums(case: Case) -> SiteSums:
    """Of every site that streams, before anything was seen."""
    return {s.key: SiteSum() for s in case.sites if s.streams}


@final
class SiteErrors:
    """Measures ``Q(x) - x`` of the float network's values, batch by batch.

    ``mse_round + mse_clip == mse`` holds because the two parts have disjoint supports: the grid's
    ends are grid points, so a value outside is only clipped and a value inside only rounded.

    Attributes:
        sums: What was measured.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.sums = no_sums(case)
        self.masked = {each.name: each for each in case.compared if each.mask is not None}

    def at_site(self, site: Site, x: torch.Tensor, part: Batch) -> None:
        """Add the float values of one activation; of a masked output those that count."""
        if site.key not in self.sums:  # a sum that stays float
            return
        x = saturated(x, self.case.saturations.get(site.tensor))
        sums, counts = self.sums[site.key], self._counts(site, x, part)
        sizes = _sizes(x, counts, part.size)
        affine = _of_the_run(x) if site.dynamic else self.case.plan[site.key]
        parts = _split(without_padding(x, counts), affine, part.size)
        rounded, clipped, dead_zone, power = parts.sum(axis=0).tolist()
        total, size = rounded + clipped, int(sizes.sum())
        sums.merge(SiteSum(rounded, clipped, dead_zone, total, power, size))
        self._halve(sums, parts[:, :2].sum(axis=1), sizes, part)

    def _counts(self, site: Site, x: torch.Tensor, part: Batch) -> Counts:
        """Zeros lie on every grid, so that values which are masked with them have no error."""
        each = self.masked.get(site.tensor)
        return None if each is None else counting([each], part, [tuple(x.shape)])[0]

    def at_node(self, pair: Pair, frozen: Frozen) -> None:
        """Nodes do not matter here."""

    def _halve(
        self,
        sums: SiteSum,
        each: NDArray[np.float64],
        sizes: NDArray[np.int64],
        part: Batch,
    ) -> None:
        """Error of the first and of the second half of the samples, for stability."""
        if each.size != part.size:
            return
        second = np.arange(part.first, part.first + part.size) >= self.case.samples / 2
        for half in (0, 1):
            mine = second == bool(half)
            sums.halves[half] += (each[mine].sum(), int(sizes[mine].sum()))


@final
class SiteFigures:
    """What is told of the sites of a case, from the sums of those that stream."""

    def __init__(self, case: Case, sums: SiteSums) -> None:
        self.case, self.sums = case, sums

    def reports(self) -> list[SiteReport]:
        """One report a site, in the order of the plan; of constants too, which need no data."""
        ops = {node.name: node.op_type for node in self.case.model.graph}
        return [self._report(s, ops.get(s.node, "input")) for s in self.case.sites]

    def sqnr_db(self, site: Site) -> float | None:
        """Of the tensor against its own error; None without an error, where decibels end."""
        sums = self._measured(site)
        return decibels(sums.power, sums.total)

    def _measured(self, site: Site) -> SiteSum:
        return self.sums[site.key] if site.streams else self._constants[site.key]

    @cached_property
    def _constants(self) -> SiteSums:
        return {s.key: self._constant(s) for s in self.case.sites if not s.streams}

    def _constant(self, site: Site) -> SiteSum:
        x = held_constant(self.case.model, site, self.case.saturations)
        part = split_error(x, self.case.plan[site.key], self.case.quantized_constant(site))
        return SiteSum(*part, power=float((x.astype(np.float64) ** 2).sum()), size=x.size)

    def _report(self, site: Site, op: str) -> SiteReport:
        affine, sums = self.case.plan[site.key], self._measured(site)
        seen, rule = self.case.seen.get(site.key), rule_of(site, self.case.target)
        rule = type(rule)(
            affine.grid, rule.symmetric, affine.axis is not None, rule.method, rule.power_of_two
        )
        bits, curve = (None, None) if seen is None else _from_histograms(seen, affine, rule)
        codes = None if seen is None else _codes(seen, affine)
        return SiteReport(
            tensor=site.tensor,
            role=site.role,
            node=site.node,
            op=op,
            group=site.group,
            grid=affine.grid.name,
            bits=affine.grid.width,
            scale=_list(affine.scale),
            zero_point=[int(z) for z in np.atleast_1d(affine.zero_point)],
            axis=affine.axis,
            lo=float(affine.lo.min()),
            hi=float(affine.hi.max()),
            mse=sums.mse,
            mse_round=sums.round / max(sums.size, 1),
            mse_clip=sums.clip / max(sums.size, 1),
            mse_dead_zone=sums.dead_zone / max(sums.size, 1),
            sqnr_db=self.sqnr_db(site),
            effective_bits=_effective(affine, bits),
            lost_bits=bits,
            utilisation=None if seen is None or codes is None else _used(seen, affine, codes),
            levels=_levels(codes, affine),
            stability=_stability(sums),
            trade_off=curve,
            histogram=None if seen is None else _plot(seen.whole),
            channel_range=None if seen is None else _channels(seen),
        )


def _of_the_run(x: torch.Tensor) -> Affine:
    """What DynamicQuantizeLinear takes for one run."""
    lo, hi = (float(v) for v in torch.aminmax(x)) if x.numel() else (0.0, 0.0)
    return affine_from_range(lo, hi, Grid.of(8, signed=False), symmetric=False)


def _sizes(x: torch.Tensor, counts: Counts, samples: int) -> NDArray[np.int64]:
    """Values that count, of each sample; of all together where axis 0 does not count samples."""
    rows = samples if x.ndim and x.shape[0] == samples else 1
    if counts is None:
        return np.full(rows, x.numel() // rows, np.int64)
    each = x.numel() // counts.size
    return np.asarray(counts.reshape(rows, -1).sum(axis=1), np.int64) * each


def _split(x: torch.Tensor, affine: Affine, samples: int) -> Doubles:
    """Round, clip, dead zone and power of every sample, each a sum of squares, shape (samples, 4).

    One row of all together where axis 0 does not count samples.
    """
    kind = torch.float32 if affine.grid.bits <= 16 else torch.float64
    table = _table(x.to(kind), affine.axis, samples)
    lo, hi, scale = (
        np.atleast_1d(v).astype(table.dtype) for v in (affine.lo, affine.hi, affine.scale)
    )
    sums = np.zeros((len(table), 4))
    add_split(table, lo, hi, scale, sums)
    return sums


def _table(x: torch.Tensor, axis: int | None, samples: int) -> NDArray[Any]:
    """Values in memory order, shape (samples or 1, any, channels or 1, any)."""
    rows = by_channel(x, axis)
    first = samples if x.ndim and axis != 0 and x.shape[0] == samples else 1
    return rows.reshape(first, max(len(rows) // first, 1), rows.shape[1], -1)


def _from_histograms(seen: Seen, affine: Affine, rule: Rule) -> tuple[LostBits | None, TradeOff]:
    best = least_error(seen, rule)
    return lost_bits(seen, affine, rule, best), trade_off(seen, affine, rule, best)


def _list(values: NDArray[np.float32]) -> list[float]:
    return [float(v) for v in np.atleast_1d(values)]


def _effective(affine: Affine, bits: LostBits | None) -> float:
    return affine.grid.width - (0.0 if bits is None else bits.total)


def _stability(sums: SiteSum) -> Stability | None:
    """Mean squared error on either half of the samples; the ratio is 1 for stable data."""
    if not (sums.halves[:, 1] > 0).all():
        return None
    first, second = (float(e / n) for e, n in sums.halves)
    ratio = 1.0 if max(first, second) == 0 else min(first, second) / max(first, second)
    return Stability(first, second, ratio)


def _used(seen: Seen, affine: Affine, used: Doubles) -> Utilisation:
    """From the histograms and the counts of the codes."""
    rows = _rows(seen, affine)
    share = used[used > 0] / max(used.sum(), 1)
    return Utilisation(
        codes_used=float(np.count_nonzero(used)),
        codes_total=float(affine.grid.qmax - affine.grid.qmin + 1),
        entropy_bits=float(-(share * np.log2(share)).sum()),
        range_share=_range_share(rows, affine),
        headroom_bits=_headroom(seen.channels),
        allocation_gain_db=_allocation_gain(seen.channels.absmax, affine.grid.width),
    )


def _levels(used: Doubles | None, affine: Affine) -> list[float] | None:
    """Share of the values in each group of codes; None for codes beyond counting."""
    if used is None or affine.grid.bits > 16:
        return None
    groups = np.array_split(used, min(_LEVELS, used.size))
    return [float(group.sum() / max(used.sum(), 1)) for group in groups]


def _rows(seen: Seen, affine: Affine) -> Histogram:
    """The histogram that has a row for each scale."""
    return seen.whole if affine.axis is None else seen.channels


def _codes(seen: Seen, affine: Affine) -> Doubles:
    """How many values have each code, lowest code first.

    Read off the histogram: a value counts for the code of its bin's middle.
    """
    rows = _rows(seen, affine)
    middles = (rows.edges[:, :-1] + rows.edges[:, 1:]) / 2
    middles[:, rows.bins] = np.where(rows.live[:, rows.bins] > 0, middles[:, rows.bins], 0.0)
    scale, zero = np.atleast_1d(affine.scale)[:, None], np.atleast_1d(affine.zero_point)[:, None]
    codes = np.clip(np.rint(middles / scale) + zero, affine.grid.qmin, affine.grid.qmax)
    index = (codes - affine.grid.qmin).astype(np.int64)
    levels = affine.grid.qmax - affine.grid.qmin + 1
    weights, least = rows.counts.ravel(), min(levels, 65536)
    if levels > least:  # only those that occur, of which there are no more than bins
        index = np.unique(index, return_inverse=True)[1]
    return np.asarray(np.bincount(index.ravel(), weights=weights, minlength=least), np.float64)


def _range_share(rows: Histogram, affine: Affine) -> float:
    full = np.atleast_1d(affine.hi - affine.lo).astype(np.float64)
    reached = np.minimum(rows.hi, affine.hi) - np.maximum(rows.lo, affine.lo)
    return float(np.clip(np.mean(reached / full), 0, 1))


def _headroom(rows: Histogram) -> float:
    """Mean over channels of ``log2(tensor range / channel range)``: bits that granularity idles."""
    live = rows.absmax[rows.absmax > 0]
    return float(np.mean(np.log2(live.max() / live))) if live.size else 0.0


def _allocation_gain(reach: NDArray[np.float64], bits: int) -> float:
    """Decibels of rounding error that bits dealt out by channel would win over equal ones."""
    live = reach[reach > 0]
    if not live.size:
        return 0.0
    energy, dealt = live**2, bit_allocation(live, bits)
    return float(10 * np.log10(energy.sum() / (energy * 4.0 ** (bits - dealt)).sum()))


def _plot(rows: Histogram) -> Bins:
    """Counts over 128 bins between the extremes, for the report."""
    edges = np.linspace(min(rows.lo[0], 0.0), max(rows.hi[0], 0.0), _PLOT_BINS + 1)
    at = np.interp(edges, rows.edges[0], cumulative(rows.live[0]))
    counts, zeros = [float(c) for c in np.diff(at)], [float(rows.zeros[0])]
    return Bins([float(e) for e in edges[[0, -1]]], counts, zeros)


def _channels(seen: Seen) -> list[list[float]] | None:
    """Extremes per channel, at most 256 of them evenly chosen by range."""
    order = np.argsort(-seen.channels.absmax, kind="stable")
    if order.size <= 1:
        return None
    chosen = order[np.unique(np.linspace(0, order.size - 1, 256).astype(int))]
    ends = seen.channels.lo[chosen], seen.channels.hi[chosen]
    return [list(row) for row in zip(chosen.tolist(), *(e.tolist() for e in ends), strict=True)]
