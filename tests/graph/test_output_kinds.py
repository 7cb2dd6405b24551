"""What outputs mean, by the end of their graph alone."""

import numpy as np
import onnx
import pytest

from lostbits.errors import TargetError
from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.output_kinds import Kind
from lostbits.graph.told_outputs import Told
from output_nets import detector, segments, sentences, top_candidates, turned_detector
from text_models import normal, proto, random


def kinds(model: onnx.ModelProto) -> list[str]:
    return [each.kind.value for each in compared_outputs(normal(model).graph)]


def ending(text: str, shape: str, **more: np.ndarray) -> onnx.ModelProto:
    """A network of a layer and an end, whose output ``y`` has that shape."""
    return proto(f"net (float[N, 8] x) => (float[{shape}] y) {{ {text} }}", **more)


def pictures(text: str, shape: str, **more: np.ndarray) -> onnx.ModelProto:
    return proto(f"net (float[N, 8, 12, 12] x) => (float[{shape}] y) {{ {text} }}", **more)


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        ("h = Gemm(x, w) y = Softmax(h)", "N, 10", "classes"),
        ("y = Gemm(x, w)", "N, 10", "classes"),
        ("h = Gemm(x, w) y = Sigmoid(h)", "N, 10", "classes"),
        ("y = Gemm(x, wide)", "N, 64", "embedding"),
        ("h = Gemm(x, w) y = Tanh(h)", "N, 10", "embedding"),
        ("h = Gemm(x, w) n = ReduceL2<axes=[1]>(h) y = Div(h, n)", "N, 10", "embedding"),
        ("h = Gemm(x, one) y = Sigmoid(h)", "N, 1", "other"),
        ("h = Gemm(x, w) y = Neg(h)", "N, 10", "other"),
    ],
)
def test_rows(text: str, shape: str, wanted: str) -> None:
    weights = {"w": random(8, 10), "wide": random(8, 64), "one": random(8, 1)}
    used = {name: array for name, array in weights.items() if f" {name})" in text}
    assert kinds(ending(text, shape, **used)) == [wanted]


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        ("y = Conv(x, three)", "N, 3, 12, 12", "image"),
        ("h = Conv(x, many) y = Sigmoid(h)", "N, 20, 12, 12", "image"),
        ("y = Conv(x, many)", "N, 20, 12, 12", "other"),
        ("h = Conv(x, three) y = Transpose<perm=[0, 2, 3, 1]>(h)", "N, 12, 12, 3", "image"),
        ("h = Conv(x, many) y = GlobalAveragePool(h)", "N, 20, 1, 1", "other"),
    ],
)
def test_planes(text: str, shape: str, wanted: str) -> None:
    weights = {"three": random(3, 8, 1, 1), "many": random(20, 8, 1, 1)}
    used = {name: array for name, array in weights.items() if f" {name})" in text}
    assert kinds(pictures(text, shape, **used)) == [wanted]


def test_a_box_beside_a_class_of_a_face_has_no_answer() -> None:
    """As O-Net: what stands beside a Softmax is regression, however wide."""
    model = proto(
        """net (float[N, 8] x) => (float[N, 4] box, float[N, 10] marks, float[N, 2] face) {
            box = Gemm(x, wb) marks = Gemm(x, wm) h = Gemm(x, wf) face = Softmax(h) }""",
        wb=random(8, 4),
        wm=random(8, 10),
        wf=random(8, 2),
    )
    assert kinds(model) == ["other", "other", "classes"]


def test_what_several_may_be_set_at_a_step_has_no_answer() -> None:
    """As notes of a piano: a step without any would have the largest of nothing for an answer."""
    text = "h = MatMul(x, w) y = Sigmoid(h)"
    rolls = f"net (float[N, T, 8] x) => (float[N, T, 88] y) {{ {text} }}"
    assert kinds(proto(rolls, w=random(8, 88))) == ["other"]
    more = f"{text} z = ArgMax<axis=2, keepdims=0>(y)"
    chosen = f"net (float[N, T, 8] x) => (float[N, T, 88] y, int64[N, T] z) {{ {more} }}"
    assert kinds(proto(chosen, w=random(8, 88)))[0] == "sequence"


def test_tokens_are_embeddings_or_classes() -> None:
    assert kinds(sentences()) == ["embedding"]
    assert kinds(sentences(length=True)) == ["sequence"]


def test_tokens_behind_those_of_before_are_no_detections() -> None:
    model = proto(
        """net (float[N, 4, 16] new, float[N, P, 16] past) => (float[N, T, 16] all) {
            h = MatMul(new, w) all = Concat<axis=1>(past, h) }""",
        w=random(16, 16),
    )
    assert kinds(model) == ["other"]


def test_boxes_and_scores() -> None:
    assert kinds(detector()) == kinds(turned_detector()) == ["detections"]
    assert kinds(top_candidates()) == ["detections", "detections"]
    assert kinds(segments()) == ["image"]


def test_boxes_and_scores_in_two_outputs_are_not_taken_apart() -> None:
    """Scores of nine classes: their first four are no box."""
    model = proto(
        """net (float[N, 50, 8] x) => (float[N, 50, 4] boxes, float[N, 50, 9] scores) {
            boxes = MatMul(x, wb) h = MatMul(x, ws) scores = Sigmoid(h) }""",
        wb=random(8, 4),
        ws=random(8, 9),
    )
    for told in (Told(), Told({"scores": "detections"})):
        found = compared_outputs(normal(model).graph, told)
        assert {each.kind for each in found} == {Kind.DETECTIONS}
        assert [len(each.parts) for each in found] == [1, 1]


def test_what_is_told_holds() -> None:
    graph = normal(ending("h = Gemm(x, w) y = Neg(h)", "N, 10", w=random(8, 10))).graph
    (told,) = compared_outputs(graph, Told({"y": "detections"}))
    assert (told.kind, [p.name for p in told.parts]) == (Kind.DETECTIONS, ["y[:, :4]", "y[:, 4:]"])


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (Told({"z": "classes"}), "T040"),
        (Told({"y": "klasses"}), "T041"),
        (Told({"y": "sequence"}), "T042"),
        (Told({"y": "image"}), "T042"),
        (Told({}, {"y": "w"}), "T043"),
        (Told({}, {"z": "x"}), "T040"),
    ],
)
def test_what_cannot_be_is_refused(told: Told, code: str) -> None:
    graph = normal(ending("h = Gemm(x, w) y = Neg(h)", "N, 10", w=random(8, 10))).graph
    with pytest.raises(TargetError, match=code):
        compared_outputs(graph, told)


@pytest.mark.parametrize("end", ["y = Softmax(s)", "i = ArgMax<axis = 0>(s) y = Cast<to = 1>(i)"])
def test_a_single_number_is_no_choice_of_classes(end: str) -> None:
    """Also where the file asks for the largest of it."""
    nodes = f"h = Gemm(x, w) s = ReduceMean<keepdims = 0>(h) {end}"
    model = proto(f"net (float[N, 8] x) => (float y, float s) {{ {nodes} }}", w=random(8, 10))
    assert kinds(model)[-1] == "other"
