"""Findings: the attribution and the waterfalls, turned into sentences with a remedy each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast, final

import numpy as np

from lostbits.case import Case
from lostbits.command_lines import trying
from lostbits.diagnoses.predicted_gain import predicted_gain, uneven_inputs
from lostbits.diagnoses.treatment import treatment, what_bars
from lostbits.errors import messages
from lostbits.graph.queries import constant
from lostbits.language import Figure, Message, say
from lostbits.results.diagnosis import Attribution, Finding, NetworkReport, Reason
from lostbits.results.sites import SiteReport

MOST = 12
LEAST_SHARE = 0.02
# A step of b bits is 1 - 4^-b of the tensor's squared error: with half a bit it is half of it, and
# below that it is not the reason, whatever else it is.
_LEAST_BITS = 0.5
_USUAL_BITS = 8  # below this width the grid itself is the first suspect
_FAR_CHANNEL = 4.0  # times the span of a typical one: a channel that is named
_NAMED = 4  # channels at most
_FAR = 30.0  # dB: how much more is predicted means nothing to anybody

CODES = cast(
    "Mapping[Reason, str]",
    {entry.reason: code for code, entry in messages.kind("F").entries.items()},
)
_LEAST_REACH = 1e-6  # of a range; below, how many times as wide it is has dozens of digits
_CHANGED = "float"  # of a bias that is not the model's


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
    tensors = [a for a in network.attributions if a.cause != "accumulate"]
    ranked = sorted(tensors, key=lambda a: (-a.share, a.tensor, a.role, a.cause))
    chosen = [a for a in ranked if a.share >= LEAST_SHARE][:MOST] or ranked[:1]
    # What is rounded away with a dead part has a finding of its own, of that part.
    chosen = [a for a in chosen if a.share > 0 and a.reason != "shared_scale"]
    barred = {} if case.target.weights.per_channel else what_bars(case)
    return [_explained(case, network, table, barred, a, command) for a in chosen]


def _explained(
    case: Case,
    network: NetworkReport,
    table: Mapping[str, SiteReport],
    barred: Mapping[str, Message],
    part: Attribution,
    command: str,
) -> Finding:
    site = table.get(part.key)
    if site is None or _rewritten(case, part):
        return _changed(case, network, part, command)
    return _finding(case, network, site, barred, part, command)


def _rewritten(case: Case, part: Attribution) -> bool:
    """Whether it is a bias of other values than the model's, which no rounding explains."""
    return part.role == "bias" and part.cause == "round" and part.tensor in case.written


def _changed(case: Case, network: NetworkReport, part: Attribution, command: str) -> Finding:
    """A constant that is not the model's: a tool has corrected it, or it is another one's."""
    place = next(s for s in case.attributed_sites if s.key == part.key)
    gain = gain_db(part.share)
    weight = "_weight" if part.role == "weight" else ""
    remedy = say(f"remedy.changed{weight}")
    code = "finding.changed_codes" if part.key in case.plan else f"finding.changed{weight}"
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
        remedy=remedy,
        command=trying(command, [f"{part.tensor}={_CHANGED}"]),
        text=say(
            code,
            tensor=part.tensor,
            node=place.node,
            share=_share(network, part),
            remedy=remedy,
            won=_won(gain),
        ),
    )


def _finding(
    case: Case,
    network: NetworkReport,
    site: SiteReport,
    barred: Mapping[str, Message],
    part: Attribution,
    command: str,
) -> Finding:
    place = next(s for s in case.sites if s.key == site.key)
    verdict = reason_of(site, part, uneven_inputs(case, place))
    coarse = verdict.reason == "granularity" and place.role == "weight"
    why = barred.get(place.node) if coarse else None
    cure = treatment(case.target, place, verdict.reason, inputs=verdict.inputs, barred=why)
    gain = max(predicted_gain(case, network, place, cure.measured), 0.0)
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
        remedy=cure.remedy,
        command=cure.command(command, site.tensor),
        text=_text(
            _name(site, corrected=bool(part.parts)),
            site,
            _share(network, part),
            verdict,
            _won(gain, most=cure.bound),
            cure.remedy,
            case,
        ),
    )


def _share(network: NetworkReport, part: Attribution) -> Figure:
    """No number where parts of the whole cannot be told, and none above all of it."""
    if network.open:
        return say("finding.unknown_share")
    if part.share > 1:
        return say("finding.cancelling_share")
    return f"{part.share:.0%}" if part.share >= 0.01 else f"{part.share:.1%}"


def with_reasons(case: Case, sites: Sequence[SiteReport], network: NetworkReport) -> NetworkReport:
    """The attribution with the reason behind every part of it."""
    table = {s.key: s for s in sites}
    uneven = {s.key: uneven_inputs(case, s) for s in case.sites if s.key in table}
    found: list[Attribution] = []
    for part in network.attributions:
        site = table.get(part.key)  # a float bias of other values than the model's is no site
        why: Reason = "changed"
        if site is not None and part.cause != "accumulate" and not _rewritten(case, part):
            why = reason_of(site, part, uneven[part.key]).reason
        found.append(replace(part, reason=why))
    return replace(network, attributions=found)


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


def _text(
    name: Message,
    site: SiteReport,
    share: Figure,
    verdict: Verdict,
    won: Message,
    remedy: Message,
    case: Case,
) -> Message:
    cost = say("finding.cost", bits=f"{verdict.bits:.1f}") if verdict.bits >= 0.05 else ""
    return say(
        "finding.text",
        name=name,
        share=share,
        because=_because(site, verdict, case),
        cost=cost,
        remedy=remedy,
        won=won,
        platform="",
    )


