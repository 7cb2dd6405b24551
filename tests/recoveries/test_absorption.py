"""High-bias absorption: exact where nothing falls below what is absorbed; the rest is left."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lostbits.channels.layer_pairs import find_chains
from lostbits.channels.weights import Weights, layers_of
from lostbits.recoveries.absorption import Absorption
from rescalable_nets import Uneven, case_of, change_of, diagnosed, drift, samples
from runs import codes

IMAGES = np.abs(samples(0, 6, 3, 8, 8))
_SLOPES = np.linspace(0, 1, 8).reshape(8, 1, 1)


def lifted(middle: Any = None, last: Any = None, bias: float = 20.0) -> onnx.ModelProto:
    """Two layers, and three channels of the first that a large bias lifts above zero."""
    net = Uneven(3)
    biases = net.random.normal(0, 0.1, 8)
    biases[:3] = bias
    weight = net.constant(net.random.normal(0, 0.5, (8, 3, 3, 3)))
    x = net.add("Conv", ["x", weight, net.constant(biases)], pads=[1] * 4)
    x = net.add("Relu", [x]) if middle is None else middle(net, x)
    if last is None:
        return net.model([3, 8, 8], net.add("Conv", [x, net.normal(4, 8, 3, 3)]), rank=4)
    return net.model([3, 8, 8], last(net, x), rank=2)


MIDDLES: dict[str, Any] = {
    "Relu": lambda n, x: n.add("Relu", [x]),
    "LeakyRelu": lambda n, x: n.add("LeakyRelu", [x], alpha=0.2),
    "PRelu": lambda n, x: n.add("PRelu", [x, n.constant(_SLOPES)]),
    "bound that no one meets": lambda n, x: n.add(
        "Clip", [x, n.constant(np.array(0.0)), n.constant(np.array(100.0))]
    ),
    "max pool": lambda n, x: n.add("MaxPool", [n.add("Relu", [x])], kernel_shape=[2, 2]),
    "average pool that counts no pads": lambda n, x: n.add(
        "AveragePool", [n.add("Relu", [x])], kernel_shape=[2, 2], pads=[1] * 4
    ),
}
LASTS: dict[str, Any] = {
    "Conv": None,
    "Gemm": lambda n, x: n.gemm(n.add("Flatten", [x]), 512, 5),
    "Gemm without bias": lambda n, x: n.add("Gemm", [n.add("Flatten", [x]), n.normal(512, 5)]),
    "pooled": lambda n, x: n.gemm(n.add("Flatten", [n.add("GlobalAveragePool", [x])]), 8, 5),
}


@pytest.mark.parametrize("middle", MIDDLES)
def test_activations(tmp_path: Path, middle: str) -> None:
    _check(lifted(MIDDLES[middle]), tmp_path)


@pytest.mark.parametrize("last", LASTS)
def test_layers(tmp_path: Path, last: str) -> None:
    _check(lifted(last=LASTS[last]), tmp_path)


def _check(model: onnx.ModelProto, folder: Path) -> None:
    case = case_of(model, IMAGES, folder)
    change = change_of(Absorption(), case)
    assert change.summary.code == "ledger.absorption"
    counts = change.summary.figures
    assert (counts["channels"], counts["pairs"]) == ("3", "1")
    assert drift(case, change, IMAGES) < 1e-5
    assert change.model is not None
    pairs = find_chains(case.model).pairs
    first = pairs[0].first.node
    biases = [Weights(m, layers_of(pairs)).biases[first] for m in (case.model, change.model)]
    seen = case.seen[f"{pairs[0].tensors[1]}:activation"].channels
    np.testing.assert_allclose((biases[0] - biases[1])[:3], seen.lo[:3], rtol=1e-5)
    np.testing.assert_array_equal(biases[0][3:], biases[1][3:])


def test_a_grouped_layer_behind(tmp_path: Path) -> None:
    def last(net: Uneven, x: str) -> str:
        x = net.add("Conv", [x, net.normal(8, 1, 3, 3), net.bias(8)], group=8)
        return net.add("Flatten", [x])

    _check(lifted(last=last), tmp_path)


REFUSED: dict[str, Any] = {
    "skipped.border": (None, lambda n, x: n.add("Flatten", [_padded(n, x)])),
    "AveragePool": (
        lambda n, x: n.add(
            "AveragePool",
            [n.add("Relu", [x])],
            kernel_shape=[2, 2],
            pads=[1] * 4,
            count_include_pad=1,
        ),
        None,
    ),
    "ConvTranspose": (
        None,
        lambda n, x: n.add("Flatten", [n.add("ConvTranspose", [x, n.normal(8, 2, 2, 2)])]),
    ),
    "skipped.no_relu": (lambda n, x: n.add("Identity", [x]), None),
    "skipped.matmul_bias": (
        None,
        lambda n, x: n.add("MatMul", [n.add("Flatten", [x]), n.normal(512, 5)]),
    ),
}


def _padded(net: Uneven, x: str) -> str:
    return net.add("Conv", [x, net.normal(4, 8, 3, 3)], pads=[1] * 4)


@pytest.mark.parametrize("reason", REFUSED)
def test_what_would_not_be_exact_is_skipped(tmp_path: Path, reason: str) -> None:
    middle, last = REFUSED[reason]
    change = change_of(Absorption(), case_of(lifted(middle, last), IMAGES, tmp_path))
    assert change.empty
    assert change.summary.code == "ledger.absorption_none"
    said = [{*codes(why), why.figures.get("op")} for why in change.skipped.values()]
    assert any(reason in each for each in said), change.skipped


def test_negative_slopes_are_no_rectifier(tmp_path: Path) -> None:
    middle = lambda n, x: n.add("LeakyRelu", [x], alpha=-0.5)  # noqa: E731
    case = case_of(lifted(middle, bias=-20.0), IMAGES, tmp_path, "qnn-htp")
    assert change_of(Absorption(), case).empty


def test_channels_near_a_bound_and_low_ones_stay(tmp_path: Path) -> None:
    def middle(net: Uneven, x: str) -> str:
        return net.add("Clip", [x, net.constant(np.array(0.0)), net.constant(np.array(20.0))])

    change = change_of(Absorption(), case_of(lifted(middle), IMAGES, tmp_path))
    assert change.empty
    assert any("skipped.not_above" in codes(why) for why in change.skipped.values())


def test_the_function_is_not_promised() -> None:
    assert not Absorption().keeps_function


def test_prediction_is_the_shorter_range(tmp_path: Path) -> None:
    case = case_of(lifted(), IMAGES, tmp_path)
    (pair,) = find_chains(case.model).pairs
    key = f"{pair.tensors[1]}:activation"
    seen = case.seen[key].channels
    part = float(((seen.hi - seen.lo).max() / seen.hi.max()) ** 2)
    predicted = Absorption().consider(case).gain(diagnosed({key: 1.0}))
    assert predicted == pytest.approx(-10 * np.log10(part))
    assert Absorption().consider(case).gain(diagnosed({"x:activation": 1.0})) == 0
