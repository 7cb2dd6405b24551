"""The axis of the channels is that of the ops that make and read a tensor."""

import numpy as np
import pytest

from lostbits.graph.channel_axis import channel_axis
from lostbits.graph.queries import values_by_name
from text_models import normal, proto, random

ATTENTION = """g (float[N,7,8] x) => (float[N,7,8] y) {
    q = MatMul (x, w)
    k = MatMul (x, u)
    t = Transpose <perm = [0, 2, 1]> (k)
    s = MatMul (q, t)
    m = Mul (s, c)
    p = Softmax (m)
    h = MatMul (p, x)
    r = Add (h, x)
    z = Relu (r)
    y = MatMul (z, w)
}"""
HEADS = """g (float[N,2,7,8] x) => (float[N,2,7,8] y) {
    t = Transpose <perm = [0, 1, 3, 2]> (x)
    s = MatMul (x, t)
    m = Mul (s, c)
    p = Softmax (m)
    y = MatMul (p, x)
}"""
RECURRENT = """g (float[N,7,8] x) => (float[7,1,N,5] y) {
    a = Mul (x, c)
    t = Transpose <perm = [1, 0, 2]> (a)
    y, h, e = LSTM <hidden_size = 5> (t, wl, rl)
}"""
AXES = [
    (ATTENTION, {"x": 2, "q": 2, "k": 2, "t": 1, "s": None, "m": None, "p": None, "h": 2, "r": 2}),
    (HEADS, {"s": 1, "m": 1, "p": 1, "x": 1}),
    (RECURRENT, {"x": 2, "a": 2, "t": 2, "y": 3}),
]


@pytest.mark.parametrize(("text", "axes"), AXES, ids=["tokens", "heads", "time"])
def test_positions_are_no_channels(text: str, axes: dict[str, int | None]) -> None:
    weights = {"w": random(8, 8), "u": random(8, 8), "c": np.array(0.5, np.float32)}
    weights |= {"wl": random(1, 20, 8), "rl": random(1, 20, 5)}
    model = normal(
        proto(text, **{n: a for n, a in weights.items() if f"{n})" in text or f"{n}," in text})
    )
    values = values_by_name(model.graph)
    assert {name: channel_axis(values[name]) for name in axes} == axes


SIGNALS: dict[str, tuple[str, dict[str, int | None]]] = {
    "waveform": (
        "a = Abs (x) u = Unsqueeze (a, one) c = Conv (u, w) s = Squeeze (c, last) y = Relu (s)",
        {"x": None, "a": None, "u": 1, "c": 1, "s": 1, "y": 1},
    ),
    "features": (
        "a = Abs (x) u = Unsqueeze (a, last) c = Conv (u, v) s = Squeeze (c, one) y = Abs (s)",
        {"x": 1, "a": 1, "u": 1, "c": 1},
    ),
    "spectrum": (
        "u = Unsqueeze (x, last) y = STFT (u, step, window)",
        {"x": None, "u": None},
    ),
}


@pytest.mark.parametrize("form", SIGNALS)
def test_samples_of_a_signal_are_no_channels(form: str) -> None:
    body, axes = SIGNALS[form]
    constants = {"one": np.array([1]), "last": np.array([-1]), "step": np.array(4)}
    constants |= {"w": random(8, 1, 16), "v": random(1, 16, 1), "window": random(8)}
    text = "g (float[N,16] x) => (float y) { %s }" % body
    used = {n: a for n, a in constants.items() if f"{n})" in text or f"{n}," in text}
    values = values_by_name(normal(proto(text, **used)).graph)
    assert {name: channel_axis(values[name]) for name in axes} == axes
