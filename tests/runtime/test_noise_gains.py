"""Noise gains: closed forms, and the floor that they predict beside the one that is measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from lostbits.case import Case
from lostbits.data import Source
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.noise_gains import NoiseGains, noise_gains
from lostbits.workers.pools import InProcess
from small_nets import Net, cnn, make, mlp, samples


def gains(case: Case, source: Source, seed: int = 0, *, weights: bool = False) -> NoiseGains:
    return noise_gains(case, source, InProcess(), weights=weights, seed=seed)


def chain(net: Net) -> str:
    """``w2 w1 x`` with one output: of a single sign the square is one."""
    first = net.add("MatMul", ["x", net.normal(6, 5)])
    return net.add("MatMul", [first, net.normal(5, 1)])


def in_float(case: Case, role: str) -> Case:
    kept = {s.key for s in case.sites if (s.role == "weight") != (role == "weight")}
    return replace(case, plan={k: a for k, a in case.plan.items() if k in kept})


def test_a_tensor_of_a_linear_network_gains_the_squared_weights_behind_it(tmp_path: Path) -> None:
    net = Net(0)
    data = samples(1, 8, 6)
    source, case = make(tmp_path, net.model([6], chain(net)), data)
    found = gains(case, source)
    w1, w2 = (np.asarray(net_array(net, i), np.float64) for i in range(2))
    power = float(((data.astype(np.float64) @ w1 @ w2) ** 2).sum())
    wanted = {"x": ((w1 @ w2) ** 2).sum(axis=1), "matmul0": (w2**2).sum(axis=1)}
    for tensor, each in wanted.items():
        (site,) = (s for s in case.sites if s.tensor == tensor)
        inner = inside(data if tensor == "x" else data @ w1)
        assert found.channels[site.key] / 8 == pytest.approx(each * inner / power, rel=1e-5)


def inside(x: np.ndarray) -> np.ndarray:
    """How often each channel is none of the two ends."""
    return np.asarray(((x > x.min()) & (x < x.max())).sum(axis=0))


def net_array(net: Net, number: int) -> np.ndarray:
    return np.asarray(numpy_helper.to_array(net.constants[number]))


def test_weights_gain_the_squares_of_what_meets_them(tmp_path: Path) -> None:
    net = Net(0)
    data = samples(1, 8, 6)
    source, case = make(tmp_path, net.model([6], net.add("MatMul", ["x", net.normal(6, 1)])), data)
    (weight,) = (s for s in case.sites if s.role == "weight")
    draws = [gains(case, source, seed, weights=True).weights[weight.key] for seed in range(200)]
    x, w = data.astype(np.float64), np.asarray(net_array(net, 0), np.float64)
    wanted = (x**2).sum(axis=0) / ((x @ w) ** 2).sum()
    assert np.mean(draws, axis=0)[:, 0] / 8 == pytest.approx(wanted, rel=0.25)


@pytest.mark.parametrize("model", [cnn(3), mlp(2)])
def test_the_predicted_floor_is_the_measured_one(tmp_path: Path, model: object) -> None:
    shape = (3, 16, 16) if model.graph.node[0].op_type == "Conv" else (6,)  # type: ignore[attr-defined]
    source, case = make(tmp_path, model, samples(4, 64, *shape), "qnn-htp")
    floor = Judge(case.model, source, compared=case.compared)(in_float(case, "weight")).sqnr_db
    assert gains(case, source).floor_db(case) == pytest.approx(floor, abs=1.5)
