"""The identity of a layer's error, against numpy and closed forms."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.layers import (
    TERMS,
    LayerErrors,
    LayerSum,
    _accumulate,
    _report,
    layer_reports,
)
from lostbits.results.diagnosis import LayerReport
from lostbits.runtime.compare_networks import compare
from lostbits.runtime.executor import Executor
from lostbits.runtime.simulation import Frozen, Simulation
from lostbits.targets import target
from small_nets import Net, built, cnn, mlp, samples

Doubles = NDArray[np.float64]


def examined(case: Case, source: Source, batch: int = 16) -> list[LayerReport]:
    executor, simulation = Executor(case.model, case.sites), Simulation(case)
    layers = LayerErrors(case, executor)
    for part in source.batches(batch):
        _, frozen = simulation.run(part)
        compare(executor, part, frozen, [layers])
    return layer_reports(case, layers.sums)


def errors_of(case: Case, part: Batch) -> tuple[Frozen, dict[str, Doubles]]:
    """Frozen errors, and the constants of the model."""
    _, frozen = Simulation(case).run(part)
    values = case.model.graph.initializers
    constants = {str(n): np.asarray(v.const_value, np.float64) for n, v in values.items()}
    return frozen, constants


def shares(terms: Mapping[str, Doubles]) -> dict[str, float]:
    total: Doubles = np.sum(list(terms.values()), axis=0)
    return {name: float((terms[name] * total).sum() / (total**2).sum()) for name in terms}


def check(report: LayerReport, terms: Mapping[str, Doubles], output: Doubles) -> None:
    total: Doubles = np.sum(list(terms.values()), axis=0)
    expected = {name: 0.0 for name in TERMS} | shares(terms)
    assert report.error == pytest.approx((total**2).sum() / (output**2).sum(), rel=1e-4)
    for name, share in expected.items():
        assert report.shares[name] == pytest.approx(share, abs=2e-4), name


@pytest.mark.parametrize("name", ["snpe", "onnxruntime"])
def test_gemm(name: str, tmp_path: Path) -> None:
    net = Net(0)
    source, case = built(
        net.model([6], net.gemm("x", 6, 5)), samples(0, 16, 6), target(name), tmp_path
    )
    part = next(iter(source.batches(16)))
    frozen, c = errors_of(case, part)
    error = {k: np.asarray(v.double()) for k, v in frozen.total.items()}
    x, dx = np.asarray(part.feeds["x"], np.float64), error["x:activation"]
    w, dw = c["c0"], error["c0:weight"]
    terms = {"weight": x @ dw.T, "activation": dx @ w.T, "interaction": dx @ dw.T}
    terms["bias"] = np.broadcast_to(error["c1:bias"], terms["weight"].shape)
    terms["output"] = next(e for k, e in error.items() if k.endswith(":output"))
    (report,) = examined(case, source)
    check(report, terms, x @ w.T + c["c1"])


def test_matmul_and_the_add_of_its_bias(tmp_path: Path) -> None:
    net = Net(1)
    product = net.add("MatMul", ["x", net.normal(6, 5, fan=6)])
    biased = net.add("Relu", [net.add("Add", [product, net.bias(5)])])
    source, case = built(net.model([6], biased), samples(1, 16, 6), target("snpe"), tmp_path)
    for report in examined(case, source):
        assert sum(report.shares.values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("group", [1, 4])
def test_convolution_and_relu(group: int, tmp_path: Path) -> None:
    net = Net(2)
    relu = net.add("Relu", [net.conv("x", (4, 4, 3), group=group)])
    model = net.model([4, 8, 8], relu, rank=4)
    source, case = built(model, samples(2, 4, 4, 8, 8), target("snpe"), tmp_path)
    part = next(iter(source.batches(4)))
    frozen, c = errors_of(case, part)
    error = {k: np.asarray(v.double()) for k, v in frozen.total.items()}
    x, dx = np.asarray(part.feeds["x"], np.float64), error["x:activation"]
    w, dw = c["c0"], error["c0:weight"]
    bias, dbias = c["c1"][None, :, None, None], error["c1:bias"][None, :, None, None]
    float_, quantized = (_conv(v, k, group) for v, k in ((x, w), (x + dx, w + dw)))
    before, after = float_ + bias, quantized + bias + dbias
    change = np.maximum(after, 0) - np.maximum(before, 0)
    slope = np.divide(change, after - before, out=np.zeros_like(change), where=after != before)
    terms = {
        "weight": slope * _conv(x, dw, group),
        "activation": slope * _conv(dx, w, group),
        "interaction": slope * _conv(dx, dw, group),
        "bias": slope * dbias,
        "output": next(e for k, e in error.items() if k.endswith(":output")),
    }
    (report,) = examined(case, source)
    check(report, terms, np.maximum(before, 0))


def _conv(x: Doubles, w: Doubles, groups: int) -> Doubles:
    """A 3x3 convolution with padding 1, by its definition."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(x), len(w), height, width))
    inputs, outputs = x.shape[1] // groups, len(w) // groups
    for o in range(len(w)):
        first = (o // outputs) * inputs
        for i, u, v in np.ndindex(inputs, 3, 3):
            window = padded[:, first + i, u : u + height, v : v + width]
            out[:, o] += w[o, i, u, v] * window
    return out


@pytest.mark.parametrize("name", ["snpe", "onnxruntime"])
@pytest.mark.parametrize("seed", range(3))
def test_shares_sum_to_one(name: str, seed: int, tmp_path: Path) -> None:
    for model, shape in ((cnn(seed), (8, 3, 16, 16)), (mlp(seed), (8, 6))):
        source, case = built(model, samples(seed, *shape), target(name), tmp_path)
        reports = examined(case, source)
        assert reports
        for report in reports:
            assert set(report.shares) == set(TERMS)
            assert sum(report.shares.values()) == pytest.approx(1, abs=1e-6)


def test_batches_add_up(tmp_path: Path) -> None:
    source, case = built(cnn(0), samples(0, 8, 3, 16, 16), target("snpe"), tmp_path)
    for one, other in zip(examined(case, source, 8), examined(case, source, 2), strict=True):
        assert one.node == other.node
        assert one.error == pytest.approx(other.error, rel=1e-4)
        assert one.shares == pytest.approx(other.shares, abs=1e-3)


def test_layers_without_an_error_have_no_shares(tmp_path: Path) -> None:
    source, case = built(mlp(0), samples(0, 8, 6), target("snpe"), tmp_path)
    for report in examined(replace(case, plan={}), source):
        assert report.error == report.bias_share == report.coherence == 0.0
        assert set(report.shares.values()) == {0.0}


def test_a_constant_shift_is_all_bias() -> None:
    shift = torch.tensor([0.5, -0.25, 0.0]).expand(8, 3).contiguous()
    assert _figures({"activation": shift}).bias_share == pytest.approx(1)
    balanced = shift * torch.tensor([1.0, -1.0]).repeat(4)[:, None]
    assert _figures({"activation": balanced}).bias_share == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("angle", "coherence"), [(1.0, 2.0), (0.0, 1.0), (-1.0, 0.0)])
