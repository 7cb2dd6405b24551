"""What the page leads with, the commands that it shows, and the columns of its table."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.language import verbatim
from lostbits.reporters import Html
from lostbits.reporters.headline import moved
from lostbits.reporters.html import formats, tables
from lostbits.reporters.html.commands import parts
from lostbits.reporters.html.outcome import key_figures
from lostbits.reporters.html.tables import Row, columns
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.recovery import Attempt, Outcome
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.output_figures import Kind, MetricFigures, OutputFigures, PartFigures
from made_results import diagnosis, site

BEFORE = Baseline(4.46, 0.6, 0.76, 0.993, 0.762, answers=450, labelled=450)
AFTER = Baseline(None, 0.0, 1.0, 0.993, 0.991, answers=450, labelled=450)


def metric(value: float | None) -> MetricFigures:
    return MetricFigures("mine:mAP", value, 0.5)


def recovered(before: Baseline, after: Baseline, **others: Any) -> Diagnosis:
    outcome = Outcome(before, after, verbatim("."), None, {}, [], verbatim("."))
    return diagnosis(["x"], recovered=outcome, baseline=before, **others)


def test_a_diagnosis_leads_with_the_accuracy() -> None:
    found = key_figures(diagnosis(["x"], baseline=BEFORE))
    assert [each.kind for each in found] == ["accuracy", "agreement", "sqnr", "kl"]
    first = found[0]
    assert (first.before, first.after, first.plain, first.answers) == ("76.2%", "", "99.3%", 450)


def test_a_recovery_leads_with_before_and_after_of_the_same_samples() -> None:
    other = replace(BEFORE, accuracy_quantized=0.1)  # of samples that judged nothing
    found = key_figures(replace(recovered(BEFORE, AFTER), baseline=other))
    assert (found[0].before, found[0].after) == ("76.2%", "99.1%")
    assert (found[2].before, found[2].after) == ("4.5 dB", "∞")


def test_a_metric_of_the_user_comes_first() -> None:
    before, after = replace(BEFORE, metric=metric(0.25)), replace(AFTER, metric=metric(None))
    first = key_figures(recovered(before, after))[0]
    assert first == ("metric", "mine:mAP", "0.25", "∞", "0.5", 0)


def test_without_answers_the_output_itself_is_told() -> None:
    found = key_figures(diagnosis(["x"], baseline=Baseline(12.0, None, None)))
    assert [(each.kind, each.before) for each in found] == [("sqnr", "12.0 dB")]


def split(whole: float, boxes: float, scores: float) -> Baseline:
    found = [PartFigures("y[:, :4]", boxes), PartFigures("y[:, 4:]", scores)]
    return Baseline(whole, None, None, outputs=[OutputFigures("y", Kind.DETECTIONS, whole, found)])


def test_a_part_that_decides_stands_before_the_whole_on_page_and_screen() -> None:
    before, after = split(37.0, 38.0, 12.8), split(50.0, 47.0, 48.0)
    result = recovered(before, after)
    first = key_figures(result)[0]
    assert first == ("part", "y[:, 4:]", "12.8 dB", "48.0 dB", "", 0)
    assert "y[:, 4:]" in Html().render(result) and result.recovered is not None
    told = [str(each) for each in moved(result.recovered)]
    assert told == ["y[:, 4:] 12.8 -> 48.0 dB", "SQNR 37.0 -> 50.0 dB"]


def test_a_part_that_is_near_the_whole_is_not_told() -> None:
    before = split(20.0, 21.0, 12.8)
    assert [each.kind for each in key_figures(recovered(before, before))] == ["sqnr"]


def test_attempts_tell_the_metric_that_decides() -> None:
    before, after = replace(BEFORE, metric=metric(0.25)), replace(AFTER, metric=metric(0.45))
    attempt = Attempt("ranges", "network", 1.0, before, after, True, 1.0, verbatim("."), {}, 1.0)
    page = Html().render(recovered(before, after, ledger=[attempt]))
    assert "<dt>mine:mAP</dt><dd>0.25 → 0.45</dd>" in page
    plain = replace(attempt, before=BEFORE, after=AFTER)
    assert "mine:mAP" not in Html().render(recovered(BEFORE, AFTER, ledger=[plain]))


WORD = st.from_regex(r"(--)?[a-z][a-z0-9./=]{0,8}", fullmatch=True) | st.just('"a b"')


@given(st.lists(WORD, max_size=12), st.lists(WORD, max_size=12))
def test_parts_joined_are_the_command(words: list[str], usual: list[str]) -> None:
    command = " ".join(["lostbits", "diagnose", *words])
    assert " ".join(part.text for part in parts(command, " ".join(usual))) == command


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("lostbits diagnose n.onnx --data d --set a=float", ["--set a=float"]),
        ("lostbits recover n.onnx --data d --out recovered", ["--out recovered"]),
        ("lostbits diagnose n.onnx --data e", ["--data e"]),
        ("lostbits diagnose n.onnx --data d", []),
        ("lostbits diagnose n.onnx --data d --set 'a b=float'", ["--set 'a b=float'"]),
    ],
)
def test_what_differs_is_told(command: str, own: list[str]) -> None:
    found = parts(command, "lostbits diagnose n.onnx --data d")
    assert [part.text for part in found[2:] if part.own] == own


def ranked(*sites: Any) -> list[Row]:
    return tables.rows(diagnosis(["x"], sites=list(sites)))


def shown(rows: list[Row]) -> set[str]:
    return {column.code for column in columns(rows) if column.shown}


def test_columns_without_anything_to_tell_are_hidden() -> None:
    told = shown(ranked(site("a"), site("b")))
    assert {"column.tensor", "column.share", "column.sqnr"} <= told
    assert not {"step.granularity", "column.codes", "column.mse", "column.node"} & told
    assert "column.node" in shown(ranked(site("onnx::Conv_1", "weight", "conv")))


def test_what_is_worst_comes_first() -> None:
    first = {column.code: column.first for column in columns(ranked(site("a")))}
    assert (first["column.sqnr"], first["column.share"]) == ("ascending", "descending")


def test_a_tensor_without_a_name_of_its_own_is_called_by_its_layer() -> None:
    rows = ranked(site("onnx::Conv_1", "weight", "conv"), site("b", "weight", "other"))
    assert [row.label for row in rows] == ["conv", "b"]


@given(st.floats(1e-300, 1e300))
def test_levels_are_decibels(ratio: float) -> None:
    assert formats.level_db(ratio) == pytest.approx(10 * math.log10(ratio))
    assert formats.level(ratio).endswith(" dB")
