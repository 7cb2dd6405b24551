"""Everything that the scripts of the page draw, as plain lists; they only lay it out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lostbits.reporter import Result
from lostbits.reporters.html import facts, formats
from lostbits.reporters.html.wording import Wording

_BARS = 25  # tensors that the chart names one by one
_CAUSES = ("round", "clip")
# Steps of the waterfall, and terms of a layer, by their names in the result and the catalogues.
STEPS = ("shape", "granularity", "symmetry", "scale_format", "range_choice")
TERMS = ("weight", "activation", "interaction", "bias", "accumulate", "output")


def figures(
    result: Result, rows: Sequence[Mapping[str, Any]], wording: Wording, stations: Sequence[Any]
) -> dict[str, Any]:
    """One entry a figure; ``sites`` in the order of the table, ``map`` in that of the map."""
    return {
        "attribution": _attribution(rows),
        "roles": _roles(rows),
        "layers": _layers(result["layers"]),
        "ledger": ledger(result),
        "map": [_station(row, result["layers"]) for row in stations],
        "sites": [_site(row, result, wording) for row in rows],
    }


def _attribution(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The largest tensors, and all others as one bar."""
    ranked = sorted(rows, key=lambda row: -abs(sum(row["causes"].values())))
    first, rest = ranked[:_BARS], ranked[_BARS:]
    bars = [
        {
            "name": row["site"]["tensor"],
            "role": row["site"]["role"],
            "index": row["index"],
            **row["causes"],
        }
        for row in first
    ]
    if rest:
        sums = {c: sum(row["causes"][c] for row in rest) for c in _CAUSES}
        bars.append({"others": len(rest), "role": "", "index": None, **sums})
    return bars


