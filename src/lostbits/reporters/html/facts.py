"""The figures of one site in words: messages, and text that needs no language."""

from typing import Any

from lostbits.language import Figure, say
from lostbits.reporters.html import formats
from lostbits.reporters.html.tables import Row
from lostbits.results.recovery import SiteChange
from lostbits.results.sites import SiteReport, Standing, Utilisation

Fact = tuple[str, Figure]
Comparison = tuple[str, Figure, Figure]


def facts(row: Row) -> list[Fact]:
    """Code of the label, and what it is."""
    site = row.site
    parts = {"round": formats.percent(row.round), "clip": formats.percent(row.clip)}
    return [
        ("fact.share", formats.percent(row.share)),
        ("fact.causes", say("fact.causes_both", **parts)),
        *_of_kernels(row),
        ("fact.grid", say("fact.grid_bits", grid=site.grid, bits=str(site.bits))),
        ("fact.range", _range(site)),
        ("fact.scale", _scale(site)),
        ("fact.zero_point", formats.several(site.zero_point)),
        ("fact.group", say("fact.alone") if site.group == site.tensor else site.group),
        ("fact.sqnr", _signal(site.sqnr_db)),
        ("fact.mse", formats.number(site.mse)),
        ("fact.mse_round", formats.number(site.mse_round)),
        ("fact.mse_dead_zone", formats.number(site.mse_dead_zone)),
        ("fact.mse_clip", formats.number(site.mse_clip)),
        ("fact.stability", _stability(site)),
        ("fact.idle", _idle(site.utilisation)),
    ]


def _of_kernels(row: Row) -> list[Fact]:
    return [("fact.accumulate", formats.percent(row.accumulate))] if row.accumulate else []


def _scale(site: SiteReport) -> Figure:
    scale = formats.several(site.scale)
    if site.axis is None:
        return say("fact.scale_tensor", scale=scale)
    return say("fact.scale_axis", scale=scale, axis=str(site.axis))


def _signal(value: float | None) -> Figure:
    return say("fact.sqnr_none") if value is None else f"{value:.1f} dB"


def _stability(site: SiteReport) -> Figure:
    stable = site.stability
    if stable is None:
        constant = site.role in ("weight", "bias")
        return say("fact.stable_constant" if constant else "fact.stable_unknown")
    first, second = map(formats.number, (stable.mse_first_half, stable.mse_second_half))
    return say("fact.stable", first=first, second=second, ratio=f"{stable.ratio:.2f}")


def _idle(used: Utilisation | None) -> Figure:
    if used is None:
        return formats.NONE
    return say("fact.idle_bits", bits=f"{used.headroom_bits:.1f}")


def compared(change: SiteChange) -> list[Comparison]:
    """Code of the label, and what it was before and is after a recovery."""
    rows = (("fact.share", _share), ("fact.grid", _grid), ("fact.range", _range))
    both = (change.before, change.after)
    found: list[Comparison] = []
    for label, text in (*rows, ("fact.sqnr", _quality)):
        first, last = (say("fact.in_float") if s is None else text(s) for s in both)
        found.append((label, first, last))
    return found


def _share(standing: Standing) -> Figure:
    return formats.percent(standing.share)


def _grid(standing: Standing) -> Figure:
    return standing.grid


def _range(site: SiteReport | Standing) -> Figure:
    return say("fact.span", lo=formats.number(site.lo), hi=formats.number(site.hi))


def _quality(standing: Standing) -> Figure:
    return _signal(standing.sqnr_db)


def meters(site: SiteReport) -> list[tuple[str, Figure, float]]:
    """Code of the label, text, and part of the whole."""
    used, width, left = site.utilisation, site.bits, site.effective_bits
    rows: list[tuple[str, Figure, Any]] = [("meter.bits", _of(f"{left:.1f}", width), left / width)]
    if used is not None:
        codes, levels = formats.count(used.codes_used), formats.count(used.codes_total)
        entropy = _of(f"{used.entropy_bits:.1f}", width, "meter.of_bits")
        rows += [
            ("meter.codes", _of(codes, levels), used.codes_used / used.codes_total),
            ("meter.entropy", entropy, used.entropy_bits / width),
            ("meter.reached", formats.percent(used.range_share), used.range_share),
        ]
    return [(label, text, min(max(part, 0.0), 1.0)) for label, text, part in rows]


def _of(part: str, whole: object, code: str = "meter.of") -> Figure:
    return say(code, part=part, whole=str(whole))