def test_coherence_of_two_terms(angle: float, coherence: float) -> None:
    """Equal terms add up to 2, orthogonal ones to 1, opposite ones cancel."""
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    other = angle * one if angle else one.flip(1)
    figures = _figures({"weight": one, "activation": other})
    assert figures.coherence == pytest.approx(coherence)


def test_huge_terms_that_cancel_leave_no_negative_error() -> None:
    sums = LayerSum("y")
    sums.with_error[:2], sums.power = (-2.0, 1.0), 1.0
    report = _report("n", "Gemm", [], sums)
    assert report.error == report.coherence == 0.0
    assert set(report.shares.values()) == {0.0}


def _figures(terms: dict[str, torch.Tensor]) -> LayerReport:
    sums = LayerSum("y")
    error = torch.stack(list(terms.values())).sum(dim=0)
    _accumulate(sums, terms, error, torch.ones_like(error))
    return _report("layer", "Gemm", ["x"], sums)


def test_a_layer_whose_rounded_mask_is_infinite_has_no_report(tmp_path: Path) -> None:
    source, case = built(mlp(0), samples(0, 16, 6), target("snpe"), tmp_path)
    executor, simulation = Executor(case.model, case.sites), Simulation(case)
    layers = LayerErrors(case, executor)
    part = next(iter(source.batches(16)))
    compare(executor, part, simulation.run(part)[1], [layers])
    first, *others = [report.node for report in layer_reports(case, layers.sums)]
    layers.sums[first].with_error[TERMS.index("output")] = np.inf
    assert [report.node for report in layer_reports(case, layers.sums)] == others
