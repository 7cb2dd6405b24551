"""Everything that the scripts of the page draw, as plain lists; they only lay it out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lostbits.grid import Grid
from lostbits.reporters.html import facts, formats
from lostbits.reporters.html.network_map import Map, Stop
from lostbits.reporters.html.tables import Row
from lostbits.reporters.html.wording import Wording
from lostbits.results.diagnosis import Diagnosis, LayerReport, NetworkReport
from lostbits.results.sites import Bins, SiteReport, TradeOff
from lostbits.runtime.metrics import Baseline

_BARS, _LEAST = 25, 3  # tensors that the chart names one by one, at most and at least
_SEEN = 5e-3  # share of a tensor whose bar can be seen
# Terms of a layer, by their names in the result and the catalogues.
TERMS = ("weight", "activation", "interaction", "bias", "accumulate", "output")


def figures(result: Diagnosis, rows: Sequence[Row], wording: Wording, chart: Map) -> dict[str, Any]:
    """One entry a figure; ``sites`` in the order of the table, ``map`` in that of the network."""
    return {
        "attribution": _attribution(rows),
        "roles": _roles(rows),
        "layers": _layers(result.layers),
        "ledger": ledger(result),
        "map": [_stop(stop, result.layers) for stop in chart.stops],
        "blocks": [{"name": b.name, "first": b.first, "count": b.size} for b in chart.blocks],
        "restore": _restore(result),
        "self": _self(result),
        "sites": [_site(row, result, wording) for row in rows],
        "culprit": culprit(result, rows),
    }


def culprit(result: Diagnosis, rows: Sequence[Row]) -> int:
    """The row that the page opens at: that of the first finding, else the one that costs most.

    The first finding is what must be mended first, and that may carry a small share of an error
    that was measured with it in float.
    """
    keys = [f"{f.tensor}:{f.role}" for f in result.findings]
    found = {row.site.key: row.number for row in rows}
    return next((found[key] for key in keys if key in found), 0)


def _attribution(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The largest tensors, and all others as one bar; what is too small to be seen has none."""
    ranked = sorted(rows, key=lambda row: -abs(row.share))
    seen = sum(abs(row.share) >= _SEEN for row in ranked)
    count = min(max(seen, _LEAST), _BARS)
    first, rest = ranked[:count], ranked[count:]
    bars: list[dict[str, Any]] = [
        {
            "name": row.label,
            "role": row.site.role,
            "index": row.number,
            **_causes([row]),
        }
        for row in first
    ]
    if rest:
        bars.append({"others": len(rest), "role": "", "index": None, **_causes(rest)})
    return bars


