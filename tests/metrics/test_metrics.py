"""Metrics, beside closed forms and counts by hand."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from lostbits.errors import DataError, LostbitsError, SimulationError
from lostbits.metric import Answers, Custom, Metric, check_repeats, figure_of, joined
from lostbits.metrics import ALL, Words, metric
from lostbits.metrics.boxes import Found
from lostbits.metrics.detections import average_precision
from lostbits.runtime.output_figures import Kind

FORMS: dict[str, Any] = {
    "images": ("psnr", "ssim", "mask_iou", "miou"),
    "boxes": ("matched", "map"),
    "lines": ("ctc", "cer", "wer"),
}


def answers(floats: Any, outputs: Any = None, labels: Any = None) -> Answers:
    plain = np.asarray(floats, np.float32)
    other = plain if outputs is None else np.asarray(outputs, np.float32)
    return Answers({"y": other}, {"y": plain}, {}, None if labels is None else np.asarray(labels))


def example(name: str, random: np.random.Generator) -> Answers:
    """Answers of a float network that are right, for any metric."""
    if name in FORMS["images"]:
        x = random.normal(size=(3, 4, 16, 16))
        return answers(x, labels=x.argmax(1))
    if name in FORMS["boxes"]:
        corner = 10 * np.arange(12).reshape(1, 12, 1) + np.zeros((2, 12, 2))
        scores = np.eye(3)[np.arange(24).reshape(2, 12) % 3] * 0.9
        boxes = np.concatenate([corner, corner + 8], -1)
        rows = np.concatenate([scores.argmax(-1)[..., None], boxes], -1)
        return answers(np.concatenate([boxes, scores], -1), labels=rows)
    if name in FORMS["lines"]:
        lines = np.array([[1, 0, 1, 2, 2, 0], [3, 3, 0, 0, 1, 0]])
        return answers(np.eye(4)[lines], labels=[[1, 1, 2], [3, 1, -1]])
    x = random.normal(size=(8, 10))
    return answers(x, labels=x.argmax(-1))


def test_float_is_perfect_by_every_metric_and_noise_is_not(random: np.random.Generator) -> None:
    for member in ALL:
        if member.name == "map" and importlib.util.find_spec("pycocotools") is None:
            continue
        right = example(member.name, random)
        best = check_repeats(member, right)
        assert best == pytest.approx(member.range[1]), member.name
        noise = random.normal(size=right.outputs["y"].shape) * 300
        worse = Answers({"y": right.outputs["y"] + noise}, right.floats, {}, right.labels)
        assert member.range[0] <= figure_of(member, worse) < best, member.name


def test_members_say_what_they_are() -> None:
    assert len({m.name for m in ALL}) == len(ALL)
    for member in ALL:
        assert member.title and member.source and {*member.kinds} <= {*Kind}
        assert metric(member.name) is member


@pytest.mark.parametrize(
    ("name", "floats", "outputs", "labels", "value"),
    [
        ("sqnr", [[3.0, 4.0]], [[3.0, 4.5]], None, 20.0),
        ("agreement", [[0, 1], [1, 0]], [[0, 1], [0, 1]], None, 0.5),
        ("cosine", [[1, 0]], [[1, 1]], None, 0.5**0.5),
        ("retrieval", [[1, 0], [0, 1]], [[0.1, 1], [0, 1]], None, 0.75),
        ("kl", [[0, 0]], [[np.log(3), 0]], None, -0.5 * np.log(4 / 3)),
        ("psnr", [[[0, 1], [0, 1]]], [[[0.1, 1.1], [0.1, 1.1]]], None, 20.0),
        ("mask_iou", [[[1.0, 0], [0, 0]]], [[[1, 1], [0, 0]]], None, (1 / 2 + 2 / 3) / 2),
        ("accuracy", [[0, 1], [0, 1]], None, [1, 0], 0.5),
        ("top5", [np.arange(7.0), np.arange(7.0)], None, [2, 1], 0.5),
        ("miou", [[[1.0, 0], [1, 0]]], None, [[[1, 1], [-1, 0]]], 0.5),
        ("ctc", [np.eye(3)[[1, 0, 1, 2]]], [np.eye(3)[[1, 1, 1, 2]]], None, 2 / 3),
        ("cer", [np.eye(3)[[1, 0, 1, 2]]], None, [[1, 2, -1]], 0.5),
    ],
)
def test_figures(name: str, floats: Any, outputs: Any, labels: Any, value: float) -> None:
    found = figure_of(metric(name), answers(floats, outputs, labels))
    assert found == pytest.approx(value, rel=1e-5)


def test_words_end_at_spaces() -> None:
    lines = answers(np.eye(4)[[[1, 3, 2]]], labels=[[1, 3, 1]])
    assert figure_of(Words(space=3), lines) == pytest.approx(0.5)
    assert figure_of(Words(), lines) == 0


@pytest.mark.parametrize("corners", [True, False])
def test_boxes_are_matched_once_and_those_that_overlap_count_once(corners: bool) -> None:
    """Of four boxes one is moved away; the last two overlap by 0.68, so both count."""
    ends = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50], [41, 41, 51, 51.0]])
    moved = ends + np.array([[0], [0], [0], [0]]) + 100 * (np.arange(4) == 1)[:, None]
    scores = np.array([0.9, 0.8, 0.7, 0.3])[:, None]

    def form(boxes: Any) -> Any:
        half = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        rows = np.concatenate([boxes if corners else half, scores], 1)
        return np.concatenate([rows, np.zeros((6, 5))])[None].transpose(0, 2, 1)

    found = figure_of(metric("matched"), answers(form(ends), form(moved)))
    assert found == pytest.approx(2 * 3 / 8)


def test_a_precision_by_the_programs_of_coco() -> None:
    pytest.importorskip("pycocotools")
    one = Found(np.array([[0.0, 0, 10, 10]]), np.array([0.9]), np.array([0]))
    none = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    labels = np.array([[[0.0, 0, 0, 10, 10]], [[0.0, 50, 50, 60, 60]]])
    found = average_precision([one, none], labels, 1)
    assert found == pytest.approx(51 / 101)  # of 101 recalls, those up to a half are reached


@pytest.mark.parametrize("name", ["accuracy", "top5", "miou", "map", "cer", "wer"])
def test_labels_that_do_not_fit_are_refused(name: str, random: np.random.Generator) -> None:
    right = example(name, random)
    for labels in (None, np.zeros((2, 3, 4, 5)), np.array(["a"] * 8)):
        with pytest.raises(DataError, match="D047"):
            figure_of(metric(name), Answers(right.outputs, right.floats, {}, labels))


@pytest.mark.parametrize("name", ["agreement", "cosine", "psnr", "matched", "ctc"])
def test_outputs_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="D048"):
        figure_of(metric(name), answers(np.zeros(4)))


def test_functions_that_are_no_metric_are_refused() -> None:
    given, state = example("sqnr", np.random.default_rng(0)), iter(range(9))
    wrong: list[tuple[Any, str]] = [
        (lambda o, s, t: 1 / 0, "S021"),
        (lambda o, s, t: "good", "S021"),
        (lambda o, s, t: float("nan"), "S022"),
        (lambda o, s, t: -np.inf, "S022"),
        (lambda o, s, t: next(state), "S023"),
    ]
    for function, code in wrong:
        with pytest.raises(SimulationError, match=code):
            check_repeats(metric(function), given)


def test_a_function_may_change_what_it_is_given() -> None:
    def spoil(outputs: dict[str, Any], samples: Any, labels: Any) -> float:
        outputs["y"] += 1
        return float(outputs["y"].sum())

    check_repeats(Custom(spoil, "spoil"), answers(np.zeros((2, 2))))


@pytest.mark.parametrize(
    ("given", "code"),
    [("cosin", "T007"), ("no.module:there", "D016"), (Metric, "P004"), (3, "P004")],
)
def test_what_is_no_metric_is_named(given: Any, code: str) -> None:
    with pytest.raises(LostbitsError, match=code):
        metric(given)


def test_batches_are_joined_by_sample() -> None:
    parts = [{"y": np.zeros((2, 3))}, {"y": np.ones((1, 4))}]
    found = joined(parts, [2, 1])["y"]
    assert found.dtype == object and [x.shape for x in found] == [(3,), (3,), (4,)]
    with pytest.raises(DataError, match=r"D048"):
        joined([{"y": np.zeros((5, 7))}], [2])
