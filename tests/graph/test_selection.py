"""Outputs behind a choice, and the last tensors before it."""

import numpy as np
import pytest

from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.selection import candidates, chosen, not_shown, rows_chosen
from output_nets import detector, nonzero_rows, routed, segments, sentences, top_candidates
from text_models import normal, proto, random


@pytest.mark.parametrize(
    ("model", "behind", "before"),
    [
        (top_candidates(), ["found"], ["boxes_all", "scores_all"]),
        (nonzero_rows(), ["places"], ["scores_flat"]),
        (segments(), ["map"], ["logits"]),
        (routed(), [], []),
        (detector(), [], []),
        (sentences(), [], []),
    ],
)
def test_what_is_chosen_from(model: object, behind: list[str], before: list[str]) -> None:
    graph = normal(model).graph  # type: ignore[arg-type]
    assert [value.name for value in chosen(graph)] == behind
    assert [each.value.name for each in not_shown(candidates(graph), ())] == before


def test_an_output_that_shows_the_candidates_is_enough() -> None:
    """As case 40: NMS reads the scores turned, and they are an output as they were."""
    model = proto(
        """net (float[1, 64, 4] x) => (int64[K, 3] places, float[1, 64, 3] scores) {
            h = MatMul(x, w) scores = Sigmoid(h) t = Transpose<perm=[0, 2, 1]>(scores)
            boxes = MatMul(x, v)
            places = NonMaxSuppression(boxes, t, most, limit, limit) }""",
        w=random(4, 3),
        v=random(4, 4),
        most=np.array([5]),
        limit=np.array(0.4, np.float32),
    )
    graph = normal(model).graph
    assert [each.value.name for each in not_shown(candidates(graph), graph.outputs)] == ["boxes"]
    assert [each.name for each in compared_outputs(graph)] == ["scores", "boxes"]


def test_no_tensor_is_compared_twice() -> None:
    """As of a detector that gives boxes and scores beside what its suppression keeps of them."""
    model = proto(
        """net (float[1, 64, 4] x)
            => (int64[K, 3] places, float[1, 64, 3] scores, float[1, 64, 4] boxes,
                float[1, 5] best) {
            scores = MatMul(x, w) boxes = MatMul(x, v) t = Transpose<perm=[0, 2, 1]>(scores)
            places = NonMaxSuppression(boxes, t, most, limit, limit)
            m = ReduceMax<axes=[2], keepdims=0>(scores) best, row = TopK<axis=1>(m, most) }""",
        w=random(4, 3),
        v=random(4, 4),
        most=np.array([5]),
        limit=np.array(0.4, np.float32),
    )
    compared = compared_outputs(normal(model).graph)
    assert [each.name for each in compared] == ["scores", "boxes"]
    assert all(each.reader is None for each in compared)


def test_rows_of_a_table_by_tokens_are_not_chosen() -> None:
    graph = normal(
        proto(
            "net (int64[N, T] x) => (float[N, T, 4] y) { h = Gather(w, x) y = Neg(h) }",
            w=random(9, 4),
        )
    ).graph
    assert not chosen(graph)


def test_rows_of_a_table_by_the_nearest_code_are() -> None:
    """As of a vector quantizer: indices made of floats."""
    graph = normal(
        proto(
            """net (float[N, 4] x) => (float[N, 4] y) {
                d = MatMul(x, w) n = ArgMin<axis=1, keepdims=0>(d) y = Gather(c, n) }""",
            w=random(4, 9),
            c=random(9, 4),
        )
    ).graph
    assert [each.value.name for each in candidates(graph)] == ["d"]


QUERIES = """net (float[1, 64, 4] x) => (float[1, 5, 3] y, float[1, 64, 1] s) {
    s = MatMul(x, v) f = Squeeze(s, last) best, n = TopK<axis=1>(f, most)
    u = Unsqueeze(n, last) e = Expand(u, size) q = GatherElements<axis=1>(x, e)
    y = MatMul(q, w) }"""
BACK = QUERIES.replace("y = MatMul", "m = MatMul").replace(
    "m = MatMul(q, w)", "m = MatMul(q, w) y = ScatterElements<axis=1>(x, e, m)"
)


@pytest.mark.parametrize(
    ("text", "width", "names"),
    [
        (QUERIES, 3, ["y"]),
        (BACK.replace("float[1, 5, 3]", "float[1, 64, 4]"), 4, []),
        (QUERIES.replace("y = MatMul(q, w)", "y = Neg(q)").replace("5, 3", "5, 4"), 4, []),
    ],
    ids=["queries", "scattered back", "an end"],
)
def test_rows_that_a_network_chooses_for_itself(text: str, width: int, names: list[str]) -> None:
    model = proto(
        text,
        v=random(4, 1),
        w=random(4, width),
        last=np.array([2]),
        most=np.array([5]),
        size=np.array([1, 5, 4]),
    )
    graph = normal(model).graph
    assert [value.name for value in rows_chosen(graph)] == names
    assert [each.name for each in compared_outputs(graph) if each.rows_chosen] == names