def gain_db(share: float) -> float:
    """Decibels won when a share of the output error goes; no more than anybody would believe."""
    return -10 * float(np.log10(max(1 - share, 10 ** (-_FAR / 10))))


def _won(gain: float, *, most: bool = False) -> Message:
    """A gain in words; of what the remedy comes near to, the most that it can be."""
    if gain < 0.05:
        return say("finding.won_nothing")
    if gain > _FAR:
        return say("finding.won_more", gain=f"{_FAR:.0f}")
    return say("finding.won_most" if most else "finding.won", gain=f"{gain:.1f}")


def _name(site: SiteReport, *, corrected: bool = False) -> Message:
    layer: Figure = say("name.layer", node=site.node) if site.node else ""
    if not layer and site.role == "activation":
        layer = say("name.network")
    kind = "corrected" if corrected else site.role
    return say(f"name.{kind}", tensor=site.tensor, layer=layer)


def _because(site: SiteReport, verdict: Verdict, case: Case) -> Message:
    """What the quantizer does to this tensor, without the full stop."""
    if verdict.inputs:
        return say("because.inputs")
    sentence: Mapping[Reason, Callable[[SiteReport], Message]] = {
        "granularity": partial(_granularity, case),
        "symmetry": _symmetry,
        "scale_format": lambda s: say("because.scale_format"),
        "too_wide": _too_wide,
        "too_narrow": _too_narrow,
        "resolution": _resolution,
        "bias_overflow": lambda s: say("because.bias_overflow"),
    }
    return sentence[verdict.reason](site)


def unevenness(site: SiteReport) -> tuple[float, float] | None:
    """Spans of the widest channel and of the median one; None where there are not two."""
    spans = [max(hi, 0.0) - min(lo, 0.0) for _, lo, hi in site.channel_range or []]
    live = [s for s in spans if s > 0]
    return (max(live), float(np.median(live))) if len(live) >= 2 else None


def _granularity(case: Case, site: SiteReport) -> Message:
    """The widest channel against the median one, and what is left for that.

    Where few channels stand out, as in residual streams of transformers, they are named.
    """
    spans = unevenness(site)
    if spans is None:
        return say("because.granularity_plain")
    widest, typical = spans
    levels = 2**site.bits
    used = min(int(typical / max(site.scale)) + 1, levels)
    times, left = f"{widest / typical:,.1f}", {"used": f"{used:,}", "levels": f"{levels:,}"}
    far = far_channels(site, typical)
    if not far:
        return say("because.granularity", times=times, **left)
    code = "because.stream" if _is_stream(case, site) else "because.channels"
    return say(code, channels=", ".join(map(str, far)), times=times, **left)


def far_channels(site: SiteReport, typical: float) -> list[int]:
    """Channels of an activation that span several times as much as a typical one, if few do."""
    rows = site.channel_range or []
    spans = {int(c): max(hi, 0.0) - min(lo, 0.0) for c, lo, hi in rows}
    far = sorted(c for c, span in spans.items() if span >= _FAR_CHANNEL * typical)
    few = len(far) <= min(_NAMED, max(len(rows) // 8, 1))
    return far if few and site.role != "weight" else []


def _is_stream(case: Case, site: SiteReport) -> bool:
    """Whether a tensor is the sum of two that were computed."""
    node = next((n for n in case.model.graph if n.name == site.node), None)
    return (
        node is not None and node.op_type == "Add" and all(constant(v) is None for v in node.inputs)
    )


def _symmetry(site: SiteReport) -> Message:
    unused = 1 - _reached(site)
    part = say("because.symmetry_some")
    if unused >= 0.01:
        part = say("because.symmetry_about", share=f"{unused:.0%}")
    return say("because.symmetry", part=part, levels=f"{2**site.bits:,}")


def _too_wide(site: SiteReport) -> Message:
    reached = _reached(site)
    if not 0 < reached < 0.7:
        return say("because.too_wide_few", span=_span(site))
    return say(
        "because.too_wide",
        span=_span(site),
        times=f"{1 / reached:.1f}" if reached > _LEAST_REACH else f"{1 / reached:.0e}",
        used=f"{0.0 if site.utilisation is None else site.utilisation.codes_used:.0f}",
        levels=f"{2**site.bits:,}",
    )


def _too_narrow(site: SiteReport) -> Message:
    cut = site.mse_clip / site.mse if site.mse else 0.0
    least = min((low for _, low, _ in site.channel_range or []), default=site.lo)
    if site.lo >= 0 > least:
        return say("because.no_sign", span=_span(site), share=f"{cut:.0%}", least=f"{least:.4g}")
    return say("because.too_narrow", span=_span(site), share=f"{cut:.0%}")


def _reached(site: SiteReport) -> float:
    """Part of the range that the values reach; all of it where nothing was counted."""
    return 1.0 if site.utilisation is None else site.utilisation.range_share


def _span(site: SiteReport) -> str:
    return f"[{site.lo:.4g}, {site.hi:.4g}]"


def _resolution(site: SiteReport) -> Message:
    if site.bits < _USUAL_BITS:
        return say("because.resolution_few", levels=f"{2**site.bits}")
    fate = "_output" if site.role == "output" else ""
    return say(f"because.resolution{fate}", levels=f"{2**site.bits:,}")
