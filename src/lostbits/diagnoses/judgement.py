"""Good, degraded or broken: rules that docs/verdict.md writes down.

The user's metric decides alone, where there is one. Else labels count first, then answers that
stay the same, then the part of an output that is farthest from float. An output that has answers
is judged by them; every other output by its worst part. The worst of these grades is that of the
network, and a goal that is missed is never good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, final

from lostbits.language import Message, say
from lostbits.results.judgement import Grade, Ground, Judgement
from lostbits.runtime.goal import Goal
from lostbits.runtime.intervals import FEW, wilson
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.output_figures import Kind, OutputFigures, worst

# One answer in a hundred is what good int8 networks lose in published tables; one in ten is more
# than any of them calls usable.
_GOOD_DROP, _BROKEN_DROP = 0.01, 0.10
_GOOD_AGREEMENT, _BROKEN_AGREEMENT = 0.99, 0.90
# The error has 0.3 % of the signal's power at 25 dB, and a tenth at 10 dB.
GOOD_DB, _BROKEN_DB = 25.0, 10.0
_GONE_DB = 3.0  # more than half of the output is error

_BY_ANSWERS = ("metric", "accuracy", "agreement")  # which bear more noise than values do
_ANSWERING = {Kind.CLASSES, Kind.SEQUENCE, Kind.OTHER}
_ORDER = (Grade.GOOD, Grade.DEGRADED, Grade.BROKEN)


@final
class _Ruled(NamedTuple):
    """What one rule says."""

    grade: Grade
    by: Ground
    where: str
    value: float | None
    reference: float | None = None
    samples: int = 0


def judged(
    baseline: Baseline,
    samples: int,
    *,
    matched: int,
    at_chance: bool = False,
    goals: Sequence[Goal] = (),
) -> Judgement:
    """The verdict of a network.

    Args:
        baseline: Its figures.
        samples: That they were measured on.
        matched: Sites that have parameters; of none nothing can be said.
        at_chance: Whether float answers as by chance, so that labels say nothing.
        goals: What was to be reached.
    """
    asked = ", ".join(map(str, goals))
    met = all([goal.met(baseline) for goal in goals]) if goals else None
    if not matched:
        why = say("grade.nothing_matched")
        return Judgement(None, "nothing_matched", "", None, None, samples, None, asked, met, why)
    ruled = max(_rules(baseline, samples, at_chance), key=lambda each: _ORDER.index(each.grade))
    if met is False and ruled.grade is Grade.GOOD:
        ruled = ruled._replace(grade=Grade.DEGRADED)
    few = ruled.by in ("accuracy", "agreement") and 0 < ruled.samples < FEW
    interval = list(wilson(ruled.value or 0.0, ruled.samples)) if few else None
    why = _in_words(ruled, asked, met)
    return Judgement(
        ruled.grade,
        ruled.by,
        ruled.where,
        ruled.value,
        ruled.reference,
        ruled.samples,
        interval,
        asked,
        met,
        why,
    )


def judged_by_file(found: Judgement, sqnr_db: float, samples: int) -> Judgement:
    """The verdict of a simulation, or the worse one of the file itself that was run beside it.

    Args:
        found: Of the simulation.
        sqnr_db: Of the file against float.
        samples: That it was run on.
    """
    bounds = (_BROKEN_DB, _GONE_DB) if found.by in _BY_ANSWERS else (GOOD_DB, _BROKEN_DB)
    grade = _grade(sqnr_db, *bounds)
    if found.grade is None or _ORDER.index(grade) <= _ORDER.index(found.grade):
        return found
    why = say("grade.file", value=f"{sqnr_db:.1f}", samples=str(samples))
    own = replace(found, grade=grade, by="file", value=sqnr_db, samples=samples, why=why)
    return replace(own, where="", reference=None, interval=None)


def _rules(baseline: Baseline, samples: int, at_chance: bool) -> Iterator[_Ruled]:
    """The user's metric alone; else of the output with answers, and the worst of all others."""
    own = _of_metric(baseline, samples)
    if own is not None:
        yield own
        return
    outputs = list(baseline.outputs)
    answers = _answers(baseline, samples, at_chance)
    if answers is not None:
        yield answers
        yield from _nothing_left(outputs[:1], answers, samples)
        outputs = outputs[1:]
    dead = [part for output in outputs for part in output.parts if part.dead]
    if dead:
        yield _Ruled(Grade.BROKEN, "dead_part", dead[0].name, dead[0].sqnr_db, None, samples)
    part = worst(outputs)
    if part is not None and part.sqnr_db is not None:
        grade = _grade(part.sqnr_db, GOOD_DB, _BROKEN_DB)
        yield _Ruled(grade, "sqnr_db", part.name, part.sqnr_db, None, samples)
    elif answers is None:
        yield _without_parts(baseline, samples)


