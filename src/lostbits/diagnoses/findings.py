"""Findings: the attribution and the waterfalls, turned into sentences with a remedy each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.diagnosis import Attribution, Finding, NetworkReport, Reason, SiteReport

MOST = 12
LEAST_SHARE = 0.02
_LEAST_BITS = 0.3  # a step of the waterfall below this is not worth a remedy of its own
_USUAL_BITS = 8  # below this width the grid itself is the first suspect

CODES: dict[Reason, str] = {
    "granularity": "F001",
    "symmetry": "F002",
    "scale_format": "F003",
    "too_wide": "F004",
    "too_narrow": "F005",
    "resolution": "F006",
    "bias_overflow": "F007",
}


@final
@dataclass(frozen=True)
class _Remedy:
    words: str
    setting: str


_REMEDIES: dict[Reason, _Remedy] = {
    "granularity": _Remedy("one scale per channel, or equalize the channels", "per_channel"),
    "symmetry": _Remedy("a zero point of its own (asymmetric range)", "asymmetric"),
    "scale_format": _Remedy("a free scale instead of a power of two", "float"),
    "too_wide": _Remedy("a narrower range", "mse"),
    "too_narrow": _Remedy("a wider range", "mse"),
    "resolution": _Remedy("more bits, or rounding that looks at the layer's output", "16bit"),
    "bias_overflow": _Remedy("a larger weight or input scale, so that the bias fits", "float"),
}


def findings(
    case: Case, sites: Sequence[SiteReport], network: NetworkReport, command: str
) -> list[Finding]:
    """The largest causes of the output error, largest first; at least one if there is any.

    Args:
        case: What was diagnosed.
        sites: Its sites.
        network: The attribution.
        command: The command that was run, to which the remedy's ``--set`` is added.
    """
    table = {f"{s.tensor}:{s.role}": s for s in sites}
    ranked = sorted(network.attributions, key=lambda a: -a.share)
    chosen = [a for a in ranked if a.share >= LEAST_SHARE][:MOST] or ranked[:1]
    chosen = [a for a in chosen if a.share > 0]
    return [_finding(case, table[f"{a.tensor}:{a.role}"], a, command) for a in chosen]


def _finding(case: Case, site: SiteReport, part: Attribution, command: str) -> Finding:
    reason, bits = reason_of(site, part)
    remedy = _REMEDIES[reason]
    kept = 4.0**-bits
    gain = -10 * float(np.log10(max(1 - max(part.share, 0.0) * (1 - kept), 1e-6)))
    return Finding(
        code=CODES[reason],
        tensor=site.tensor,
        role=site.role,
        node=site.node,
        cause=part.cause,
        reason=reason,
        share=part.share,
        bits=bits,
        gain_db=gain,
        remedy=remedy.words,
        command=f"{command} --set '{site.tensor}={'float' if site.role == 'bias' else remedy.setting}'",
        text=_text(site, part, reason, bits, gain, case),
    )


def reason_of(site: SiteReport, part: Attribution) -> tuple[Reason, float]:
    """The named reason behind a (site, cause), and the bits that it costs."""
    lost = site.lost_bits
    if part.role == "bias":
        return ("bias_overflow", 16.0) if part.cause == "clip" else ("resolution", 8.0)
    if part.cause == "clip":
        return "too_narrow", lost.range_choice if lost is not None else 0.0
    if lost is None:
        return "resolution", 8.0
    wide: Reason = "too_narrow" if lost.direction == "too_narrow" else "too_wide"
    steps: list[tuple[float, Reason]] = [
        (lost.granularity, "granularity"),
        (lost.symmetry, "symmetry"),
        (lost.scale_format, "scale_format"),
        (lost.range_choice if wide == "too_wide" else 0.0, wide),
        (float(max(_USUAL_BITS - site.bits, 0)), "resolution"),
    ]
    bits, reason = max(steps, key=lambda step: step[0])
    return (reason, bits) if bits >= _LEAST_BITS else ("resolution", 8.0)


def _text(
    site: SiteReport, part: Attribution, reason: Reason, bits: float, gain: float, case: Case
) -> str:
    what = _name(site)
    share = f"{part.share:.0%}" if part.share >= 0.01 else f"{part.share:.1%}"
    won = "hardly anything" if gain < 0.05 else f"about {gain:.1f} dB"
    return f"{what} carries {share} of the output error. {_because(site, reason, bits)} " + (
        f"Remedy: {_REMEDIES[reason].words}; predicted to win {won}.{_platform(site, reason, case)}"
    )


def _name(site: SiteReport) -> str:
    layer = f" of layer {site.node}" if site.node else ""
    return {
        "weight": f"The weight {site.tensor}{layer}",
        "bias": f"The bias {site.tensor}{layer}",
        "activation": f"The activation {site.tensor}" + (layer or " (an input of the network)"),
        "output": f"The output {site.tensor}{layer}",
    }[site.role]


def _because(site: SiteReport, reason: Reason, bits: float) -> str:
    """One sentence on what the quantizer does to this tensor."""
    levels = 2**site.bits
    span = f"[{site.lo:.4g}, {site.hi:.4g}]"
    used = site.utilisation.get("codes_used", 0)
    cut = site.mse_clip / site.mse if site.mse else 0.0
    sentence = {
        "granularity": f"Its channels share one scale although their ranges differ {_spread(site)}: "
        f"the small ones keep few of the {levels} levels",
        "symmetry": "Its values are not centred on zero but its range must be: part of the "
        f"{levels} levels is never used",
        "scale_format": "Its scale must be a power of two",
        "too_wide": f"Its range {span} is far wider than most of its values: only {used:.0f} of "
        f"{levels} levels are used",
        "too_narrow": f"Its range {span} cuts off larger values, and what is cut off is {cut:.0%} "
        "of its error",
        "bias_overflow": "It does not fit into 32 bits at the scale of its layer, and is cut off",
    }
    if reason in sentence:
        return f"{sentence[reason]} ({bits:.1f} bits lost)."
    return f"Its {levels} levels are too coarse for what the following layers do with it."


def _spread(site: SiteReport) -> str:
    """How far channel ranges lie apart, in words."""
    sizes = [max(abs(lo), abs(hi)) for _, lo, hi in site.channel_range or []]
    live = [s for s in sizes if s > 0]
    if len(live) < 2:
        return "widely"
    median = max(live) / float(np.median(live))
    return f"up to {max(live) / min(live):,.0f}-fold (median {median:.1f}-fold)"


def _platform(site: SiteReport, reason: Reason, case: Case) -> str:
    """A warning where the target cannot take the remedy as such."""
    refused = {
        "granularity": site.role != "weight" or not case.target.weights.per_channel,
        "symmetry": True,
        "resolution": site.role != "bias",
    }.get(reason, False)
    if not refused:
        return ""
    return f" The command measures that; {case.target.name} itself may not take it as it is."


def by_role(network: NetworkReport) -> Mapping[str, float]:
    """Share of the output error by role of the site."""
    table: dict[str, float] = {}
    for a in network.attributions:
        table[a.role] = table.get(a.role, 0.0) + a.share
    return table
