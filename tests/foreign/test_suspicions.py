"""Planted faults of other tools are named, and sound files raise no doubt."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from exported_nets import case_of
from lostbits.case import Case
from lostbits.errors import ReadError
from lostbits.exporters.qdq import QNN
from lostbits.exporters.tensorrt import Cache
from lostbits.foreign.graph_doubts import doubts_of_quantizers
from lostbits.foreign.known_faults import suspicions_of_data, suspicions_of_graph
from lostbits.foreign.match_names import match
from lostbits.graph.simplify import opened
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.reader import Entry, Parameters
from lostbits.readers import parameters_of, read
from lostbits.target import Target
from lostbits.targets import QNN_HTP, TENSORRT
from small_nets import built, cnn, samples
from text_models import normal, plain, proto, random

INT8, UINT8 = Grid.of(8, signed=True), Grid.of(8, signed=False)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder, data = tmp_path_factory.mktemp("cases"), samples(0, 16, 3, 16, 16)
    data -= 1.0  # not quite symmetric, as images are
    targets: tuple[Target, ...] = (TENSORRT, QNN_HTP)
    return {t.name: built(cnn(0), data, t, folder)[1] for t in targets}


def doubts(parameters: Parameters, case: Case, method: str | None = None) -> list[ReadError]:
    found = match(parameters, case.model, case.placed)
    return suspicions_of_data(parameters, found, case, method)


def symmetric_ranges(case: Case, end: Any) -> Parameters:
    """What a tool would write that takes ``end(lo, hi)`` for the range of every activation."""
    entries = [
        Entry(s.tensor, affine_from_range(-amax, amax, INT8, symmetric=True))
        for s in case.placed.sites
        if s.streams
        for seen in [case.seen[s.key].whole]
        for amax in [end(float(seen.lo.min()), float(seen.hi.max()))]
    ]
    return Parameters("test", tuple(entries), method="entropy")


def absolute(lo: float, hi: float) -> float:
    return max(-lo, hi)


@pytest.mark.parametrize("target", ["tensorrt", "qnn-htp"])
def test_a_plan_of_our_own_raises_no_doubt(cases: dict[str, Case], target: str) -> None:
    case = cases[target]
    writer = Cache() if target == "tensorrt" else QNN
    parameters = writer.read(writer.write(case))
    assert not parameters.problems
    assert not suspicions_of_graph(parameters, case.model)
    assert not doubts(parameters, case)


def test_entropy_that_cut_nothing_off_is_named(cases: dict[str, Case]) -> None:
    case = cases["tensorrt"]
    parameters = symmetric_ranges(case, absolute)
    (found,) = doubts(parameters, case)
    assert found.code == "I020"
    assert "ranges are those of min-max" in str(found)
    assert not doubts(replace(parameters, method="min_max"), case)
    assert [e.code for e in doubts(replace(parameters, method=None), case, "entropy")] == ["I020"]


def test_ranges_of_entropy_that_cut_something_off_raise_no_doubt(cases: dict[str, Case]) -> None:
    case = cases["tensorrt"]
    assert not doubts(symmetric_ranges(case, lambda lo, hi: 0.8 * absolute(lo, hi)), case)


def test_the_maximum_in_place_of_the_largest_magnitude_is_named(cases: dict[str, Case]) -> None:
    case = cases["tensorrt"]
    parameters = symmetric_ranges(case, lambda _, hi: hi)
    found = doubts(replace(parameters, method=None), case)
    whole = {s.tensor: case.seen[s.key].whole for s in case.placed.sites if s.streams}
    negative = {t for t, seen in whole.items() if -seen.lo.min() > 1.05 * seen.hi.max()}
    assert negative
    assert {e.code for e in found} == {"I021"}
    assert len(found) == len(negative)


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_ranges_of_another_model_are_named(cases: dict[str, Case], factor: float) -> None:
    case = cases["tensorrt"]
    parameters = symmetric_ranges(case, lambda lo, hi: factor * absolute(lo, hi))
    assert "I025" in [e.code for e in doubts(parameters, case)]


def test_names_of_another_model_are_named(cases: dict[str, Case]) -> None:
    case = cases["tensorrt"]
    parameters = symmetric_ranges(case, absolute)
    renamed = tuple(replace(e, tensor=f"block/{e.tensor}") for e in parameters.entries)
    (found,) = doubts(replace(parameters, entries=renamed), case)
    assert found.code == "I025"
    assert f"0 of {len(renamed)} names" in str(found)


def test_a_bias_off_the_scale_of_the_accumulator_is_named() -> None:
    case = case_of()
    bias = case.plan["b:bias"]
    scaled = Affine(bias.grid, bias.scale * np.float32(2), bias.zero_point, bias.axis)
    wrong = replace(case, plan={**case.plan, "b:bias": scaled})
    parameters = QNN.read(QNN.write(wrong))
    (found,) = suspicions_of_graph(parameters, case.model)
    assert found.code == "I022"
    (conv,) = [n for n in case.model.graph if n.op_type == "Conv"]
    assert f"node {conv.name!r}" in str(found)
    (content,) = QNN.write(wrong).values()
    own = ir.from_proto(onnx.load_from_string(content))
    assert [e.code for e in suspicions_of_graph(parameters_of(own), own)] == ["I022"]
    assert not suspicions_of_graph(QNN.read(QNN.write(case)), case.model)


def test_biases_per_channel_of_weights_per_tensor_may_repeat_the_scale() -> None:
    case = case_of()
    x, entries = case.plan["x:activation"], []
    w = Affine(INT8, np.asarray(0.25, np.float32), np.zeros((), np.int64))
    for factor in (1.0, 3.0):
        scale = np.full(5, factor * float(x.scale) * 0.25, np.float32)
        b = Affine(Grid.of(32, signed=True), scale, np.zeros(5, np.int64), 0)
        entries = [Entry("x", x), Entry("w", w), Entry("b", b)]
        found = suspicions_of_graph(Parameters("test", tuple(entries)), case.model)
        assert [e.code for e in found] == ([] if factor == 1.0 else ["I022"])


@pytest.mark.parametrize(("ratio", "codes"), [(1.0, []), (3.9, []), (4.1, ["I024"])])
def test_an_unbalanced_concat_is_named(ratio: float, codes: list[str]) -> None:
    text = "g (float[N,4] x, float[N,4] z) => (float[N,8] y) { y = Concat <axis = 1> (x, z) }"
    model = normal(proto(text, 17))
    entries = [
        Entry(name, Affine(UINT8, np.asarray(scale, np.float32), np.zeros((), np.int64)))
        for name, scale in (("x", 0.1), ("z", 0.1 * ratio))
    ]
    found = suspicions_of_graph(Parameters("test", tuple(entries)), model)
    assert [e.code for e in found] == codes


@pytest.mark.parametrize(("shrunk", "named"), [(1.0, False), (0.8, False), (0.5, True)])
def test_float_weights_beyond_their_scales_are_named(shrunk: float, named: bool) -> None:
    """As of a QAT export whose scales have not followed one channel of a weight."""
    weight = random(5, 4, 3, 3)
    scale = np.abs(weight).max(axis=(1, 2, 3)) / np.float32(127)
    scale[2] *= np.float32(shrunk)
    model = proto(
        """net (float[N, 4, 6, 6] x) => (float[N, 5, 4, 4] y) {
            q = QuantizeLinear<axis = 0>(w, s, z) d = DequantizeLinear<axis = 0>(q, s, z)
            y = Conv(x, d) }""",
        w=weight,
        s=scale,
        z=np.zeros(5, np.int8),
    )
    graph = opened(plain(model))
    found = list(doubts_of_quantizers(parameters_of(graph), graph.graph))
    assert [each.code for each in found] == ["I046"] * named
    if named:
        assert found[0].tensors == ("w",) and "2.0 times" in str(found[0])


def test_a_scale_of_zero_in_a_model_is_named() -> None:
    body = """g (float[N,4] x) => (float[N,3] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = MatMul(d, w) }"""
    zeros: dict[str, NDArray[Any]] = {"s": np.zeros((), np.float32), "z": np.zeros((), np.uint8)}
    model = proto(body, 17, w=random(4, 3), **zeros)
    found = read(model.SerializeToString())
    assert [e.code for e in found.problems] == ["I005"]
    assert not found.affines["x"].fake_quantize(random(4)).round(30).any()


def test_few_tensors_are_no_habit(cases: dict[str, Case]) -> None:
    case = cases["tensorrt"]
    parameters = symmetric_ranges(case, absolute)
    few = replace(parameters, entries=parameters.entries[:3])
    assert not doubts(few, case)


def test_an_activation_among_the_constants_is_named() -> None:
    graph = "g (float[N, 4] x) => (float[N, 2] y) { h = Relu(x) y = MatMul(h, w) }"
    scale = affine_from_range(0.0, 1.0, UINT8, symmetric=False)
    entries = tuple(Entry(name, scale) for name in ("x", "h", "w"))
    listed = Parameters("encodings", entries, constants=("h", "w"))
    (found,) = suspicions_of_graph(listed, normal(proto(graph, w=random(4, 2))))
    assert (found.code, found.tensors) == ("I044", ("h",))