def _roles(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shares by role, largest first."""
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        sums = table.setdefault(row["site"]["role"], dict.fromkeys(_CAUSES, 0.0))
        for cause in _CAUSES:
            sums[cause] += row["causes"][cause]
    bars = [{"role": role, "index": None, **sums} for role, sums in table.items()]
    return sorted(bars, key=lambda bar: -(bar["round"] + bar["clip"]))


def _layers(layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Errors along the depth; a logarithmic axis has no place for zero."""
    return [
        {
            "name": layer["node"] or layer["tensor"],
            "op": layer["op"],
            **{kind: _positive(layer[kind]) for kind in ("own_error", "inherited_error", "error")},
        }
        for layer in layers
    ]


def _positive(value: float) -> float | None:
    return value if value > 0 else None


def ledger(result: Result) -> list[dict[str, Any]]:
    """What every attempt started from, reached, and was predicted to reach, in dB of SQNR.

    An attempt without a finite figure, whose output has no error at all, has no bar.
    """
    bars = [
        {
            "method": row["method"],
            "kept": row["kept"],
            "before": row["before"]["sqnr_db"],
            "after": row["after"]["sqnr_db"],
            "predicted": row["before"]["sqnr_db"] + row["predicted_gain_db"],
            "texts": [formats.signed(row[k]) for k in ("predicted_gain_db", "gain_db")],
        }
        for row in result["ledger"]
        if None not in (row["before"]["sqnr_db"], row["after"]["sqnr_db"])
    ]
    if bars:
        ends = [result["recovered"][when]["sqnr_db"] for when in ("before", "after")]
        bars = [{"start": ends[0]}, *bars, {"end": ends[1]}]
    return bars


def _station(row: Any, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the panel beside the map says of a layer."""
    layer = {} if row.layer is None else layers[row.layer]
    errors = [formats.brief(layer.get(k)) for k in ("own_error", "inherited_error")]
    return {"name": row.name, "op": row.op, "sites": row.sites, "errors": errors}


def _site(row: Mapping[str, Any], result: Result, wording: Wording) -> dict[str, Any]:
    site = row["site"]
    key = (site["tensor"], site["role"])
    mine = [f for f in result["findings"] if (f["tensor"], f["role"]) == key]
    return {
        "name": site["tensor"],
        "role": site["role"],
        "node": site["node"],
        "op": site["op"],
        "grid": site["grid"],
        "share": formats.percent(sum(row["causes"].values())),
        "findings": [wording.number(f["text"]) for f in mine],
        "facts": facts.facts(row),
        "compared": compared(result, key),
        "meters": facts.meters(site),
        "waterfall": waterfall(site),
        "histogram": _histogram(site),
        "levels": _levels(site),
        "trade_off": _trade_off(site["trade_off"]),
        "channels": _channels(site),
        "by_channel": _by_channel(site, result["network"]),
    }


def compared(result: Result, key: tuple[str, str]) -> list[facts.Comparison] | None:
    """What a recovery made of a site, by tensor and role."""
    changes = result.get("recovered", {}).get("sites", [])
    mine = [c for c in changes if (c["tensor"], c["role"]) == key]
    return facts.compared(mine[0]) if mine else None


def waterfall(site: Mapping[str, Any]) -> list[tuple[str, float, float]] | None:
    """Name, start and length of every bar, from the bits of the grid to those that are left."""
    lost = site["lost_bits"]
    if lost is None:
        return None
    bars = [("", 0.0, float(site["bits"]))]
    level = float(site["bits"])
    for step in STEPS:
        level -= lost[step]
        bars.append((step, level, lost[step]))
    return [*bars, ("left", 0.0, site["effective_bits"])]


def _histogram(site: Mapping[str, Any]) -> dict[str, Any] | None:
    """Counts, where the bins lie, and the range in use; empty bins have no logarithm."""
    known = site["histogram"]
    if known is None:
        return None
    (first, last), counts = known["edges"], known["counts"]
    width = (last - first) / len(counts)
    margin = 0.02 * (max(last, site["hi"]) - min(first, site["lo"]))
    return {
        "counts": [round(c, 1) if c >= 0.5 else None for c in counts],
        "middle": first + width / 2,
        "width": width,
        "range": (site["lo"], site["hi"]),
        "axis": (min(first, site["lo"]) - margin, max(last, site["hi"]) + margin),
        "zeros": formats.count(sum(known["zeros"])),
    }


def _levels(site: Mapping[str, Any]) -> dict[str, Any] | None:
    """Share of the values in every group of codes, and the share that even use would give."""
    shares = site["levels"]
    if not shares:
        return None
    size = 2 ** site["bits"] / len(shares)
    first = 0 if site["grid"].startswith("u") else -(2 ** (site["bits"] - 1))
    return {
        "shares": [_positive(share) for share in shares],
        "first": [round(first + i * size) for i in range(len(shares))],
        "last": [round(first + (i + 1) * size) - 1 for i in range(len(shares))],
        "even": 1 / len(shares),
        "floor": 10.0 ** math.floor(math.log10(min(s for s in (*shares, 1.0) if s > 0) / 2)),
    }


def _trade_off(known: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Curves over the factors, and marks; zero has no place on a logarithmic axis."""
    if known is None:
        return None
    kinds = {kind: known[kind] for kind in _CAUSES}
    kinds["total"] = [r + c for r, c in zip(known["round"], known["clip"], strict=True)]
    return {
        "factor": known["factor"],
        **{kind: [_positive(v) for v in values] for kind, values in kinds.items()},
        "marks": [
            (name.replace(" ", "_"), m["factor"], m["round"] + m["clip"], m["round"], m["clip"])
            for name, m in known["marks"].items()
            if m["factor"] > 0 and m["round"] + m["clip"] > 0
        ],
    }


def _channels(site: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lowest value, extent and number of each channel, with the range in use."""
    known = site["channel_range"]
    if not known:
        return None
    return {
        "index": [c for c, _, _ in known],
        "lo": [lo for _, lo, _ in known],
        "extent": [hi - lo for _, lo, hi in known],
        "range": (site["lo"], site["hi"]) if site["axis"] is None else None,
    }


def _by_channel(site: Mapping[str, Any], network: Mapping[str, Any]) -> list[float] | None:
    """Share of the output error by channel, for the sites that matter most."""
    values = network["channels"].get(f"{site['tensor']}:{site['role']}")
    if values is None or not network["total"]:
        return None
    return [value / network["total"] for value in values]
