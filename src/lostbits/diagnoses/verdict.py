"""The verdict: two or three sentences for the first screen, and the loss by its reason."""

from collections.abc import Sequence
from typing import NamedTuple, final

from lostbits.diagnoses.findings import LEAST_SHARE, gain_db, unevenness
from lostbits.language import Figure, Message, say
from lostbits.results.diagnosis import Attribution, Finding, NetworkReport, Reason
from lostbits.results.judgement import Grade, Judgement
from lostbits.results.sites import SiteReport
from lostbits.runtime.intervals import FEW, wilson
from lostbits.runtime.metrics import Baseline
from lostbits.target import Target


@final
class _Led(NamedTuple):
    """The reason that carries most, and the tensors of the role that it strikes hardest.

    Attributes:
        reason: Its name.
        role: Of these tensors.
        parts: Their attributions.
    """

    reason: Reason
    role: str
    parts: list[Attribution]

    @property
    def share(self) -> float:
        """Part of the output error."""
        return sum(part.share for part in self.parts)


def verdict(
    target: Target,
    baseline: Baseline,
    network: NetworkReport,
    sites: Sequence[SiteReport],
    found: Sequence[Finding],
    judgement: Judgement,
) -> Message:
    """What is left of the answers, what took the rest, and what curing that should win."""
    if judgement.grade is None:
        return say("verdict.unmatched", target=target.name)
    first = _answers(target, baseline, judgement.samples)
    return say("verdict.together", first=first, second=_rest(network, sites, found, judgement))


def _rest(
    network: NetworkReport,
    sites: Sequence[SiteReport],
    found: Sequence[Finding],
    judgement: Judgement,
) -> Message:
    """What a reader of a healthy network need not be told, and one of an open sum must not."""
    if found and found[0].reason in ("samples", "collapse"):
        return found[0].text
    if judgement.grade is Grade.GOOD:
        return say("verdict.healthy" if found else "verdict.nothing")
    if network.open:
        return say("verdict.open", residual=f"{network.residual:+.0%}")
    if not found:
        return say("verdict.nothing")
    led = _leading(network.attributions)
    return say("verdict.both", cause=_cause(led, sites, network), cure=_cure(led, found))


def _answers(target: Target, baseline: Baseline, samples: int) -> Message:
    names = {"bits": target.activations.grid.name, "target": target.name}
    if baseline.metric is not None:
        both = (baseline.metric.quantized, baseline.metric.reference)
        quantized, plain = ("∞" if value is None else f"{value:.4g}" for value in both)
        figures = {"name": baseline.metric.name, "quantized": quantized, "float": plain}
        return say("verdict.metric", **names, **figures)
    noise = say("verdict.silent")
    if baseline.sqnr_db is not None:
        noise = say("verdict.noise", value=f"{baseline.sqnr_db:.1f}")
    if baseline.accuracy_float is not None and baseline.accuracy_quantized is not None:
        count = baseline.labelled or samples
        answers: dict[str, Figure] = {
            "quantized": f"{baseline.accuracy_quantized:.1%}",
            "float": f"{baseline.accuracy_float:.1%}",
            "of": _of(baseline.accuracy_quantized, count),
        }
        return say("verdict.accuracy_of", **names, **answers)
    if (kept := baseline.telling_agreement) is not None:
        share, of = f"{kept:.1%}", _of(kept, baseline.answers or samples)
        return say("verdict.agreement_of", **names, share=share, noise=noise, of=of)
    if baseline.sqnr_db is None:
        return say("verdict.same", **names)
    return say("verdict.output", **names, noise=noise)


def _of(share: float, count: int) -> Message:
    """How many answers a share stands for, and how far it may be off where they are few."""
    if not 0 < count < FEW:
        return say("verdict.of", count=str(count))
    low, high = (f"{end:.0%}" for end in wilson(share, count))
    return say("verdict.of_few", count=str(count), low=low, high=high)


def _leading(parts: Sequence[Attribution]) -> _Led:
    """Small and cancelling tensors are not counted, unless there are no others."""
    groups: dict[tuple[Reason, str], list[Attribution]] = {}
    most = max(part.share for part in parts)
    for part in parts:
        if part.reason is not None and part.share >= min(LEAST_SHARE, most):
            groups.setdefault((part.reason, part.role), []).append(part)
    return max((_Led(*key, found) for key, found in groups.items()), key=lambda led: led.share)


def _cause(led: _Led, sites: Sequence[SiteReport], network: NetworkReport) -> Message:
    """Where errors cancel, parts of them are more than the whole: then there is no share."""
    tensors = dict.fromkeys(part.tensor for part in led.parts)
    share, blame = f"{min(led.share, 1.0):.0%}", _blame(led, sites)
    if network.cancelling:
        roles = say(f"roles.{led.role}")
        return say("verdict.cause_cancelling", count=str(len(tensors)), roles=roles, blame=blame)
    if len(tensors) == 1:
        role, tensor = say(f"role.{led.role}"), next(iter(tensors))
        return say("verdict.cause_one", share=share, role=role, tensor=tensor, blame=blame)
    roles, count = say(f"roles.{led.role}"), str(len(tensors))
    return say("verdict.cause", share=share, count=count, roles=roles, blame=blame)


def _blame(led: _Led, sites: Sequence[SiteReport]) -> Message:
    keys = {(part.tensor, part.role) for part in led.parts}
    spans = [unevenness(s) for s in sites if (s.tensor, s.role) in keys]
    times = [widest / typical for widest, typical in (s for s in spans if s is not None)]
    if led.reason == "granularity" and times and max(times) >= 2:
        return say("blame.granularity_times", times=f"{max(times):,.0f}")
    straight = led.reason == "resolution" and led.role == "output"
    return say("blame.resolution_output" if straight else f"blame.{led.reason}")


def _cure(led: _Led, found: Sequence[Finding]) -> Message:
    """All findings of that reason cured together, each as far as its own prediction goes."""
    keys = {(part.tensor, part.role, part.cause) for part in led.parts}
    same = [f for f in found if f.reason == led.reason]
    cured = [f for f in same if f.dead is not None or (f.tensor, f.role, f.cause) in keys]
    won = sum(1 - 10 ** (-f.gain_db / 10) for f in cured)
    gain = gain_db(won)
    return say("verdict.gain", gain=f"{gain:.0f}") if gain >= 0.5 else say("verdict.no_gain")
