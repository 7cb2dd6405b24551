"""The first lines of a result: how good, why, what to do, where to read on."""

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from lostbits.command_lines import CommandLine
from lostbits.language import Language, Message, say
from lostbits.reporters.lines import short, told
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.judgement import Judgement
from lostbits.results.recovery import Outcome
from lostbits.runtime.intervals import FEW, wilson
from lostbits.runtime.judged import parted
from lostbits.runtime.metrics import Baseline

_COLORS = {"good": "bold green", "degraded": "bold yellow", "broken": "bold red"}
_NAME = 32  # columns of the model's name
_COLLAPSE = ("screen.collapse", ("before", "count", "all", "after"))
_Brief = tuple[str, tuple[str, ...]]
_MISMATCH: _Brief = ("screen.mismatch", ())
_BEHIND: _Brief = ("screen.mismatch_behind", ("tensor",))
_BRIEF: dict[str, _Brief] = {
    "finding.collapse": _COLLAPSE,
    "finding.samples_inputs": _MISMATCH,
    "finding.samples_tensors": _BEHIND,
}
_TOGETHER, _BOTH, _GAIN = "verdict.together", "verdict.both", "verdict.gain"


def title(result: Diagnosis, language: Language) -> Text:
    """Which network on which target."""
    model = short(Path(result.model.path).name, _NAME)
    target = result.target.title
    return Text(told(say("screen.on", model=model, target=target), language), style="bold")


def judged_on(result: Diagnosis, found: Baseline) -> Message:
    """How many samples figures are of, and how far a share of few may be off."""
    used, labels = result.judged_on, say("screen.labels")
    return say(
        "screen.samples",
        count=f"{used.samples:,}",
        use=say(f"use.{used.use}"),
        labels="" if found.accuracy_float is None else labels,
        interval=_interval(found, used.samples) or "",
    )


def graded(found: Judgement | None, language: Language) -> Text:
    """The verdict in a word of its colour."""
    if found is None or found.grade is None:
        return Text("")
    return Text(told(say(f"grade.{found.grade}"), language), style=_COLORS[found.grade])


def figures(found: Baseline) -> list[Message]:
    """The figures that count, the deciding one first; decibels stand beside answers always."""
    return [*_answers(found), *_noise(found)]


def outcome(result: Diagnosis) -> list[Message]:
    """The figures of a result; behind that of a file whose simulation is better than it."""
    found, judgement = figures(result.baseline), result.judgement
    if judgement is None or judgement.by != "file":
        return found
    simulated = [say("screen.simulated", figure=figure) for figure in found]
    return [say("screen.file", value=f"{judgement.value:.1f}"), *simulated]


def _answers(found: Baseline) -> Iterator[Message]:
    if found.metric is not None:
        both = (found.metric.quantized, found.metric.reference)
        value, plain = ("∞" if each is None else f"{each:.4g}" for each in both)
        yield say("screen.metric", name=found.metric.name, value=value, float=plain)
    if found.accuracy_quantized is not None and found.accuracy_float is not None:
        both = (found.accuracy_quantized, found.accuracy_float)
        value, plain = (f"{each:.1%}" for each in both)
        yield say("screen.accuracy", value=value, float=plain)
    if found.telling_agreement is not None:
        yield say("screen.agreement", value=f"{found.telling_agreement:.1%}")


def _noise(found: Baseline) -> Iterator[Message]:
    if found.sqnr_db is None:
        yield say("screen.exact")
    else:
        yield say("screen.sqnr", value=f"{found.sqnr_db:.1f}")


def _interval(found: Baseline, samples: int) -> Message | None:
    right = found.accuracy_quantized
    share = found.telling_agreement if right is None else right
    count = (found.answers if right is None else found.labelled) or samples
    if share is None or not 0 < count < FEW:
        return None
    low, high = (f"{end:.0%}" for end in wilson(share, count))
    return say("screen.interval", low=low, high=high)


def moved(outcome: Outcome) -> list[Message]:
    """The same figures before and after a recovery."""
    return _moved(outcome.before, outcome.after)


def tried(before: Diagnosis, after: Diagnosis) -> list[Message]:
    """What settings have changed, measured and predicted; nothing where samples or model differ."""
    same = (before.model.sha256, before.judged_on.sha256, before.target.name)
    if same != (after.model.sha256, after.judged_on.sha256, after.target.name):
        return []
    wishes = _wishes(after.command)
    predicted = [f.gain_db for f in before.findings if wishes and _wishes(f.command) == wishes]
    found = _moved(before.baseline, after.baseline)
    return [*found, *(say("screen.predicted", gain=f"{gain:+.1f}") for gain in predicted[:1])]


def _wishes(command: str) -> frozenset[str]:
    line = CommandLine.parse(command)
    return frozenset(v for n, v in line.options if n == "--set") if line else frozenset()


def _moved(before: Baseline, after: Baseline) -> list[Message]:
    """Figures that both have; right answers stand for equal ones, which tables have."""
    found: list[Message] = []
    if before.metric is not None and after.metric is not None:
        ends = (before.metric.quantized, after.metric.quantized)
        first, last = ("∞" if each is None else f"{each:.4g}" for each in ends)
        found.append(say("screen.moved_metric", name=before.metric.name, before=first, after=last))
    shares = (
        ("accuracy", before.accuracy_quantized, after.accuracy_quantized),
        ("agreement", before.agreement, after.agreement),
    )
    known = [(code, a, b) for code, a, b in shares if a is not None and b is not None]
    for code, a, b in known[:1]:
        found.append(say(f"screen.moved_{code}", before=f"{a:.1%}", after=f"{b:.1%}"))
    found += _moved_part(before, after)
    if before.sqnr_db is not None and after.sqnr_db is not None:
        told = {"before": f"{before.sqnr_db:.1f}", "after": f"{after.sqnr_db:.1f}"}
        found.append(say("screen.moved_sqnr", **told))
    return found


def _moved_part(before: Baseline, after: Baseline) -> Iterator[Message]:
    """The part that decides, where it lost far more than the whole."""
    if (pair := parted(before, after)) is not None:
        first, last = ("∞" if p.sqnr_db is None else f"{p.sqnr_db:.1f}" for p in pair)
        yield say("screen.moved_part", part=pair[0].name, before=first, after=last)


def reason(verdict: Message) -> Message:
    """What the verdict says beyond the figures: the cause, or what stands in its place."""
    if verdict.code == _TOGETHER:
        second = verdict.figures["second"]
        return reason(second) if isinstance(second, Message) else verdict
    if verdict.code == _BOTH:
        cause = verdict.figures["cause"]
        return cause if isinstance(cause, Message) else verdict
    if verdict.code in _BRIEF:  # a whole finding, of which the screen has a line
        code, names = _BRIEF[verdict.code]
        return say(code, **{name: verdict.figures[name] for name in names})
    return verdict


def expected(verdict: Message) -> str | None:
    """Decibels that fixing the cause should gain, as the verdict tells them; None without."""
    if verdict.code == _GAIN:
        return str(verdict.figures["gain"])
    parts = (each for each in verdict.figures.values() if isinstance(each, Message))
    return next((gain for gain in map(expected, parts) if gain is not None), None)
