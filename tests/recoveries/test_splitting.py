"""Outlier channel splitting: halves that round like the whole, in nets that compute the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.channels.duplicate import halved, outliers, split_all
from lostbits.channels.layer_pairs import find_chains
from lostbits.channels.weights import Weights, layers_of
from lostbits.recoveries.splitting import Splitting, steps
from lostbits.targets import target
from rescalable_nets import Uneven, case_of, change_of, diagnosed, drift, samples
from runs import codes

IMAGES = samples(0, 6, 3, 8, 8)


@given(st.floats(-1e6, 1e6, allow_subnormal=False))
def test_halves_a_quarter_of_a_step_apart_round_to_the_whole(u: float) -> None:
    assert np.rint(u / 2 - 0.25) + np.rint(u / 2 + 0.25) == pytest.approx(np.rint(u), abs=0) or (
        u - np.floor(u) == 0.5  # halfway, where either neighbour is as near
    )


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_parts_add_up_and_round_like_the_whole(seed: int, count: int) -> None:
    blocks = np.random.default_rng(seed).normal(0, 10, (1, 4, 6, 3))
    chosen = outliers(blocks, count)
    parts = split_all(blocks, chosen, 0.25)  # a quarter of a step of 1
    owners = [*range(6), *chosen]
    for whole, part in ((blocks, parts), (np.rint(blocks), np.rint(parts))):
        total = np.zeros_like(blocks)
        for column, owner in enumerate(owners):
            root = owner
            while root >= 6:
                root = owners[root]
            total[:, :, root] += part[:, :, column]
        np.testing.assert_allclose(total, whole, atol=1e-9)
    assert np.abs(parts).max() <= np.abs(blocks).max()


def test_zeros_stay_zeros() -> None:
    np.testing.assert_array_equal(halved(np.zeros((1, 2, 2, 1)), 0, 0.25), np.zeros((1, 2, 3, 1)))


def test_the_largest_weight_goes_first() -> None:
    blocks = np.array([1.0, 9.0, 4.0, 2.0]).reshape(1, 1, 4, 1)
    assert outliers(blocks, 4) == [1, 1, 4, 2]  # 9, its halves 4.5 and 4.5, then 4


def spiked(net: Uneven, *shape: int, channel: int = 2) -> str:
    weight = net.random.normal(0, 0.1, shape)
    weight[:, channel] *= 8
    return net.constant(weight)


def _tail(net: Uneven, x: str, op: str) -> str:
    match op:
        case "Conv":
            return net.add("Conv", [x, spiked(net, 5, 8, 3, 3), net.bias(5)], pads=[1] * 4)
        case "ConvTranspose":
            weight = net.random.normal(0, 0.1, (8, 5, 2, 2))
            weight[2] *= 8
            return net.add("ConvTranspose", [x, net.constant(weight)], strides=[2, 2])
        case "Gemm":
            weight = net.random.normal(0, 0.1, (5, 8, 64))
            weight[:, 2] *= 8
            inputs = [net.add("Flatten", [x]), net.constant(weight.reshape(5, 512)), net.bias(5)]
            return net.add("Gemm", inputs, transB=1)
        case "MatMul":
            weight = net.random.normal(0, 0.1, (8, 5))
            weight[2] *= 8
            last = net.add("Transpose", [x], perm=[0, 2, 3, 1])
            return net.add("MatMul", [last, net.constant(weight)])
    raise AssertionError(op)


def two_layers(op: str, middle: Any = None) -> onnx.ModelProto:
    net = Uneven(1)
    x = net.add("Conv", ["x", net.normal(8, 3, 3, 3), net.bias(8)], pads=[1] * 4)
    x = _tail(net, (middle or (lambda n, v: n.add("Relu", [v])))(net, x), op)
    return net.model([3, 8, 8], x, rank=2 if op == "Gemm" else 4)


@pytest.mark.parametrize("name", ["snpe", "qnn-htp"])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_function_stays_and_steps_shrink(tmp_path: Path, op: str, name: str) -> None:
    case = case_of(two_layers(op), IMAGES, tmp_path, name)
    change = change_of(Splitting(), case)
    assert change.summary.code == "ledger.splitting"
    figures = change.summary.figures
    assert (figures["channels"], figures["weights"]) == ("1", "1")
    assert drift(case, change, 3 * IMAGES) < 1e-5
    assert change.model is not None
    (pair,), rule = find_chains(case.model).pairs, target(name).weights
    before = Weights(case.model, layers_of([pair])).blocks[pair.second.node]
    (wide,) = find_chains(change.model).pairs
    assert wide.channels == 9
    after = Weights(change.model, layers_of([wide])).blocks[wide.second.node]
    step = steps(after, rule)
    assert np.median(step / steps(before, rule)) < 0.6
    np.testing.assert_allclose(
        after[0, :, 8] - after[0, :, 2], np.broadcast_to(step / 2, after[0, :, 2].shape), rtol=2e-4
    )
    whole, parts = before[0] / step[:, None], np.rint(after[0] / step[:, None])
    parts[:, 2] += parts[:, 8]
    # The grid ends at the larger part of the largest weight, which therefore lies halfway.
    clear = np.abs(whole - np.floor(whole) - 0.5) > 1e-3
    np.testing.assert_array_equal(parts[:, :8][clear], np.rint(whole)[clear])
    assert clear.mean() > 0.8


@pytest.mark.parametrize(
    "middle",
    [
        lambda n, x: n.relu6(x),
        lambda n, x: x,
        lambda n, x: n.add("PRelu", [x, n.constant(np.array([0.1]))]),
        lambda n, x: n.add("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4),
    ],
)
def test_what_may_stand_between(tmp_path: Path, middle: Any) -> None:
    case = case_of(two_layers("Conv", middle), IMAGES, tmp_path)
    change = change_of(Splitting(expansion=0.3), case)
    assert change.summary.code == "ledger.splitting"
    figures = change.summary.figures
    assert (figures["channels"], figures["weights"]) == ("3", "1")
    assert drift(case, change, IMAGES) < 1e-5


def mobile(depth: int) -> onnx.ModelProto:
    """Depthwise layers between an expansion and a projection with an outlier."""
    net = Uneven(7)
    x = net.relu6(net.add("Conv", ["x", net.normal(8, 3, 1, 1), net.bias(8)]))
    for _ in range(depth):
        inputs = [x, net.normal(8, 1, 3, 3), net.bias(8)]
        x = net.relu6(net.add("Conv", inputs, group=8, pads=[1] * 4))
    return net.model([3, 8, 8], net.add("Conv", [x, spiked(net, 4, 8, 1, 1)]), rank=4)


@pytest.mark.parametrize("depth", [1, 2])
def test_depthwise_layers_get_the_copy_too(tmp_path: Path, depth: int) -> None:
    case = case_of(mobile(depth), IMAGES, tmp_path)
    change = change_of(Splitting(), case)
    assert drift(case, change, IMAGES) < 1e-5
    assert change.model is not None
    groups = [n.attributes.get_int("group", 1) for n in change.model.graph if n.op_type == "Conv"]
    assert groups == [1, *[9] * depth, 1]
    assert change.summary.code == "ledger.splitting"
    assert change.summary.figures["growth"] != "0%"


REFUSED: dict[str, Any] = {
    "skipped.width": lambda n, x: _tail(
        n, n.add("PRelu", [x, n.constant(np.full((8, 1, 1), 0.1))]), "Conv"
    ),
    "skipped.groups": lambda n, x: n.add("Conv", [x, n.normal(4, 4, 1, 1)], group=2),
    "skipped.groups_before": lambda n, x: _tail(
        n, n.add("Conv", [n.add("Sigmoid", [x]), n.normal(8, 1, 1, 1)], group=8), "Conv"
    ),
    "skipped.not_out": lambda n, x: n.add("Conv", [x, n.constant(np.ones((4, 8, 1, 1)))]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_split_is_named(tmp_path: Path, reason: str) -> None:
    net = Uneven(1)
    x = net.add("Conv", ["x", net.normal(8, 3, 3, 3), net.bias(8)], pads=[1] * 4)
    model = net.model([3, 8, 8], REFUSED[reason](net, x), rank=4)
    change = change_of(Splitting(), case_of(model, IMAGES, tmp_path))
    assert change.empty
    assert change.summary.code == "ledger.splitting_none"
    assert any(reason in codes(why) for why in change.skipped.values()), change.skipped


def test_prediction_is_the_square_of_the_step(tmp_path: Path) -> None:
    case = case_of(two_layers("Conv"), IMAGES, tmp_path)
    change = change_of(Splitting(), case)
    assert change.model is not None
    (pair,), (wide,) = (find_chains(m).pairs for m in (case.model, change.model))
    ratio = [
        steps(Weights(m, layers_of([p])).blocks[p.second.node], case.target.weights)
        for m, p in ((case.model, pair), (change.model, wide))
    ]
    expected = -20 * np.log10(float(ratio[1][0, 0] / ratio[0][0, 0]))
    predicted = Splitting().consider(case).gain(diagnosed({f"{pair.second.weight}:weight": 1.0}))
    assert predicted == pytest.approx(expected, rel=1e-3)
