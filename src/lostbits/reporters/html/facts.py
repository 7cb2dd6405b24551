"""The figures of one site in words: codes of the catalogues, and text that needs no language."""

from collections.abc import Mapping
from typing import Any

from lostbits.reporters.html import formats
from lostbits.reporters.html.wording import Figure

Fact = tuple[str, Figure]
Comparison = tuple[str, Figure, Figure]


def _word(code: str, **figures: str) -> Figure:
    return {"code": code, "figures": figures}


def facts(row: Mapping[str, Any]) -> list[Fact]:
    """Code of the label, and what it is."""
    site, (round_, clip) = row["site"], (row["causes"][c] for c in ("round", "clip"))
    parts = {"round": formats.percent(round_), "clip": formats.percent(clip)}
    return [
        ("fact.share", formats.percent(round_ + clip)),
        ("fact.causes", _word("fact.causes_both", **parts)),
        ("fact.grid", _word("fact.grid_bits", grid=site["grid"], bits=str(site["bits"]))),
        ("fact.range", _range(site)),
        ("fact.scale", _scale(site)),
        ("fact.zero_point", formats.several(site["zero_point"])),
        ("fact.group", site["group"]),
        ("fact.sqnr", _signal(site["sqnr_db"])),
        ("fact.mse", formats.number(site["mse"])),
        ("fact.mse_round", formats.number(site["mse_round"])),
        ("fact.mse_dead_zone", formats.number(site["mse_dead_zone"])),
        ("fact.mse_clip", formats.number(site["mse_clip"])),
        ("fact.stability", _stability(site)),
        ("fact.idle", _idle(site["utilisation"])),
    ]


def _scale(site: Mapping[str, Any]) -> Figure:
    scale = formats.several(site["scale"])
    if site["axis"] is None:
        return _word("fact.scale_tensor", scale=scale)
    return _word("fact.scale_axis", scale=scale, axis=str(site["axis"]))


def _signal(value: float | None) -> Figure:
    return _word("fact.sqnr_none") if value is None else f"{value:.1f} dB"


def _stability(site: Mapping[str, Any]) -> Figure:
    stable = site["stability"]
    if stable is None:
        constant = site["role"] in ("weight", "bias")
        return _word("fact.stable_constant" if constant else "fact.stable_unknown")
    first, second = (formats.number(stable[f"mse_{half}_half"]) for half in ("first", "second"))
    return _word("fact.stable", first=first, second=second, ratio=f"{stable['ratio']:.2f}")


def _idle(used: Mapping[str, float]) -> Figure:
    bits = used.get("headroom_bits")
    return formats.NONE if bits is None else _word("fact.idle_bits", bits=f"{bits:.1f}")


def compared(change: Mapping[str, Any]) -> list[Comparison]:
    """Code of the label, and what it was before and is after a recovery."""
    rows = (("fact.share", _share), ("fact.grid", _grid), ("fact.range", _range))
    both = [change[when] for when in ("before", "after")]
    found: list[Comparison] = []
    for label, text in (*rows, ("fact.sqnr", _quality)):
        first, last = (_word("fact.in_float") if s is None else text(s) for s in both)
        found.append((label, first, last))
    return found


def _share(standing: Mapping[str, Any]) -> Figure:
    return formats.percent(standing["share"])


def _grid(standing: Mapping[str, Any]) -> Figure:
    return str(standing["grid"])


def _range(site: Mapping[str, Any]) -> Figure:
    return _word("fact.span", lo=formats.number(site["lo"]), hi=formats.number(site["hi"]))


def _quality(standing: Mapping[str, Any]) -> Figure:
    return _signal(standing["sqnr_db"])


def meters(site: Mapping[str, Any]) -> list[tuple[str, Figure, float]]:
    """Code of the label, text, and part of the whole."""
    used, width = site["utilisation"], site["bits"]
    left = site["effective_bits"]
    rows = [("meter.bits", _of(f"{left:.1f}", width), left / width)]
    if used:
        codes, levels, entropy = used["codes_used"], used["codes_total"], used["entropy_bits"]
        reached: Figure = formats.percent(used["range_share"])
        rows += [
            ("meter.codes", _of(formats.count(codes), formats.count(levels)), codes / levels),
            ("meter.entropy", _of(f"{entropy:.1f}", width, "meter.of_bits"), entropy / width),
            ("meter.reached", reached, used["range_share"]),
        ]
    return [(label, text, min(max(part, 0.0), 1.0)) for label, text, part in rows]


def _of(part: str, whole: object, code: str = "meter.of") -> Figure:
    return _word(code, part=part, whole=str(whole))