def _roles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Shares by role, largest first."""
    table: dict[str, list[Row]] = {}
    for row in rows:
        table.setdefault(row.site.role, []).append(row)
    ranked = sorted(table, key=lambda role: -sum(row.share for row in table[role]))
    return [
        {
            "role": role,
            "index": None,
            **_causes(table[role]),
        }
        for role in ranked
    ]


def _causes(rows: Sequence[Row]) -> dict[str, float]:
    """Shares of some sites together; those of kernels only where there are any."""
    shares = {"round": sum(row.round for row in rows), "clip": sum(row.clip for row in rows)}
    kernels = sum(row.accumulate for row in rows)
    return {**shares, "accumulate": kernels} if kernels else shares


def _layers(layers: Sequence[LayerReport]) -> list[dict[str, Any]]:
    """Errors along the depth, in dB of the power of the float output."""
    kinds = ("own_error", "inherited_error", "error")
    return [
        {
            "name": layer.node or layer.tensor,
            "op": layer.op,
            **{kind: formats.level_db(getattr(layer, kind)) for kind in kinds},
        }
        for layer in layers
    ]


def _restore(result: Diagnosis) -> list[dict[str, Any]] | None:
    if result.restore is None:
        return None
    return [
        {"sites": p.sites, "sqnr": p.sqnr_db, "agreement": p.agreement, "accuracy": p.accuracy}
        for p in result.restore.points
    ]


def _self(result: Diagnosis) -> dict[str, Any]:
    """What a second result is compared with, beside the sites."""
    outcome = result.recovered
    before, after = (result.baseline, None) if outcome is None else (outcome.before, outcome.after)
    return {
        "sha": result.model.sha256,
        "data": result.judged_on.sha256,
        "target": result.target.name,
        "total": result.network.total,
        "before": _key(before),
        "after": None if after is None else _key(after),
    }


def _key(figures: Baseline) -> dict[str, float | None]:
    return {
        "accuracy": figures.accuracy_quantized,
        "agreement": figures.agreement,
        "sqnr": figures.sqnr_db,
        "kl": figures.kl,
    }


def _positive(value: float) -> float | None:
    return value if value > 0 else None


def ledger(result: Diagnosis) -> list[dict[str, Any]]:
    """What every attempt started from, reached, and was predicted to reach, in dB of SQNR.

    An attempt without a finite figure, whose output has no error at all, has no bar.
    """
    bars: list[dict[str, Any]] = [
        {
            "method": row.method,
            "kept": row.kept,
            "before": row.before.sqnr_db,
            "after": row.after.sqnr_db,
            "predicted": row.before.sqnr_db + row.predicted_gain_db,
            "texts": [formats.signed(row.predicted_gain_db), formats.signed(row.gain_db)],
        }
        for row in result.ledger
        if row.before.sqnr_db is not None and row.after.sqnr_db is not None
    ]
    if bars and (outcome := result.recovered) is not None:
        bars = [{"start": outcome.before.sqnr_db}, *bars, {"end": outcome.after.sqnr_db}]
    return bars


def _stop(row: Stop, layers: Sequence[LayerReport]) -> dict[str, Any]:
    """What the panel beside the map says of a layer."""
    layer = None if row.layer is None else layers[row.layer]
    both = (None, None) if layer is None else (layer.own_error, layer.inherited_error)
    return {
        "name": row.name,
        "op": row.op,
        "share": row.share,
        "sites": row.sites,
        "inputs": row.inputs,
        "layer": row.layer,
        "errors": [formats.level(error) for error in both],
    }


def _site(row: Row, result: Diagnosis, wording: Wording) -> dict[str, Any]:
    site = row.site
    mine = [f for f in result.findings if (f.tensor, f.role) == (site.tensor, site.role)]
    return {
        "name": site.tensor,
        "role": site.role,
        "node": site.node,
        "op": site.op,
        "grid": site.grid,
        "share": formats.percent(row.share),
        "value": row.share,
        "sqnr": site.sqnr_db,
        "findings": [wording.number(f.text) for f in mine],
        "facts": facts.facts(row),
        "compared": compared(result, site),
        "meters": facts.meters(site),
        "waterfall": waterfall(site),
        "histogram": _histogram(site, site.histogram),
        "levels": _levels(site),
        "trade_off": _trade_off(site.trade_off),
        "channels": _channels(site),
        "by_channel": _by_channel(site, result.network),
    }


def compared(result: Diagnosis, site: SiteReport) -> list[facts.Comparison] | None:
    """What a recovery made of a site."""
    changes = [] if result.recovered is None else result.recovered.sites
    mine = [c for c in changes if (c.tensor, c.role) == (site.tensor, site.role)]
    return facts.compared(mine[0]) if mine else None


def waterfall(site: SiteReport) -> list[tuple[str, float, float]] | None:
    """Name, start and length of every bar, from the bits of the grid to those that are left."""
    if site.lost_bits is None:
        return None
    level = float(site.bits)
    bars = [("", 0.0, level)]
    for step, lost in site.lost_bits.steps.items():
        level -= lost
        bars.append((step, level, lost))
    return [*bars, ("left", 0.0, site.effective_bits)]


def _histogram(site: SiteReport, known: Bins | None) -> dict[str, Any] | None:
    """Counts, where the bins lie, and the range in use; empty bins have no logarithm."""
    if known is None:
        return None
    first, last = known.edges
    width = (last - first) / len(known.counts)
    margin = 0.02 * (max(last, site.hi) - min(first, site.lo))
    return {
        "counts": [round(c, 1) if c >= 0.5 else None for c in known.counts],
        "middle": first + width / 2,
        "width": width,
        "range": (site.lo, site.hi),
        "axis": (min(first, site.lo) - margin, max(last, site.hi) + margin),
        "zeros": formats.count(sum(known.zeros)),
    }


def _levels(site: SiteReport) -> dict[str, Any] | None:
    """Share of the values in every group of codes, and the share that even use would give."""
    shares = site.levels
    if not shares:
        return None
    first, size = Grid.named(site.grid).qmin, 2**site.bits / len(shares)
    return {
        "shares": [_positive(share) for share in shares],
        "first": [round(first + i * size) for i in range(len(shares))],
        "last": [round(first + (i + 1) * size) - 1 for i in range(len(shares))],
        "even": 1 / len(shares),
        "floor": 10.0 ** math.floor(math.log10(min(s for s in (*shares, 1.0) if s > 0) / 2)),
    }


def _trade_off(known: TradeOff | None) -> dict[str, Any] | None:
    """Curves over the factors, and marks; zero has no place on a logarithmic axis."""
    if known is None:
        return None
    total = [r + c for r, c in zip(known.round, known.clip, strict=True)]
    kinds: Mapping[str, list[float]] = {"round": known.round, "clip": known.clip, "total": total}
    return {
        "factor": known.factor,
        **{kind: [_positive(v) for v in values] for kind, values in kinds.items()},
        "marks": [
            (name.replace(" ", "_"), m.factor, m.round + m.clip, m.round, m.clip)
            for name, m in known.marks.items()
            if m.factor > 0 and m.round + m.clip > 0
        ],
    }


def _channels(site: SiteReport) -> dict[str, Any] | None:
    """Ends, width and number of each channel; of the range in use its width, and that of a level.

    A channel that is constant has no width, and none has a place on a logarithmic axis.
    """
    known = site.channel_range
    if not known or not any(hi > lo for _, lo, hi in known):
        return None
    one = site.axis is None
    return {
        "index": [c for c, _, _ in known],
        "lo": [lo for _, lo, _ in known],
        "hi": [hi for _, _, hi in known],
        "width": [_positive(hi - lo) for _, lo, hi in known],
        "range": site.hi - site.lo if one else None,
        "level": site.scale[0] if one and site.scale else None,
    }


def _by_channel(site: SiteReport, network: NetworkReport) -> list[float] | None:
    """Share of the output error by channel, for the sites that matter most."""
    values = network.channels.get(site.key)
    if values is None or not network.total:
        return None
    return [value / network.total for value in values]
