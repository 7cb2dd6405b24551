"""Floats other than float32: the same network in float32, with the ends that the file has."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import lostbits as lb
from lostbits.exporter import serialized
from lostbits.graph.queries import constant
from lostbits.graph.widen import widened
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.runtime.session import Session
from text_models import outputs, plain, proto, random, saved

HALF = """g (float16[N,6] x) => (float16[N,4] y) {
    a = MatMul(x, w) b = Relu(a) c = Constant<value_float = 0.5>() d = Cast<to=10>(c)
    e = Mul(b, d) y = MatMul(e, v)
}"""
KEPT = """g (float[N,6] x) => (float[N,4] y) {
    h = Cast<to=10>(x) a = MatMul(h, w) b = Relu(a) z = MatMul(b, v) y = Cast<to=1>(z)
}"""
W, V = random(6, 8), random(8, 4, seed=1)
DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "double": np.float64}


def in_type(kind: str) -> ir.Model:
    """The network in one of the types, with constants of that type."""
    code = {"float16": 10, "bfloat16": 16, "double": 11}[kind]
    text = HALF.replace("float16", kind).replace("to=10", f"to={code}")
    return plain(proto(text, w=W.astype(DTYPES[kind]), v=V.astype(DTYPES[kind])))


@pytest.mark.parametrize("kind", DTYPES)
def test_a_network_is_taken_in_float32(kind: str) -> None:
    model, found = widened(in_type(kind))
    assert found == (kind,)
    w, v = (x.astype(DTYPES[kind]).astype(np.float32) for x in (W, V))
    x = random(5, 6, seed=2)
    (y,) = outputs(model, x=x)
    assert y.dtype == np.float32
    assert np.allclose(y, (np.maximum(x @ w, 0) * 0.5) @ v, rtol=1e-5, atol=1e-6)


def test_halves_are_widened_exactly() -> None:
    weights = constant(widened(in_type("float16"))[0].graph.initializers["w"])
    assert weights is not None and weights.dtype == np.float32
    assert np.array_equal(weights, W.astype(np.float16).astype(np.float32))


def test_casts_between_floats_are_dropped(tmp_path: Path) -> None:
    halves = {"w": W.astype(np.float16), "v": V.astype(np.float16)}
    found = open_reference(saved(proto(KEPT, **halves), tmp_path))
    assert [n.op_type for n in found.model.graph] == ["MatMul", "Relu", "MatMul"]
    assert [n.name for n in (*found.model.graph.inputs, *found.model.graph.outputs)] == ["x", "y"]
    assert found.changes.floats == ["float16"]


def test_float32_stays_untouched() -> None:
    model = plain(proto("g (float[N,6] x) => (float[N,8] y) { y = MatMul(x, w) }", w=W))
    assert widened(model) == (model, ())


def test_doubles_that_only_compute_shapes_stay() -> None:
    """2^24 + 1 is no float32."""
    text = """g (float[N,6] x) => (float[N,8] y, int64[1] z) {
        y = MatMul(x, w) s = Constant<value_ints = [16777217]>() d = Cast<to=11>(s)
        z = Cast<to=7>(d)
    }"""
    model, found = widened(plain(proto(text, w=W)))
    assert found == ()
    assert outputs(model, x=random(2, 6))[1] == 16777217


def test_the_lowest_double_is_no_infinity() -> None:
    text = "g (double[N,6] x) => (double[N,6] y) { y = Max(x, m) }"
    model, _ = widened(plain(proto(text, m=np.full(6, np.finfo(np.float64).min))))
    assert outputs(model, x=random(2, 6))[0].min() > -10
    (mask,) = (constant(v) for v in model.graph.initializers.values())
    assert mask is not None and mask.min() == np.finfo(np.float32).min


@pytest.mark.parametrize("kind", ["float16", "double"])
def test_what_is_written_has_the_ends_of_the_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    ir.save(in_type(kind), path)
    found = open_reference(path)
    assert [spec.dtype for spec in input_specs(found.model)] == [np.float32]
    written = ir.from_proto(onnx.ModelProto.FromString(serialized(found.model)))
    ends = [*written.graph.inputs, *written.graph.outputs]
    assert {v.dtype for v in ends} == {ir.DataType.from_numpy(np.dtype(DTYPES[kind]))}
    assert [v.name for v in ends] == ["x", "y"]
    x = random(5, 6, seed=2).astype(DTYPES[kind])
    y = Session(written).run({"x": x})["y"]
    assert y.dtype == DTYPES[kind]
    again = open_reference(onnx.ModelProto.FromString(serialized(found.model)))
    assert [n.op_type for n in again.model.graph] == [n.op_type for n in found.model.graph]


def test_a_half_network_is_diagnosed_as_its_float32_twin(tmp_path: Path) -> None:
    halves = {"w": W.astype(np.float16), "v": V.astype(np.float16)}
    floats = {name: x.astype(np.float32) for name, x in halves.items()}
    twin = proto(HALF.replace("float16", "float").replace("to=10", "to=1"), **floats)
    data = random(16, 6, seed=3)
    cases = [lb.load(m, data, "onnxruntime") for m in (proto(HALF, **halves), twin)]
    half, whole = (lb.diagnose(case) for case in cases)
    assert half.baseline.sqnr_db == whole.baseline.sqnr_db
    assert [note.code for note in half.notes][:2] == [
        "note.exactly_in_float32",
        "note.own_rounding",
    ]
    found = lb.verify(cases[0], "onnxruntime-plain", data=data)
    assert found.passed


def test_inner_graphs_and_functions_are_widened_too() -> None:
    text = """g (float16[N,6] x, bool c) => (float16[N,8] y) {
        y = If(c)<
            then_branch = t () => (float16[N,8] a) { a = MatMul(x, w) },
            else_branch = e () => (float16[N,8] b) {
                o = Constant<value_float = 2.0>() one = Cast<to=10>(o)
                p = local.twice(x) q = Mul(p, one)
                b = MatMul(q, w) }>
    }
    <domain: "local", opset_import: ["": 17]>
    twice (z) => (s) { h = Cast<to=10>(z) s = Add(h, h) }"""
    half = W.astype(np.float16)
    model, found = widened(plain(proto(text, w=half)))
    assert found == ("float16",)
    x = random(3, 6)
    for c, factor in ((True, 1), (False, 4)):
        (y,) = outputs(model, x=x, c=np.array(c))
        assert np.allclose(y, factor * x @ half.astype(np.float32), rtol=1e-5, atol=1e-5)
