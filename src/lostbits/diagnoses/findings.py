"""Findings: the attribution and the waterfalls, turned into sentences with a remedy each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.diagnoses.prediction import predicted_gain, uneven_inputs
from lostbits.diagnosis import Attribution, Finding, NetworkReport, Reason, SiteReport
from lostbits.graph.site import Site

MOST = 12
LEAST_SHARE = 0.02
# A step of b bits is 1 - 4^-b of the tensor's squared error: with half a bit it is half of it, and
# below that it is not the reason, whatever else it is.
_LEAST_BITS = 0.5
_USUAL_BITS = 8  # below this width the grid itself is the first suspect
_FAR = 30.0  # dB: how much more is predicted means nothing to anybody

CODES: dict[Reason, str] = {
    "granularity": "F001",
    "symmetry": "F002",
    "scale_format": "F003",
    "too_wide": "F004",
    "too_narrow": "F005",
    "resolution": "F006",
    "bias_overflow": "F007",
    "changed": "F008",
    "mistake": "F009",
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
    "changed": _Remedy("the model's own bias", "float"),
}
# No setting of one tensor equalizes it with its input, so the command measures the upper bound.
_EQUALIZE = _Remedy("equalize its input channels with the layer before", "16bit")


@final
@dataclass(frozen=True)
class Verdict:
    """Why a (site, cause) costs what it costs.

    Attributes:
        reason: The named reason.
        bits: What it costs the tensor.
        inputs: Whether it is the input channels of a weight that are uneven.
    """

    reason: Reason
    bits: float
    inputs: bool = False

    @property
    def remedy(self) -> _Remedy:
        """What helps against it."""
        return _EQUALIZE if self.inputs else _REMEDIES[self.reason]


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
    # Equal shares are told apart by name, so that a rerun lists them in the same order.
    ranked = sorted(network.attributions, key=lambda a: (-a.share, a.tensor, a.role, a.cause))
    chosen = [a for a in ranked if a.share >= LEAST_SHARE][:MOST] or ranked[:1]
    chosen = [a for a in chosen if a.share > 0]
    return [_explained(case, network, table, a, command) for a in chosen]


def _explained(
    case: Case,
    network: NetworkReport,
    table: Mapping[str, SiteReport],
    part: Attribution,
    command: str,
) -> Finding:
    site = table.get(f"{part.tensor}:{part.role}")
    if site is None:
        return _changed(case, part, command)
    return _finding(case, network, site, part, command)


def _changed(case: Case, part: Attribution, command: str) -> Finding:
    """A float bias that is not the model's: a tool has corrected it, or it is another one's."""
    place = next(s for s in case.players if s.key == f"{part.tensor}:{part.role}")
    gain = -10 * float(np.log10(max(1 - part.share, 10 ** (-_FAR / 10))))
    remedy = _REMEDIES["changed"]
    return Finding(
        code=CODES["changed"],
        tensor=part.tensor,
        role=part.role,
        node=place.node,
        cause=part.cause,
        reason="changed",
        share=part.share,
        bits=0.0,
        gain_db=gain,
        remedy=remedy.words,
        command=f"{command} --set '{part.tensor}={remedy.setting}'",
        text=f"The bias {part.tensor} of layer {place.node} carries {part.share:.0%} of the output "
        f"error. It is in float, but has other values than the model's. Remedy: {remedy.words}; "
        f"predicted to win {_won(gain)}.",
    )


def _finding(
    case: Case, network: NetworkReport, site: SiteReport, part: Attribution, command: str
) -> Finding:
    place = next(s for s in case.sites if s.key == f"{site.tensor}:{site.role}")
    verdict = reason_of(site, part, uneven_inputs(case, place))
    setting, gain = _setting(case, network, place, verdict)
    return Finding(
        code=CODES[verdict.reason],
        tensor=site.tensor,
        role=site.role,
        node=site.node,
        cause=part.cause,
        reason=verdict.reason,
        share=part.share,
        bits=verdict.bits,
        gain_db=gain,
        remedy=verdict.remedy.words,
        command=f"{command} --set '{site.tensor}={setting}'",
        text=_text(site, part, verdict, gain, case),
    )


def _setting(
    case: Case, network: NetworkReport, place: Site, verdict: Verdict
) -> tuple[str, float]:
    """What ``--set`` shall try, and what that should win; float where the target has no rule."""
    setting = "float" if place.role == "bias" else verdict.remedy.setting
    return setting, max(predicted_gain(case, network, place, setting), 0.0)


def reason_of(site: SiteReport, part: Attribution, inputs: float = 0.0) -> Verdict:
    """The named reason behind a (site, cause), and the bits that it costs.

    Args:
        site: The tensor.
        part: Its share of the output error, by cause.
        inputs: Bits that a weight loses to uneven input channels.
    """
    lost = site.lost_bits
    if part.role == "bias":
        return Verdict("bias_overflow" if part.cause == "clip" else "resolution", 0.0)
    few = float(max(_USUAL_BITS - site.bits, 0))
    if lost is None:
        return Verdict("too_narrow" if part.cause == "clip" else "resolution", few)
    # Clipping that leaves the tensor with its least error is no mistake of the range: a wider one
    # would round worse than it clips less. Then the reason is whatever else made levels scarce.
    if part.cause == "clip" and lost.direction == "too_narrow":
        return Verdict("too_narrow", lost.range_choice)
    wide = lost.range_choice if lost.direction == "too_wide" else 0.0
    steps = [
        Verdict("granularity", lost.granularity),
        Verdict("symmetry", lost.symmetry),
        Verdict("scale_format", lost.scale_format),
        Verdict("too_wide", wide),
        Verdict("granularity", inputs, inputs=True),
        Verdict("resolution", few),
    ]
    most = max(steps, key=lambda step: step.bits)
    return most if most.bits >= _LEAST_BITS else Verdict("resolution", few)


def _text(site: SiteReport, part: Attribution, verdict: Verdict, gain: float, case: Case) -> str:
    share = f"{part.share:.0%}" if part.share >= 0.01 else f"{part.share:.1%}"
    cost = f" ({verdict.bits:.1f} bits lost)" if verdict.bits >= 0.05 else ""
    return (
        f"{_name(site)} carries {share} of the output error. {_because(site, verdict)}{cost}. "
        f"Remedy: {verdict.remedy.words}; predicted to win {_won(gain)}."
        f"{_platform(site, verdict, case)}"
    )


def _won(gain: float) -> str:
    if gain < 0.05:
        return "hardly anything"
    return f"more than {_FAR:.0f} dB" if gain > _FAR else f"about {gain:.1f} dB"


def _name(site: SiteReport) -> str:
    layer = f" of layer {site.node}" if site.node else ""
    return {
        "weight": f"The weight {site.tensor}{layer}",
        "bias": f"The bias {site.tensor}{layer}",
        "activation": f"The activation {site.tensor}" + (layer or " (an input of the network)"),
        "output": f"The output {site.tensor}{layer}",
    }[site.role]


def _because(site: SiteReport, verdict: Verdict) -> str:
    """What the quantizer does to this tensor, without the full stop."""
    if verdict.inputs:
        return (
            "The weights of its strongest input channels are among its smallest, and since all "
            "input channels share one scale, few levels are left for those"
        )
    sentence: Mapping[Reason, Callable[[SiteReport], str]] = {
        "granularity": _granularity,
        "symmetry": _symmetry,
        "scale_format": lambda s: "Its scale must be a power of two, which is coarser than needed",
        "too_wide": _too_wide,
        "too_narrow": _too_narrow,
        "resolution": _resolution,
        "bias_overflow": lambda s: (
            "It does not fit into its integers at the scale of its layer, "
            "and what does not fit is cut off"
        ),
    }
    return sentence[verdict.reason](site)


def _granularity(site: SiteReport) -> str:
    """The widest channel against the median one, and what is left for that."""
    spans = [max(hi, 0.0) - min(lo, 0.0) for _, lo, hi in site.channel_range or []]
    live = [s for s in spans if s > 0]
    if len(live) < 2:
        return "Its channels share one scale although their ranges differ"
    typical, levels = float(np.median(live)), 2**site.bits
    used = min(int(typical / max(site.scale)) + 1, levels)
    return (
        "All its channels share one scale, which must suit the widest; that one spans "
        f"{max(live) / typical:,.1f} times as much as a typical channel, which is left with "
        f"{used:,} of {levels:,} levels"
    )


def _symmetry(site: SiteReport) -> str:
    unused = 1 - site.utilisation.get("range_share", 1.0)
    part = f"about {unused:.0%}" if unused >= 0.01 else "some"
    return (
        "Its range must reach as far below zero as above, but its values do not: "
        f"{part} of the {2**site.bits:,} levels lie where there is nothing"
    )


def _too_wide(site: SiteReport) -> str:
    span, reached = f"[{site.lo:.4g}, {site.hi:.4g}]", site.utilisation.get("range_share", 1.0)
    used = f"{site.utilisation.get('codes_used', 0):.0f} of {2**site.bits:,} levels are used"
    if 0 < reached < 0.7:
        return f"Its range {span} is {1 / reached:.1f} times as wide as its values reach: {used}"
    return f"Its range {span} reaches for a few far values, and the many others share few levels"


def _too_narrow(site: SiteReport) -> str:
    cut = site.mse_clip / site.mse if site.mse else 0.0
    return (
        f"Its range [{site.lo:.4g}, {site.hi:.4g}] cuts off larger values, and what is cut off is "
        f"{cut:.0%} of its error"
    )


def _resolution(site: SiteReport) -> str:
    if site.bits < _USUAL_BITS:
        return f"It has only {2**site.bits} levels"
    fate = "goes straight to the user" if site.role == "output" else "is magnified by later layers"
    return f"Its {2**site.bits:,} levels are put to good use, but what rounding leaves {fate}"


def _platform(site: SiteReport, verdict: Verdict, case: Case) -> str:
    """A warning where the target cannot take the remedy as such."""
    refused = {
        "granularity": site.role != "weight" or not case.target.weights.per_channel,
        "symmetry": True,
        "scale_format": True,
        "resolution": site.role != "bias",
    }.get(verdict.reason, False)
    if verdict.inputs:
        return " The command measures the most that this could win, with 16 bits."
    if not refused:
        return ""
    return f" The command measures that; {case.target.name} itself may not take it as it is."


def by_role(network: NetworkReport) -> Mapping[str, float]:
    """Share of the output error by role of the site."""
    table: dict[str, float] = {}
    for a in network.attributions:
        table[a.role] = table.get(a.role, 0.0) + a.share
    return table
