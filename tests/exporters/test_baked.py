"""A baked model, quantized by the platform's own rules, must give the plan back."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from lostbits.case import Case
from lostbits.exporters import exporter
from lostbits.exporters.baked import _reach, _reach_evenly
from lostbits.graph.insert_clip import limit
from lostbits.grid import Grid
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import applied
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.session import Session
from lostbits.targets import target
from rescalable_nets import of_nodes
from runs import planned
from small_nets import built, change_by, cnn, mlp, narrowed, samples

BAKED = exporter("baked")


def again(case: Case, data: Any, folder: Path) -> Case:
    """The case that the platform makes of the baked model by itself."""
    path = folder / "baked.onnx"
    path.write_bytes(BAKED.write(case)["model_baked.onnx"])
    return planned(path, data, case.target)[1]


def assert_same(found: Case, planned: Case, keys: list[str], rtol: float = 3e-6) -> None:
    for key in keys:
        mine, other = planned.plan[key], found.plan[key]
        np.testing.assert_allclose(other.scale, mine.scale, rtol=rtol, err_msg=key)
        assert np.abs(other.zero_point - mine.zero_point).max() <= (rtol > 1e-5), key


def keys_of(case: Case, role: str) -> list[str]:
    return [s.key for s in case.sites if s.role == role]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snpe", "onnxruntime"])
def test_min_max_of_the_baked_model_gives_the_plan_back(name: str, tmp_path: Path) -> None:
    data = samples(2, 32, 3, 16, 16)
    source, case = built(cnn(1), data, target(name), tmp_path)
    change = change_by(SecondOrder(), case, source)
    recovered = applied(case, change)
    found = again(recovered, data, tmp_path)
    assert found.plan.keys() == recovered.plan.keys()
    assert_same(found, recovered, keys_of(case, "weight"))
    # Other weights make other activations: their extremes follow, by the little that they moved.
    assert_same(found, recovered, keys_of(case, "activation"), rtol=0.03)
    judge = Judge(case.model, source)
    mine, native = judge(recovered).sqnr_db, judge(found).sqnr_db
    assert mine is not None and native is not None
    assert native > mine - 1
    assert_same(again(found, data, tmp_path), found, list(found.plan))  # nothing moves any more


@pytest.mark.slow
def test_a_narrower_range_travels_as_a_limit(tmp_path: Path) -> None:
    data = samples(2, 64, 3, 16, 16)
    _, case = built(cnn(1), data, target("snpe"), tmp_path)
    for key in (k for k in keys_of(case, "activation") if k.startswith("clip")):
        narrow = narrowed(case, key, 0.5)
        assert_same(again(narrow, data, tmp_path), narrow, [key])


def test_a_wider_range_is_a_concern(tmp_path: Path) -> None:
    _, case = built(mlp(1), samples(2, 32, 6), target("snpe"), tmp_path)
    key = next(s.key for s in case.sites if s.streams and s.node)
    codes = {problem.code for problem in BAKED.lint(narrowed(case, key, 4.0))}
    assert "E019" in codes


def test_a_method_that_does_not_take_the_extremes_is_a_concern(tmp_path: Path) -> None:
    _, case = built(mlp(1), samples(2, 64, 6), target("tensorrt"), tmp_path)
    assert "E017" in {problem.code for problem in BAKED.lint(case)}


CODES = st.lists(st.integers(0, 255), min_size=1, max_size=12)


@pytest.mark.slow
@given(CODES, st.integers(0, 255))
def test_both_ends_occur_where_zero_lies_between(codes: list[int], zero: int) -> None:
    found = np.array(codes)
    _reach(found, zero, Grid.of(8, signed=False))
    if set(codes) == {zero}:  # zeros, which any range holds exactly
        assert found.tolist() == codes
        return
    assert zero == 255 or found.max() == 255 or found.size == 1
    assert zero == 0 or found.min() == 0 or found.size == 1
    assert (found != codes).sum() <= 2


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=12).filter(any))
def test_the_largest_magnitude_is_that_of_the_highest_code(codes: list[int]) -> None:
    found = np.array(codes)
    _reach_evenly(found, 0, Grid.of(8, signed=True))
    assert np.abs(found).max() == 127


@pytest.mark.parametrize("op", ["Relu", "Clip", "Add"])
def test_a_limit_narrows_the_function_and_keeps_the_name(op: str) -> None:
    bounds = " , zero, six" if op == "Clip" else ", one" if op == "Add" else ""
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[N] x) => (float[N] y)
        <float zero = {{0}}, float six = {{6}}, float one = {{1}}>
        {{ y = {op}(x{bounds}) }}
    """
    model = ir.from_proto(onnx.parser.parse_model(text))
    x = np.linspace(-9, 9, 37).astype(np.float32)
    plain = Session(model).run({"x": x})["y"]
    assert limit(model.graph, "y", -1.5, 2.5)
    np.testing.assert_array_equal(Session(model).run({"x": x})["y"], np.clip(plain, -1.5, 2.5))


def test_an_input_cannot_be_limited() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[N] x) => (float[N] y) { y = Relu(x) }
    """
    model = ir.from_proto(onnx.parser.parse_model(text))
    assert not limit(model.graph, "x", -1, 1)


@pytest.mark.parametrize("name", ["snpe", "qnn-htp", "onnxruntime"])
@pytest.mark.parametrize("shape", [(), (1,), (4,)])
@pytest.mark.parametrize("number", [0.0, 0.3, -2.0])
def test_one_number_as_constant_stays_what_it_is(
    name: str, shape: tuple[int, ...], number: float, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Add", ["x", "c"], ["s"], name="s"),
        helper.make_node("Relu", ["s"], ["r"], name="r"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="m"),
    ]
    weight = samples(1, 4, 4)
    constants = {"c": np.full(shape, number, np.float32), "w": weight}
    _, case = built(
        of_nodes(nodes, constants, ("N", 4), {"y": 2}), samples(0, 32, 4), target(name), tmp_path
    )
    assert "c:weight" in case.plan
    written = onnx.load_from_string(BAKED.write(case)["model_baked.onnx"]).graph.initializer
    found = {i.name: numpy_helper.to_array(i) for i in written}["c"]
    np.testing.assert_allclose(found, constants["c"], rtol=1e-6)
