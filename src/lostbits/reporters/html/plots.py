"""Everything that the scripts of the page draw, as plain lists; they only lay it out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

from lostbits.reporter import Result
from lostbits.reporters.html import formats

_BARS = 25  # tensors that the chart names one by one
_CAUSES = ("round", "clip")


@final
class Step(NamedTuple):
    """A step of the waterfall or a term of a layer: name in the result, label, meaning."""

    name: str
    label: str
    hint: str


STEPS: tuple[Step, ...] = (
    Step("shape", "shape", "bits lost because levels are evenly spaced and values are not"),
    Step("granularity", "granularity", "bits lost because all channels share one scale"),
    Step("symmetry", "symmetry", "bits lost because the range must be centred on zero"),
    Step("scale_format", "scale format", "bits lost because the scale must be a power of two"),
    Step("range_choice", "range choice", "bits lost because the range in use is not the best one"),
)

TERMS: tuple[Step, ...] = (
    Step("weight", "weight", "the layer's own weights were rounded"),
    Step("activation", "input", "the input of the layer was already wrong"),
    Step("interaction", "interaction", "wrong weights times wrong input"),
    Step("bias", "bias", "the bias was rounded"),
    Step("accumulate", "accumulate", "arithmetic inside the layer"),
    Step("output", "output", "the result was rounded to its own grid"),
)


def figures(result: Result, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One entry a figure; ``sites`` in the order of the table."""
    return {
        "attribution": _attribution(rows),
        "roles": _roles(rows),
        "layers": _layers(result["layers"]),
        "sites": [_site(row, result) for row in rows],
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
        bars.append({"name": f"{len(rest)} others", "role": "", "index": None, **sums})
    return bars


def _roles(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shares by role, largest first."""
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        sums = table.setdefault(row["site"]["role"], dict.fromkeys(_CAUSES, 0.0))
        for cause in _CAUSES:
            sums[cause] += row["causes"][cause]
    bars = [{"name": role, "role": "", "index": None, **sums} for role, sums in table.items()]
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


def _site(row: Mapping[str, Any], result: Result) -> dict[str, Any]:
    site = row["site"]
    where = (
        f"{site['role']} of {site['node']} ({site['op']})"
        if site["node"]
        else "input of the network"
    )
    mine = [
        f for f in result["findings"] if (f["tensor"], f["role"]) == (site["tensor"], site["role"])
    ]
    return {
        "name": site["tensor"],
        "where": where,
        "share": formats.percent(sum(row["causes"].values())),
        "findings": [f["text"] for f in mine],
        "facts": _facts(row),
        "meters": _meters(site),
        "waterfall": waterfall(site),
        "histogram": _histogram(site),
        "trade_off": _trade_off(site["trade_off"]),
        "channels": _channels(site),
        "by_channel": _by_channel(site, result["network"]),
    }


def _facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    site, stable = row["site"], row["site"]["stability"]
    halves = "the same for every sample" if site["role"] in ("weight", "bias") else "not known"
    if stable is not None:
        first, second = (formats.number(stable[f"mse_{half}_half"]) for half in ("first", "second"))
        halves = (
            f"MSE {first} in the first half, {second} in the second (ratio {stable['ratio']:.2f})"
        )
    grained = (
        "one for the tensor" if site["axis"] is None else f"one per index of axis {site['axis']}"
    )
    return [
        ("share of the output error", formats.percent(sum(row["causes"].values()))),
        ("of which round, clip", " and ".join(formats.percent(row["causes"][c]) for c in _CAUSES)),
        ("grid", f"{site['grid']}, {site['bits']} bits"),
        ("range in use", f"{formats.number(site['lo'])} to {formats.number(site['hi'])}"),
        ("scale", f"{formats.several(site['scale'])} ({grained})"),
        ("zero point", formats.several(site["zero_point"])),
        ("shares its scale with", site["group"]),
        ("SQNR", "no error" if site["sqnr_db"] is None else f"{site['sqnr_db']:.1f} dB"),
        ("mean squared error", formats.number(site["mse"])),
        ("from rounding", formats.number(site["mse_round"])),
        ("of that, values that became zero", formats.number(site["mse_dead_zone"])),
        ("from clipping", formats.number(site["mse_clip"])),
        ("stability", halves),
        ("left idle by small channels", _idle(site["utilisation"])),
    ]


def _idle(used: Mapping[str, float]) -> str:
    bits = used.get("headroom_bits")
    return formats.NONE if bits is None else f"{bits:.1f} bits, mean over channels"


def _meters(site: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Label, text, and part of the whole."""
    used, width = site["utilisation"], site["bits"]
    left = site["effective_bits"]
    meters = [("effective bits", f"{left:.1f} of {width}", left / width)]
    if used:
        codes, levels = used["codes_used"], used["codes_total"]
        meters += [
            ("codes used", f"{formats.count(codes)} of {formats.count(levels)}", codes / levels),
            (
                "entropy of the codes",
                f"{used['entropy_bits']:.1f} of {width} bits",
                used["entropy_bits"] / width,
            ),
            ("range reached by data", formats.percent(used["range_share"]), used["range_share"]),
        ]
    return [(label, text, min(max(part, 0.0), 1.0)) for label, text, part in meters]


def waterfall(site: Mapping[str, Any]) -> list[tuple[str, float, float]] | None:
    """Label, start and length of every bar, from the bits of the grid to those that are left."""
    lost = site["lost_bits"]
    if lost is None:
        return None
    bars = [(site["grid"], 0.0, float(site["bits"]))]
    level = float(site["bits"])
    for step in STEPS:
        level -= lost[step.name]
        bars.append((step.label, level, lost[step.name]))
    return [*bars, ("bits left", 0.0, site["effective_bits"])]


def _histogram(site: Mapping[str, Any]) -> dict[str, Any] | None:
    """Counts at the middles of the bins, with the range in use; empty bins have no logarithm."""
    known = site["histogram"]
    if known is None:
        return None
    (first, last), counts = known["edges"], known["counts"]
    width = (last - first) / len(counts)
    points = [(first + (i + 0.5) * width, c if c >= 0.5 else None) for i, c in enumerate(counts)]
    margin = 0.02 * (max(last, site["hi"]) - min(first, site["lo"]))
    return {
        "points": points,
        "range": (site["lo"], site["hi"]),
        "axis": (min(first, site["lo"]) - margin, max(last, site["hi"]) + margin),
        "zeros": formats.count(sum(known["zeros"])),
    }


def _trade_off(known: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Curves and marks as points; zero has no place on a logarithmic axis."""
    if known is None:
        return None
    kinds = {kind: known[kind] for kind in _CAUSES}
    kinds["total"] = [r + c for r, c in zip(known["round"], known["clip"], strict=True)]
    return {
        **{
            kind: [(f, _positive(v)) for f, v in zip(known["factor"], values, strict=True)]
            for kind, values in kinds.items()
        },
        "marks": [
            (formats.words(name), m["factor"], m["round"] + m["clip"], m["round"], m["clip"])
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
