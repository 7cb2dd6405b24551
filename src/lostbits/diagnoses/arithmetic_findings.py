"""Findings about the arithmetic of kernels: one for each way in which it adds to the error.

Sums that leave their range do so in many layers for one reason, and have one cure. So layers are
told together, the largest first, with one command for all of them.

What a cure wins is measured, not predicted: errors of weights of one sign that meet inputs of one
sign add up, and no sum of squares tells by how much. On such a network 7 bits cost 10 dB where the
squares of their rounding errors say 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2
from typing import final

from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.findings import CODES, LEAST_SHARE
from lostbits.diagnoses.tried import Tried
from lostbits.graph.integer_layers import layer_behind
from lostbits.graph.site import Site
from lostbits.language import Figure, Message, listed, say
from lostbits.quoting import extended
from lostbits.results.arithmetic import ArithmeticReport, LayerSums
from lostbits.results.diagnosis import Attribution, Finding, NetworkReport, Reason

_NAMED = 3  # layers of a finding at most
_FAR = 0.5  # part of the error that kernels add
_FEWEST_BITS = 3  # of a weight; below, a layer is better left in float
_REASONS: Mapping[str, Reason] = {"pairs": "pair_overflow", "sums": "sum_overflow"}


@final
@dataclass(frozen=True)
class _Part:
    """What the arithmetic of one layer carries.

    Attributes:
        entry: Of the attribution.
        node: The layer.
        sums: Those that left their range; None where none did.
    """

    entry: Attribution
    node: str
    sums: LayerSums | None


def with_arithmetic(
    case: Case, network: NetworkReport, report: ArithmeticReport | None
) -> NetworkReport:
    """The attribution with the reason behind every part that kernels carry."""
    if report is None:
        return network
    known = {part.entry.key: _reason(part) for part in _parts(case, network, report)}
    found = [
        replace(a, reason=known[a.key]) if a.cause == "accumulate" else a
        for a in network.attributions
    ]
    return replace(network, attributions=found)


def arithmetic_findings(
    case: Case,
    source: Source,
    network: NetworkReport,
    report: ArithmeticReport | None,
    command: str,
) -> list[Finding]:
    """One for each reason that carries a share worth a word, largest first.

    Args:
        case: What was diagnosed.
        source: Samples, on the first few of which cures are measured.
        network: The attribution.
        report: What the kernels did.
        command: The command that was run, to which the remedy is added.
    """
    if report is None:
        return []
    groups: dict[Reason, list[_Part]] = {}
    for part in _parts(case, network, report):
        groups.setdefault(_reason(part), []).append(part)
    worth = {r: parts for r, parts in groups.items() if _carried(parts) >= LEAST_SHARE}
    if not worth:
        return []
    tried = Tried(case, source)
    found = [_finding(tried, network, report, r, p, command) for r, p in worth.items()]
    return sorted(found, key=lambda f: -f.share)


def _carried(parts: Sequence[_Part]) -> float:
    return sum(part.entry.share for part in parts)


def _parts(case: Case, network: NetworkReport, report: ArithmeticReport) -> list[_Part]:
    left = {each.node: each for each in report.layers}
    parts = [a for a in network.attributions if a.cause == "accumulate"]
    nodes = [layer_behind(case.model.graph, a.tensor) for a in parts]
    return [_Part(a, n, left.get(n)) for a, n in zip(parts, nodes, strict=True)]


def _reason(part: _Part) -> Reason:
    return "requantization" if part.sums is None else _REASONS[part.sums.kind]


def _finding(
    tried: Tried,
    network: NetworkReport,
    report: ArithmeticReport,
    reason: Reason,
    parts: Sequence[_Part],
    command: str,
) -> Finding:
    parts = sorted(parts, key=lambda part: -part.entry.value)
    live = [part for part in parts if part.entry.share > 0] or list(parts)
    share = _carried(parts)
    cures = [
        replace(cure, gain_db=tried.gain_db(cure.settings))
        for cure in _cures(tried.case, report, parts, reason)
    ]
    cures.sort(key=lambda cure: -cure.gain_db)
    best, first = cures[0], parts[0]
    return Finding(
        code=CODES[reason],
        tensor=first.entry.tensor,
        role=first.entry.role,
        node=first.node,
        cause="accumulate",
        reason=reason,
        share=share,
        bits=0.0,
        gain_db=max(best.gain_db, 0.0),
        remedy=best.remedy,
        command=extended(command, best.options),
        text=_text(report, reason, live, _share(network, share), cures, tried.samples),
    )


@final
@dataclass(frozen=True)
class _Cure:
    """What can be done.

    Attributes:
        remedy: In a few words.
        settings: ``--set`` of weights or of results, by their sites.
        gain_db: Measured; less than 0 where it costs more than it wins.
    """

    remedy: Message
    settings: Mapping[Site, str]
    gain_db: float = 0.0

    @property
    def options(self) -> list[str]:
        """Of the command that measures it."""
        return [w for s, how in self.settings.items() for w in ("--set", f"{s.tensor}={how}")]

    def told(self, samples: int) -> Message:
        """With what it wins on so many samples."""
        told: dict[str, Figure] = {"remedy": self.remedy, "count": str(samples)}
        if self.gain_db <= -0.05:
            return say("finding.cure_costs", loss=f"{-self.gain_db:.1f}", **told)
        won = say("finding.won_nothing")
        if self.gain_db >= 0.05:
            won = say("finding.won", gain=f"{self.gain_db:.1f}")
        return say("finding.cure", won=won, **told)


def _cures(
    case: Case, report: ArithmeticReport, parts: Sequence[_Part], reason: Reason
) -> list[_Cure]:
    """Other weights where sums leave their range; float for what is rounded badly."""
    if reason == "requantization":
        sites = {s.tensor: s for s in case.sites if s.streams}
        tensors = [part.entry.tensor for part in parts[:_NAMED] if part.entry.tensor in sites]
        return [_Cure(say("remedy.requantization"), {sites[t]: "float" for t in tensors})]
    known = {u.node: s for s in case.sites if s.role == "weight" for u in s.uses}
    sums = [each for each in report.layers if _REASONS[each.kind] == reason and each.node in known]
    # What a layer sees behind others that are far off says nothing of what it will see.
    far = sum(part.entry.share for part in parts) > _FAR
    live = {known[each.node]: each for each in sums}
    bits = {s: fitting_bits(case.plan[s.key].grid.bits, e, far) for s, e in live.items()}
    told = say("remedy.fewer_bits", bits=", ".join(sorted(set(bits.values()))))
    found = [_Cure(told, bits)]
    if reason == "pair_overflow":
        found.insert(0, _Cure(say("remedy.unsigned_weights"), dict.fromkeys(live, "unsigned")))
    return found


def fitting_bits(bits: int, sums: LayerSums, far: bool = False) -> str:
    """The setting of a weight with which sums stay in their range.

    For pairs it holds for any data; for whole sums it is what these data ask.

    Args:
        bits: Of the weight.
        sums: What its layer's sums reach.
        far: Whether the data that were seen are too far off to go by.

    >>> pairs = LayerSums("conv", "w", "pairs", 0.02, [], 61965, 57630, 32767, 0)
    >>> fitting_bits(8, pairs)
    '7bit'
    """
    reach = sums.reach if far or sums.kind == "pairs" else sums.seen
    fewer = bits - max(ceil(log2(max(reach, 1) / sums.limit)), 1)
    return f"{fewer}bit" if fewer >= _FEWEST_BITS else "float"


def _text(
    report: ArithmeticReport,
    reason: Reason,
    parts: Sequence[_Part],
    share: Figure,
    cures: Sequence[_Cure],
    samples: int,
) -> Message:
    told: dict[str, Figure] = {"title": report.title, "share": share, "layers": _layers(parts)}
    told["cures"] = _alternatives([cure.told(samples) for cure in cures])
    sums = [part.sums for part in parts if part.sums is not None]
    if sums:
        told |= {"worst": f"{max(s.reach for s in sums):,}", "limit": f"{sums[0].limit:,}"}
        told |= {"written": f"{max(s.reach_written for s in sums):,}"}
        told |= {"seen": f"{max(s.seen for s in sums):,}"}
    return say(f"finding.{reason}", **told)


def _alternatives(cures: Sequence[Message]) -> Message:
    """One or the other."""
    row = cures[0]
    for cure in cures[1:]:
        row = say("finding.or_cure", row=row, cure=cure)
    return row


def _share(network: NetworkReport, share: float) -> Figure:
    if network.open:
        return say("finding.unknown_share")
    whole = 1 + LEAST_SHARE  # what a residual may add
    return say("finding.cancelling_share") if share > whole else f"{min(share, 1.0):.0%}"


def _layers(parts: Sequence[_Part]) -> Message:
    row, more = listed([_row(part) for part in parts[:_NAMED]]), len(parts) - _NAMED
    return say("finding.more_layers", row=row, count=str(more)) if more > 0 else row


def _row(part: _Part) -> Message:
    share = f"{part.entry.share:.0%}"
    if part.sums is None:
        return say("finding.kernel_layer", node=part.node, share=share)
    left = f"{part.sums.share:.2%}" if part.sums.share >= 1e-4 else f"{part.sums.share:.1e}"
    return say(f"finding.{part.sums.kind}_layer", node=part.node, share=share, left=left)