def _of_metric(baseline: Baseline, samples: int) -> _Ruled | None:
    """By what it lost of the metric of float; None where that is no number, or nothing is."""
    found = baseline.metric
    if found is None or found.quantized is None or not found.reference:
        return None
    kept = (found.quantized - found.reference) / abs(found.reference)
    grade = _grade(kept, -_GOOD_DROP, -_BROKEN_DROP)
    return _Ruled(grade, "metric", found.name, found.quantized, found.reference, samples)


def _nothing_left(
    outputs: Sequence[OutputFigures], answers: _Ruled, samples: int
) -> Iterator[_Ruled]:
    """Answers that never change tell nothing of a network whose output is gone; labels would."""
    part = worst(outputs)
    if answers.by == "agreement" and part is not None and (part.sqnr_db or 0.0) < _GONE_DB:
        yield _Ruled(Grade.BROKEN, "sqnr_db", part.name, part.sqnr_db, None, samples)


def _without_parts(baseline: Baseline, samples: int) -> _Ruled:
    """By the outputs together, as a result of an older version has them."""
    if baseline.sqnr_db is None:
        return _Ruled(Grade.GOOD, "equal", "", None, None, samples)
    grade = _grade(baseline.sqnr_db, GOOD_DB, _BROKEN_DB)
    return _Ruled(grade, "sqnr_db", "", baseline.sqnr_db, None, samples)


def _answers(baseline: Baseline, samples: int, at_chance: bool) -> _Ruled | None:
    """By labels, else by the answers of float; None where the first output has none."""
    where = baseline.outputs[0].name if baseline.outputs else ""
    right, plain = baseline.accuracy_quantized, baseline.accuracy_float
    if right is not None and plain is not None and not at_chance:
        grade = _grade(right - plain, -_GOOD_DROP, -_BROKEN_DROP)
        return _Ruled(grade, "accuracy", where, right, plain, baseline.labelled or samples)
    kind = baseline.outputs[0].kind if baseline.outputs else Kind.OTHER
    share = baseline.telling_agreement
    if share is None or kind not in _ANSWERING:
        return None
    grade = _grade(share, _GOOD_AGREEMENT, _BROKEN_AGREEMENT)
    count = baseline.answers or samples
    return _Ruled(grade, "agreement", where, share, None, count)


def _grade(value: float, good: float, broken: float) -> Grade:
    """Shares are sums of floats: what misses a bound by rounding keeps it."""
    tiny = 1e-9
    if value >= good - tiny:
        return Grade.GOOD
    return Grade.DEGRADED if value >= broken - tiny else Grade.BROKEN


def _in_words(ruled: _Ruled, goal: str, met: bool | None) -> Message:
    names = {"where": ruled.where, "samples": str(ruled.samples)}
    match ruled.by:
        case "accuracy":
            drop = 100 * ((ruled.reference or 0.0) - (ruled.value or 0.0))
            why = say("grade.accuracy", drop=f"{drop:.1f}", **names)
        case "agreement":
            why = say("grade.agreement", share=f"{ruled.value:.1%}", **names)
        case "metric":
            figures = {"value": f"{ruled.value:.4g}", "float": f"{ruled.reference:.4g}"}
            why = say("grade.metric", **figures, **names)
        case "sqnr_db":
            why = say("grade.sqnr_db", value=f"{ruled.value:.1f}", **names)
        case _:
            why = say(f"grade.{ruled.by}", **names)
    if met is None:
        return why
    return say(
        "grade.with_goal", why=why, goal=say("grade.met" if met else "grade.missed", goal=goal)
    )
