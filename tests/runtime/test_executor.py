"""The torch executor against ONNX Runtime, float and quantized."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.errors import ModelError, SimulationError, TargetError
from lostbits.graph.instrument import after, quantized
from lostbits.language import Message
from lostbits.runtime import executor as module
from lostbits.runtime.executor import Executor
from lostbits.runtime.rules import RULES, Unsupported
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Simulation, live, quantized_model, replayed
from lostbits.targets import ONNXRUNTIME, SNPE, TENSORRT
from lostbits.targets import target as find_target
from runs import diagnosed, planned
from text_models import Array, decibels, normal, outputs, proto, random, saved

CONV = "Conv <pads = [1,1,1,1]>"
PLAIN = """g (float[N,4,8,8] x) => (float[N,3] y) { a = %s (x, w, b)  r = Relu(a)  c = %s (r, u)
    q = Sigmoid(c)  p = GlobalAveragePool(q)  f = Flatten(p)  y = Gemm (f, k) }""" % (CONV, CONV)
# A mean of nine codes is never halfway between two, where the order of a sum would decide.
SKIP = (
    """g (float[N,4,8,8] x) => (float[N,4,3,3] y) { a = %s (x, w, b)  r = Relu(a)
    c = Conv <group = 4, pads = [1,1,1,1]> (r, d)  s = Add(c, r)  t = Concat <axis = 1> (s, x)
    z = Conv (t, e)  y = AveragePool <kernel_shape = [3,3], strides = [2,2]> (z) }"""
    % CONV
)
TOKENS = """g (float[N,6,4] x) => (float[N,6,4] y) { q = MatMul(x, wq)  k = MatMul(x, wk)
    t = Transpose <perm = [0,2,1]> (k)  s = MatMul(q, t)  a = Softmax(s)  v = MatMul(a, x)
    n = LayerNormalization(v, g1, b1)  y = Add(n, x) }"""
NETS: dict[str, tuple[str, dict[str, Array], tuple[int, ...]]] = {
    "plain": (
        PLAIN,
        {
            "w": random(4, 4, 3, 3),
            "u": random(4, 4, 3, 3, seed=1),
            "b": random(4),
            "k": random(4, 3),
        },
        (4, 8, 8),
    ),
    "skip": (
        SKIP,
        {"w": random(4, 4, 3, 3), "b": random(4), "d": random(4, 1, 3, 3), "e": random(4, 8, 1, 1)},
        (4, 8, 8),
    ),
    "tokens": (
        TOKENS,
        {"wq": random(4, 4), "wk": random(4, 4, seed=1), "g1": random(4), "b1": random(4)},
        (6, 4),
    ),
}
every_net = pytest.mark.parametrize("net", NETS)
every_target = pytest.mark.parametrize(
    "target", [SNPE, ONNXRUNTIME, TENSORRT], ids=lambda t: t.name
)


def case_of(net: str, target: Any, folder: Path, samples: int = 5) -> tuple[Case, Source]:
    text, weights, shape = NETS[net]
    path = saved(proto(text, **weights), folder)
    source, case = planned(path, {"x": random(max(samples, 64), *shape)}, target)
    return case, source.slice(0, samples)


@every_net
def test_the_float_network_is_that_of_onnx_runtime(net: str, tmp_path: Path) -> None:
    case, source = case_of(net, SNPE, tmp_path)
    part = next(iter(source.batches(5)))
    found = Executor(case.model, case.sites).run(part.feeds)
    expected = outputs(case.model, **part.feeds)
    assert decibels(expected[0], found[0].numpy()) > 100


@every_net
@every_target
def test_a_live_simulation_is_the_qdq_model(net: str, target: Any, tmp_path: Path) -> None:
    case, source = case_of(net, target, tmp_path)
    part = next(iter(source.batches(5)))
    with torch.no_grad():
        found = Executor(case.model, case.sites).run(part.feeds, live(case.plan))
    expected = outputs(quantized_model(case), **part.feeds)
    assert decibels(expected[0], found[0].numpy()) > 60


@every_net
@every_target
def test_replayed_errors_end_at_the_outputs_of_onnx_runtime(
    net: str, target: Any, tmp_path: Path
) -> None:
    case, source = case_of(net, target, tmp_path)
    part = next(iter(source.batches(5)))
    others, frozen = Simulation(case).run(part)
    with torch.no_grad():
        found = Executor(case.model, case.sites).run(part.feeds, replayed(frozen))
        none = Executor(case.model, case.sites).run(part.feeds, replayed(frozen, 0.0))
    assert decibels(others[0], found[0].numpy()) > 100
    assert decibels(outputs(case.model, **part.feeds)[0], none[0].numpy()) > 100
    assert decibels(others[0], none[0].numpy()) < 60, "the quantizers must have done something"


def test_frozen_errors_are_what_each_quantizer_added(tmp_path: Path) -> None:
    case, source = case_of("plain", SNPE, tmp_path)
    part = next(iter(source.batches(5)))
    _, frozen = Simulation(case).run(part)
    site = next(s for s in case.sites if s.tensor == "r")
    taps = Session(quantized(case.model, case.sites, case.plan, ["r", after(site)]), optimise=False)
    values = taps.run(part.feeds)
    np.testing.assert_array_equal(frozen.total[site.key].numpy(), values[after(site)] - values["r"])
    limits = case.plan[site.key]
    clipped = limits.clip(values["r"]) - values["r"]
    found = frozen.clip.get(site.key, torch.zeros(()))
    np.testing.assert_array_equal(np.broadcast_to(found.numpy(), clipped.shape), clipped)


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    rules = {name: rule for name, rule in RULES.items() if name not in names}
    monkeypatch.setattr(module, "RULES", rules)


def test_an_op_without_a_rule_runs_in_onnx_runtime_and_is_opaque(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, source = case_of("plain", SNPE, tmp_path)
    part = next(iter(source.batches(5)))
    expected = Executor(case.model, case.sites).run(part.feeds)[0]
    without(monkeypatch, "Sigmoid")
    executor = Executor(case.model, case.sites)
    found = executor.run(part.feeds)[0]
    assert decibels(expected.numpy(), found.numpy()) > 120
    sigmoid = next(n.name for n in case.model.graph if n.op_type == "Sigmoid")
    assert executor.opaque == {sigmoid}


def failing(monkeypatch: pytest.MonkeyPatch, op: str, error: Exception) -> None:
    """Put a rule that raises in the place of one."""

    def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(module, "RULES", {**RULES, op: fail})


def test_a_rule_that_does_not_cover_a_node_hands_it_to_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, source = case_of("plain", SNPE, tmp_path)
    part = next(iter(source.batches(5)))
    failing(monkeypatch, "Sigmoid", Unsupported("no kernel"))
    executor = Executor(case.model, case.sites)
    assert decibels(outputs(case.model, **part.feeds)[0], executor.run(part.feeds)[0].numpy()) > 100
    assert len(executor.opaque) == 1


@pytest.mark.parametrize("kind", [TypeError, ValueError, IndexError, RuntimeError, KeyError])
def test_a_rule_that_is_wrong_is_not_hidden(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, source = case_of("plain", SNPE, tmp_path)
    failing(monkeypatch, "Sigmoid", kind("a slip"))
    executor = Executor(case.model, case.sites)
    with pytest.raises(kind, match="a slip") as info:
        executor.run(next(iter(source.batches(5))).feeds)
    sigmoid = next(n.name for n in case.model.graph if n.op_type == "Sigmoid")
    assert info.value.__notes__ == [f"in the rule of Sigmoid, at node {sigmoid!r}"]


def test_a_wrong_rule_ends_a_diagnosis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, weights, shape = NETS["plain"]
    failing(monkeypatch, "Sigmoid", TypeError("a slip"))
    with pytest.raises(TypeError, match="a slip"):
        diagnosed(saved(proto(text, **weights), tmp_path), {"x": random(4, *shape)}, "snpe")


def test_values_that_no_runtime_takes_are_no_fault_of_a_rule() -> None:
    text = """g (float[N,4] x, int64[N] i) => (float[N,4] y) { g = Gather(x, i)  y = Relu(g) }"""
    model = normal(proto(text))
    feeds = {"x": random(2, 4), "i": np.array([0, 7])}
    with pytest.raises(SimulationError) as info:
        Executor(model, ()).run(feeds)
    assert info.value.code == "S001"


def test_rules_of_other_domains_are_found() -> None:
    text = """g (float[N,4,5,5] x) => (float[N,4,3,3] y) {
        c = com.microsoft.FusedConv <activation = "Relu"> (x, w)  y = com.microsoft.Gelu(c) }"""
    model = normal(proto(text, w=random(4, 4, 3, 3)))
    x = torch.tensor(random(2, 4, 5, 5), requires_grad=True)
    executor = Executor(model, ())
    walk = module.Walk(executor, {"x": x.detach().numpy()}, None)
    walk.values["x"] = x
    for step in executor.steps:
        walk.advance(step)
    (y,) = walk.results()
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert not executor.opaque and bool(slope.any())
    expected = Session(model).run({"x": x.detach().numpy()})["y"]
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_node_with_an_omitted_output_keeps_the_others_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """g (float[N,1,4] x) => (float[1,1,3] y) { h, l = LSTM <hidden_size = 3> (x, w, r)
        y = Relu(l) }"""
    model = proto(text, w=random(1, 12, 4), r=random(1, 12, 3))
    model.graph.node[0].output[0] = ""
    source, case = planned(saved(model, tmp_path), {"x": random(2, 4, 1, 4)}, SNPE)
    part = next(iter(source.batches(4)))
    executor = Executor(case.model, case.sites)
    expected = outputs(model, **part.feeds)[0]
    np.testing.assert_allclose(executor.run(part.feeds)[0].numpy(), expected, rtol=1e-6)
    assert not executor.opaque
    without(monkeypatch, "LSTM")
    np.testing.assert_allclose(executor.run(part.feeds)[0].numpy(), expected, rtol=1e-6)
    assert len(executor.opaque) == 1


@pytest.mark.slow
def test_diagnose_falls_back_to_permutations_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, weights, shape = NETS["plain"]
    path = saved(proto(text, **weights), tmp_path)
    without(monkeypatch, "Sigmoid")
    result = diagnosed(path, {"x": random(4, *shape)}, "snpe")
    assert result.network.method == "permutation"
    reason = result.network.note.figures["reason"]
    assert isinstance(reason, Message) and reason.code == "basis.no_gradient"
    assert "note.permutations" in {note.code for note in result.notes}
    assert abs(result.network.residual) < 1e-6
    with pytest.raises(TargetError) as info:
        diagnosed(path, {"x": random(4, *shape)}, "snpe", method="aumann-shapley")
    assert info.value.code == "T008"


def test_tensors_whose_names_begin_alike_do_not_disturb_each_other(tmp_path: Path) -> None:
    text, weights, _ = NETS["skip"]
    model = proto(text, **weights)
    for node in model.graph.node:  # as TensorFlow names them: r and r:0
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = {"a": "r", "r": "r:0", "s": "r:activation"}.get(name, name)
    source, case = planned(saved(model, tmp_path), {"x": random(8, 4, 8, 8)}, SNPE)
    part = next(iter(source.batches(8)))
    others, frozen = Simulation(case).run(part)
    with torch.no_grad():
        found = Executor(case.model, case.sites).run(part.feeds, replayed(frozen))
    assert decibels(others[0], found[0].numpy()) > 100


@pytest.mark.parametrize("samples", [3, 4, 6])
def test_a_batch_size_written_into_the_graph_is_kept(samples: int, tmp_path: Path) -> None:
    text = """g (float[4,4,2,2] x) => (float[4,3] y) { c = Conv (x, w)  r = Relu(c)
        f = Reshape(r, s)  y = Gemm (f, k) }"""
    shape = np.asarray([4, 16], np.int64)
    model = proto(text, w=random(4, 4, 1, 1), k=random(16, 3), s=shape)
    result = diagnosed(saved(model, tmp_path), {"x": random(samples, 4, 2, 2)}, "snpe")
    assert abs(result.network.residual) < 0.05
    assert result.data.samples == samples
    assert result.coverage.sites_matched == result.coverage.sites_total


@pytest.mark.slow
def test_samples_that_fill_up_a_batch_count_nothing(tmp_path: Path) -> None:
    text = """g (float[%s,4,2,2] x) => (float[%s,3] y) { c = Conv (x, w)  r = Relu(c)
        f = Flatten(r)  y = Gemm (f, k) }"""
    results = []
    for size in ("N", "4"):
        model = proto(text % (size, size), w=random(4, 4, 1, 1), k=random(16, 3))
        results.append(diagnosed(saved(model, tmp_path), {"x": random(6, 4, 2, 2)}, "snpe"))
    free, fixed = results
    assert fixed.baseline.sqnr_db == pytest.approx(free.baseline.sqnr_db, abs=1e-3)
    assert fixed.network.total == pytest.approx(free.network.total, rel=1e-4)
    for a, b in zip(free.sites, fixed.sites, strict=True):
        assert b.mse == pytest.approx(a.mse, rel=1e-4)


def test_samples_without_a_batch_axis_are_run_whole(tmp_path: Path) -> None:
    model = proto("g (float[3,4] x, float[4] z) => (float[3,4] y) { y = Add(x, z) }")
    data: dict[str, NDArray[Any]] = {"x": random(5, 3, 4), "z": random(5, 4)}
    result = diagnosed(saved(model, tmp_path), data, "snpe")
    assert abs(result.network.residual) < 0.05


def test_a_runtime_that_stops_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    model = proto("g (float[N,4] x, int64[N] i) => (float[N,4] y) { y = Gather(x, i) }")
    data: dict[str, NDArray[Any]] = {"x": random(3, 4), "i": np.asarray([0, 1, 9])}
    with pytest.raises(SimulationError) as info:
        diagnosed(saved(model, tmp_path), data, "snpe")
    assert info.value.code == "S001"
    assert "out of data bounds" in str(info.value)


def test_an_op_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    model = proto("g (float[N,4] x) => (float[N,4] y) { y = local.Mystery(x) }")
    with pytest.raises(ModelError) as info:
        diagnosed(saved(model, tmp_path), {"x": random(3, 4)}, "snpe")
    assert info.value.code == "M006"


def test_nothing_to_quantize_is_an_error(tmp_path: Path) -> None:
    model = proto("g (float[N,4] x) => (float[N,4] y) { y = Sin(x) }")
    with pytest.raises(ModelError) as info:
        diagnosed(saved(model, tmp_path), {"x": random(3, 4)}, find_target("cnrt"))
    assert info.value.code == "M011"


def test_onnx_reference_runs_what_onnx_runtime_lacks() -> None:
    text = "g (float[2,4] x) => (float[2,4] y) { y = Add(x, x) }"
    model = onnx.ModelProto()
    model.CopyFrom(proto(text))
    session = Session(ir.from_proto(model))
    assert session.engine == "onnxruntime"
    mystery = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[2,4] x) => (float[2,4] y) { y = local.twice(x) }
        <domain: "local", opset_import: ["" : 17]> twice (a) => (b) { b = Blackbox(a) }"""
    with pytest.raises(ModelError):
        Session(ir.from_proto(onnx.parser.parse_model(mystery)))
