"""The verdict: two or three sentences for the first screen, and the loss by its reason."""

from collections.abc import Sequence
from typing import NamedTuple, final

from lostbits.diagnoses.findings import LEAST_SHARE, gain_db, unevenness
from lostbits.language import Message, say
from lostbits.results.diagnosis import Attribution, Finding, Reason
from lostbits.results.sites import SiteReport
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
    parts: Sequence[Attribution],
    sites: Sequence[SiteReport],
    found: Sequence[Finding],
) -> Message:
    """What is left of the answers, what took the rest, and what curing that should win."""
    first = _answers(target, baseline)
    if not found:
        return say("verdict.together", first=first, second=say("verdict.nothing"))
    led = _leading(parts)
    second = say("verdict.both", cause=_cause(led, sites), cure=_cure(led, found))
    return say("verdict.together", first=first, second=second)


def _answers(target: Target, baseline: Baseline) -> Message:
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
        answers = {
            "quantized": f"{baseline.accuracy_quantized:.1%}",
            "float": f"{baseline.accuracy_float:.1%}",
        }
        return say("verdict.accuracy", **names, **answers)
    if baseline.agreement is not None:
        return say("verdict.agreement", **names, share=f"{baseline.agreement:.1%}", noise=noise)
    if baseline.sqnr_db is None:
        return say("verdict.same", **names)
    return say("verdict.output", **names, noise=noise)


def _leading(parts: Sequence[Attribution]) -> _Led:
    """Small and cancelling tensors are not counted, unless there are no others."""
    groups: dict[tuple[Reason, str], list[Attribution]] = {}
    most = max(part.share for part in parts)
    for part in parts:
        if part.reason is not None and part.share >= min(LEAST_SHARE, most):
            groups.setdefault((part.reason, part.role), []).append(part)
    return max((_Led(*key, found) for key, found in groups.items()), key=lambda led: led.share)


def _cause(led: _Led, sites: Sequence[SiteReport]) -> Message:
    tensors = dict.fromkeys(part.tensor for part in led.parts)
    share, blame = f"{led.share:.0%}", _blame(led, sites)
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
    return say(f"blame.{led.reason}")


def _cure(led: _Led, found: Sequence[Finding]) -> Message:
    """All findings of that reason cured together, each as far as its own prediction goes."""
    keys = {(part.tensor, part.role, part.cause) for part in led.parts}
    cured = [f for f in found if f.reason == led.reason and (f.tensor, f.role, f.cause) in keys]
    won = sum(1 - 10 ** (-f.gain_db / 10) for f in cured)
    gain = gain_db(won)
    return say("verdict.gain", gain=f"{gain:.0f}") if gain >= 0.5 else say("verdict.no_gain")
