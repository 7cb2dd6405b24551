"""The rules of the verdict, by figures alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lostbits.diagnoses.judgement import judged, judged_by_file
from lostbits.results.judgement import Grade
from lostbits.runtime.goal import Goal
from lostbits.runtime.intervals import wilson
from lostbits.runtime.metrics import Baseline, Comparison
from lostbits.runtime.output_figures import Kind, MetricFigures, OutputFigures, PartFigures

GOOD, DEGRADED, BROKEN = Grade.GOOD, Grade.DEGRADED, Grade.BROKEN


def baseline(*outputs: OutputFigures, **figures: Any) -> Baseline:
    return replace(Baseline(20.0, None, None, outputs=list(outputs)), **figures)


def output(*parts: PartFigures, kind: Kind = Kind.OTHER) -> OutputFigures:
    return OutputFigures(parts[0].name, kind, parts[0].sqnr_db, list(parts))


PLAIN = output(PartFigures("y", 40.0))
LOW = output(PartFigures("y", 4.0))


@pytest.mark.parametrize(
    ("figures", "grade", "by"),
    [
        ({"accuracy_float": 0.9, "accuracy_quantized": 0.895, "labelled": 400}, GOOD, "accuracy"),
        (
            {"accuracy_float": 0.9, "accuracy_quantized": 0.85, "labelled": 400},
            DEGRADED,
            "accuracy",
        ),
        ({"accuracy_float": 0.993, "accuracy_quantized": 0.762}, BROKEN, "accuracy"),
        ({"metric": MetricFigures("m", 0.995, 1.0), "accuracy_float": 0.1}, GOOD, "metric"),
        ({"metric": MetricFigures("m", -2.1, -2.0)}, DEGRADED, "metric"),
        ({"metric": MetricFigures("m", 0.5, 1.0), "agreement": 1.0}, BROKEN, "metric"),
        ({"metric": MetricFigures("m", 20.0, None), "agreement": 1.0}, GOOD, "agreement"),
        ({"agreement": 1.0, "answers": 32}, GOOD, "agreement"),
        ({"agreement": 0.95, "answers": 32}, DEGRADED, "agreement"),
        ({"agreement": 0.76, "answers": 450}, BROKEN, "agreement"),
        ({"sqnr_db": 4.0, "outputs": [LOW]}, BROKEN, "sqnr_db"),
        ({"sqnr_db": 4.0, "outputs": []}, BROKEN, "sqnr_db"),
        ({"sqnr_db": None, "outputs": []}, GOOD, "equal"),
    ],
)
def test_every_rule(figures: dict[str, Any], grade: Grade, by: str) -> None:
    found = judged(baseline(PLAIN, **figures), 32, matched=1)
    assert (found.grade, found.by) == (grade, by)


def test_the_worst_part_of_the_other_outputs_counts_beside_the_answers() -> None:
    boxes = output(PartFigures("boxes", 40.0), PartFigures("boxes[4:]", 5.0))
    found = judged(baseline(PLAIN, boxes, agreement=1.0), 32, matched=1)
    assert (found.grade, found.where) == (BROKEN, "boxes[4:]")


def test_equal_answers_do_not_save_an_output_that_is_gone() -> None:
    gone = output(PartFigures("y", 0.3))
    found = judged(baseline(gone, agreement=1.0), 32, matched=1)
    assert (found.grade, found.by) == (BROKEN, "sqnr_db")


def test_an_embedding_has_no_answers() -> None:
    vector = output(PartFigures("v", 8.0), kind=Kind.EMBEDDING)
    assert judged(baseline(vector, agreement=1.0), 32, matched=1).by == "sqnr_db"


def test_a_dead_part_is_broken_whatever_its_ratio() -> None:
    scores = output(PartFigures("boxes", 40.0), PartFigures("scores", 30.0, dead=True))
    found = judged(baseline(scores), 8, matched=1)
    assert (found.grade, found.by, found.where) == (BROKEN, "dead_part", "scores")


def test_labels_at_chance_say_nothing() -> None:
    figures = baseline(PLAIN, agreement=1.0, accuracy_float=0.1, accuracy_quantized=0.0)
    assert judged(figures, 32, matched=1, at_chance=True).by == "agreement"


def test_a_plan_without_a_match_gets_no_verdict() -> None:
    found = judged(baseline(PLAIN), 32, matched=0)
    assert (found.grade, found.by) == (None, "nothing_matched")


@pytest.mark.parametrize(
    ("goal", "grade", "met"), [(">=50", DEGRADED, False), (">=30", GOOD, True)]
)
def test_a_goal_that_is_missed_is_never_good(goal: str, grade: Grade, met: bool) -> None:
    found = judged(
        baseline(PLAIN, sqnr_db=40.0), 32, matched=1, goals=[Goal.parse("sqnr_db" + goal)]
    )
    assert (found.grade, found.goal_met) == (grade, met)


@pytest.mark.parametrize(("count", "given"), [(199, True), (200, False)])
def test_few_answers_come_with_an_interval(count: int, given: bool) -> None:
    found = judged(baseline(PLAIN, agreement=0.9, answers=count), count, matched=1)
    assert (found.interval is not None) == given


def test_wilson_solves_its_equation() -> None:
    share, count, normal = 0.8, 50, 1.959963984540054
    for end in wilson(share, count):
        assert abs(share - end) == pytest.approx(normal * (end * (1 - end) / count) ** 0.5)


def test_one_answer_for_all_samples_says_nothing() -> None:
    kept = baseline(LOW, agreement=1.0, answers=48)
    assert judged(kept, 48, matched=1).grade is GOOD
    found = judged(replace(kept, one_answer=True), 48, matched=1)
    assert (found.grade, found.by) == (BROKEN, "sqnr_db")
    lost = judged(replace(kept, one_answer=True, agreement=0.5), 48, matched=1)
    assert (lost.grade, lost.by) == (BROKEN, "agreement")


@pytest.mark.parametrize(("answers", "one"), [([1, 1, 1], True), ([0, 1, 1], False)])
def test_one_answer_is_seen_over_batches_and_workers(answers: list[int], one: bool) -> None:
    rows = np.eye(3, dtype=np.float32)[answers]
    parts = [Comparison().update([r[None]], [r[None]], range(i, i + 1)) for i, r in enumerate(rows)]
    whole = parts[0].merge(parts[1]).merge(parts[2])
    assert whole.baseline(["y"]).one_answer is one


@pytest.mark.parametrize(
    ("figures", "own_db", "grade"),
    [
        ({"outputs": []}, 30.0, DEGRADED),  # the simulation is at 20 dB
        ({"outputs": []}, 9.9, BROKEN),
        ({"agreement": 1.0, "answers": 400}, 12.0, GOOD),
        ({"agreement": 1.0, "answers": 400}, 9.0, DEGRADED),
        ({"agreement": 1.0, "answers": 400}, 2.0, BROKEN),
        ({"agreement": 0.5, "answers": 400}, 9.0, BROKEN),
    ],
)
def test_a_file_is_judged_by_its_own_run_where_that_is_worse(
    figures: dict[str, Any], own_db: float, grade: Grade
) -> None:
    simulated = judged(baseline(PLAIN, **figures), 32, matched=1)
    found = judged_by_file(simulated, own_db, 8)
    assert found.grade is grade
    if found != simulated:
        assert (found.by, found.value, found.samples) == ("file", own_db, 8)
        assert found.why.code == "grade.file"
