"""Scales and shifts per channel go into the linear layer before or behind them, exactly."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from layer_nets import LAYERS, assert_equal, ops, statistics
from lostbits.graph.fusion import bias_of_matmul
from lostbits.graph.queries import constant
from lostbits.graph.simplify import normalise
from text_models import plain, proto, random

Arrays = dict[str, NDArray[Any]]
# Of one value, or of one a channel, in the forms that broadcast over (N, C, H, W).
SHAPES = [(), (1,), (1, 1, 1, 1), (8, 1, 1), (1, 8, 1, 1)]
BEHIND = {
    "Add": "y = Add (c, k)",
    "Add swapped": "y = Add (k, c)",
    "Mul": "y = Mul (c, k)",
    "Mul and Add": "d = Mul (c, k) y = Add (d, l)",
    "Sub": "y = Sub (c, k)",
    "from": "y = Sub (k, c)",
    "Div": "y = Div (c, k)",
    "all": "d = Mul (c, k) e = Sub (d, l) f = Div (e, k) y = Add (l, f)",
}


def shaped(values: NDArray[Any], shape: tuple[int, ...], layer: str) -> NDArray[Any]:
    """Constants of this shape; of one axis where channels are the last one."""
    size = int(np.prod(shape))
    if "Gemm" in layer and size > 1:
        shape = (size,) if len(shape) == 3 else (1, size)
    elif "Gemm" in layer:
        shape = shape[:2]
    return values[:size].reshape(shape)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", BEHIND)
def test_what_follows_a_layer_folds(layer: str, shape: tuple[int, ...], form: str) -> None:
    head, call, weights = LAYERS[layer]
    constants = {"w": random(*weights), "b": random(8), "k": random(8, seed=5), "l": random(8)}
    constants |= {name: shaped(constants[name], shape, layer) for name in "kl"}
    model = proto(head + "{ c = %s %s }" % (call, BEHIND[form]), **constants)
    assert ops(assert_equal(model, x=input_of(model))) == [call.split()[0]]


def input_of(model: onnx.ModelProto) -> NDArray[Any]:
    dims = model.graph.input[0].type.tensor_type.shape.dim[1:]
    return random(3, *(d.dim_value for d in dims), seed=9)


@pytest.mark.parametrize(
    "constant_shape",
    [(6,), (6, 1), (8, 6, 6), (1, 8, 6, 1), (1, 8, 6, 6), (2, 8, 1, 1), (1, 1, 1, 1, 1)],
    ids=str,
)
def test_what_is_not_per_channel_stays(constant_shape: tuple[int, ...]) -> None:
    head = "g (float[N,4,6,6] x) => (float y) "
    body = "{ c = Conv <pads = [1,1,1,1]> (x, w) y = Add (c, k) }"
    model = proto(head + body, w=random(8, 4, 3, 3), k=random(*constant_shape))
    assert ops(assert_equal(model, x=random(2, 4, 6, 6))) == ["Conv", "Add"]


def test_a_layer_that_others_read_too_keeps_its_shift() -> None:
    head = "g (float[N,4,6,6] x) => (float[N,8,6,6] y, float[N,8,6,6] z) "
    body = "{ c = Conv <pads = [1,1,1,1]> (x, w) y = Add (c, k) z = Relu (c) }"
    model = proto(head + body, w=random(8, 4, 3, 3), k=random(8, 1, 1))
    assert ops(assert_equal(model, x=random(2, 4, 6, 6))) == ["Conv", "Add", "Relu"]


def test_a_bias_keeps_the_name_of_the_constant_that_it_was() -> None:
    head = "g (float[N,4,6,6] x) => (float[N,8,6,6] y) "
    model = proto(
        head + "{ c = Conv <pads = [1,1,1,1]> (x, w) y = Add (c, k) }",
        w=random(8, 4, 3, 3),
        k=random(1, 8, 1, 1),
    )
    normalised = assert_equal(model, x=random(2, 4, 6, 6))
    (node,) = normalised.graph
    assert [v.name for v in node.inputs if v] == ["x", "w", "k"]
    bias = constant(node.inputs[2])
    assert bias is not None and bias.shape == (8,)


MATMULS = {
    "Add of a row": ("y = Add (c, k)", (1, 1, 5)),
    "Add of one": ("y = Add (c, k)", ()),
    "Mul and Add": ("d = Mul (c, l) y = Add (d, k)", (1, 5)),
    "Add and Mul": ("d = Add (c, k) y = Mul (d, l)", (5,)),
    "two Adds and a Div": ("d = Add (k, c) e = Add (d, l) y = Div (e, k)", (1, 5)),
    "Sub": ("y = Sub (c, k)", (5,)),
    "from": ("y = Sub (k, c)", (1, 1, 5)),
}


@pytest.mark.parametrize("form", MATMULS)
def test_a_matmul_has_one_add_whose_vector_is_its_bias(form: str) -> None:
    body, shape = MATMULS[form]
    model = proto(
        "g (float[N,3,4] x) => (float[N,3,5] y) { c = MatMul (x, w) %s }" % body,
        w=random(4, 5),
        k=random(*shape, seed=5),
        l=random(5, seed=6),
    )
    normalised = assert_equal(model, x=random(2, 3, 4))
    assert ops(normalised) == ["MatMul", "Add"]
    assert bias_of_matmul(next(iter(normalised.graph))) is not None


BEFORE = {
    "Mul": "d = Mul (x, k)",
    "Div": "d = Div (x, k)",
    "Add": "d = Add (x, k)",
    "from": "d = Sub (k, x)",
    "both": "e = Mul (k, x) d = Add (e, l)",
    "norm": "d = BatchNormalization (x, s, t, m, v)",
}
READERS = {
    "Conv": ("Conv (d, w, b)", (6, 4, 3, 3), (4, 1, 1)),
    "grouped Conv": ("Conv <group = 2> (d, w)", (6, 2, 3, 3), (1, 4, 1, 1)),
    "Gemm": ("Gemm (d, w, b)", (4, 6), (4,)),
    "Gemm transB": ("Gemm <transB = 1> (d, w)", (6, 4), (1, 4)),
}


@pytest.mark.parametrize("form", BEFORE)
@pytest.mark.parametrize("reader", READERS)
def test_what_alone_feeds_a_layer_folds(reader: str, form: str) -> None:
    call, weights, shape = READERS[reader]
    taken, given = ("N,4", "N,6") if "Gemm" in reader else ("N,4,6,6", "N,6,4,4")
    model = proto(
        "g (float[%s] x) => (float[%s] y) { %s y = %s }" % (taken, given, BEFORE[form], call),
        w=random(*weights),
        b=random(6),
        k=2 + np.tanh(random(*shape, seed=5)),
        l=random(*shape, seed=6),
        **statistics(4),
    )
    assert ops(assert_equal(model, x=input_of(model))) == [call.split()[0]]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("d = Div (x, far) y = Gemm (d, w, b)", ["Div", "Gemm"]),
        ("c = Sub (x, years) d = Div (c, far) y = Gemm (d, w, b)", ["Sub", "Div", "Gemm"]),
        ("c = Sub (x, years) y = Gemm (c, w, b)", ["Sub", "Gemm"]),
        ("d = BatchNormalization (x, s, t, m, far) y = Gemm (d, w, b)", ["BatchNormalization"]),
        ("r = Relu (x) d = Div (r, far) y = Gemm (d, w, b)", ["Relu", "Gemm"]),
        ("d = Div (x, near) y = Gemm (d, w, b)", ["Gemm"]),
    ],
)
def test_inputs_in_units_of_their_own_are_evened_before_they_are_rounded(
    body: str, left: list[str]
) -> None:
    model = proto(
        "g (float[N,4] x) => (float[N,6] y) { %s }" % body,
        w=random(4, 6),
        b=random(6),
        far=np.array([0.01, 1, 12, 3e4], np.float32),
        near=np.array([0.2, 0.25, 1, 3], np.float32),
        years=np.array([0, 1, 35, 2026], np.float32),
        **statistics(4),
    )
    assert ops(assert_equal(model, x=random(5, 4)))[: len(left)] == left


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("d = Mul (x, k) y = Conv <pads = [1,1,1,1]> (d, w)", ["Conv"]),
        ("d = Add (x, k) y = Conv <pads = [1,1,1,1]> (d, w)", ["Add", "Conv"]),
        ('d = Add (x, k) y = Conv <auto_pad = "SAME_UPPER"> (d, w)', ["Add", "Conv"]),
        ("d = Mul (x, k) y = ConvTranspose <pads = [1,1,1,1]> (d, v)", ["ConvTranspose"]),
        ("d = Add (x, k) y = ConvTranspose <pads = [1,1,1,1]> (d, v)", ["Add", "ConvTranspose"]),
    ],
)
def test_a_border_of_zeros_takes_a_scale_and_no_shift(body: str, left: list[str]) -> None:
    model = proto(
        "g (float[N,4,6,6] x) => (float[N,5,6,6] y) { %s }" % body,
        w=random(5, 4, 3, 3),
        v=random(4, 5, 3, 3),
        k=random(4, 1, 1, seed=5),
    )
    assert ops(assert_equal(model, x=random(2, 4, 6, 6))) == left


def test_a_written_out_layer_norm_keeps_its_gain() -> None:
    model = proto(
        """g (float[N,3,4] x) => (float[N,3,5] y) {
        m = ReduceMean <axes = [-1]> (x)
        d = Sub (x, m)
        q = Pow (d, two)
        v = ReduceMean <axes = [-1]> (q)
        e = Add (v, tiny)
        r = Sqrt (e)
        n = Div (d, r)
        s = Mul (n, k)
        t = Add (s, l)
        y = MatMul (t, w)
    }""",
        two=np.array(2, np.float32),
        tiny=np.array(1e-5, np.float32),
        k=random(4, seed=5),
        l=random(4, seed=6),
        w=random(4, 5),
    )
    assert ops(assert_equal(model, x=random(2, 3, 4)))[-3:] == ["Mul", "Add", "MatMul"]


def test_what_was_folded_is_counted_and_can_be_left() -> None:
    head = "g (float[N,4,6,6] x) => (float[N,8,6,6] y) "
    model = proto(
        head + "{ c = Conv <pads = [1,1,1,1]> (x, w) d = Mul (c, k) y = Add (d, l) }",
        w=random(8, 4, 3, 3),
        k=random(8, 1, 1),
        l=random(8, 1, 1),
    )
    assert normalise(plain(model))[1].affines == 2
    kept, changes = normalise(plain(model), fold=False)
    assert ops(kept) == ["Conv", "Mul", "Add"] and changes.affines == 0
