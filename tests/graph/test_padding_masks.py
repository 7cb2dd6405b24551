"""Inputs that are masks or lengths, by where they go."""

import numpy as np
import onnx
import pytest

from lostbits.graph.padding_masks import Mask, find_masks
from output_nets import pillars, sentences
from text_models import normal, proto, random


def masks(model: onnx.ModelProto) -> list[Mask]:
    return find_masks(normal(model).graph)


@pytest.mark.parametrize(("form", "wanted"), [("ones", "ones"), ("zeros", "zeros")])
def test_the_sign_on_the_way_tells_what_counts(form: str, wanted: str) -> None:
    assert masks(sentences(form)) == [Mask("mask", wanted)]


def scores(text: str, kind: str = "int64") -> onnx.ModelProto:
    """Scores of one row a sample, changed by a mask on the way to their Softmax."""
    more = {"low": np.array(-1e4, np.float32), "zero": np.array(0, np.float32)}
    more |= {"none": np.array(0), "one": np.array(1)}
    used = {name: array for name, array in more.items() if name in text}
    graph = f"""net (float[N, T, 4] x, {kind}[N, T] mask) => (float[N, T] y) {{
        h = MatMul(x, w) s = Squeeze(h, last) {text} y = Softmax(a) }}"""
    return proto(graph, w=random(4, 1), last=np.array([2]), **used)


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("a = Add(s, mask)", "float", "added"),
        ("b = Mul(mask, low) a = Add(s, b)", "float", "zeros"),
        ("b = Cast<to=9>(mask) a = Where(b, s, low)", "int64", "ones"),
        ("b = Cast<to=9>(mask) a = Where(b, low, s)", "int64", "zeros"),
        ("b = Cast<to=9>(mask) c = Not(b) a = Where(c, low, s)", "int64", "ones"),
        ("b = Equal(mask, none) a = Where(b, low, s)", "int64", "ones"),
        ("b = Equal(mask, one) a = Where(b, low, s)", "int64", "zeros"),
        ("b = Greater(mask, none) a = Where(b, s, low)", "int64", "ones"),
        ("b = Cast<to=1>(mask) a = Mul(s, b)", "int64", None),
        ("b = Cast<to=1>(mask) c = Neg(b) a = Add(s, c)", "int64", None),
    ],
)
def test_forms(text: str, kind: str, wanted: str | None) -> None:
    assert masks(scores(text, kind)) == ([] if wanted is None else [Mask("mask", wanted)])


def test_lengths_of_a_recurrent_layer() -> None:
    model = proto(
        """net (float[T, N, 3] x, int32[N] lengths) => (float[T, N, 4] y) {
            h = LSTM<hidden_size=4>(x, w, r, b, lengths) y = Squeeze(h, one) }""",
        w=random(1, 16, 3),
        r=random(1, 16, 4),
        b=random(1, 32),
        one=np.array([1]),
    )
    assert masks(model) == [Mask("lengths", "lengths")]


def test_lengths_that_are_compared_with_places() -> None:
    assert masks(pillars()) == [Mask("lengths", "lengths")]
