"""Spelt-out arithmetic of graphs in which layers share constants, or names are taken already."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from lostbits.kernels.onnxruntime import in_integers
from lostbits.kernels.openvino import accumulated
from lostbits.kernels.qnn_htp import in_fixed_point
from lostbits.runtime.session import Session

pytestmark = pytest.mark.slow

Arithmetic = Callable[[ir.Model, Collection[str]], tuple[ir.Model, int]]
STEP, WEIGHT_STEP = 0.05, 0.002


def pair(source: str, name: str, scale: str = "s", zero: str = "z") -> list[onnx.NodeProto]:
    """QuantizeLinear -> DequantizeLinear; the result bears the name."""
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}_q"], name=f"{name}_q"),
        helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [name], name=f"{name}_d"),
    ]


def back(codes: str, name: str, scale: str, *zero: str) -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [codes, scale, *zero], [name], name=f"{name}_d")


def conv(source: str, weight: str, bias: str, name: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight, bias], [name], name=name, pads=[1] * 4)


def constants() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "s": np.float32(STEP),
        "z": np.uint8(128),
        "ws": np.float32(WEIGHT_STEP),
        "wz": np.int8(0),
        "bs": np.float32(STEP * WEIGHT_STEP),
        "w_codes": random.integers(-127, 128, (4, 4, 3, 3), np.int8),
        "b_codes": random.integers(-900, 900, 4, np.int32),
    }


def net(weights: int, biases: int, taken: Collection[str] = ()) -> ir.Model:
    """Three convolutions, one behind the other and two side by side, added and quantized.

    Args:
        weights, biases: How many DequantizeLinear stand for the constants that all three read.
        taken: Names of further constants, which are output as they are.
    """
    held = constants() | {name: np.zeros(1, np.float32) for name in taken}
    nodes = pair("x", "a")
    nodes += [back("w_codes", f"w{i}", "ws", "wz") for i in range(weights)]
    nodes += [back("b_codes", f"b{i}", "bs") for i in range(biases)]
    layers = {"c0": "a", "c1": "d0", "c2": "d0"}
    for number, (name, source) in enumerate(layers.items()):
        nodes.append(conv(source, f"w{number % weights}", f"b{number % biases}", name))
        nodes += pair(name, f"d{number}")
    nodes += [helper.make_node("Add", ["d1", "d2"], ["e"], name="e"), *pair("e", "y")]
    shape: list[str | int | None] = ["N", 4, 6, 6]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    others = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in taken]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], [ends[1], *others], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return ir.from_proto(model)


def run(model: ir.Model) -> Mapping[str, Any]:
    x = np.random.default_rng(1).normal(size=(4, 4, 6, 6)).astype(np.float32)
    return Session(model, optimise=False).run({"x": x})


@pytest.mark.parametrize("arithmetic", [in_integers, accumulated, in_fixed_point])
@pytest.mark.parametrize(("weights", "biases"), [(1, 1), (1, 3), (3, 1), (2, 3), (3, 3)])
def test_layers_may_share_weights_and_biases(
    arithmetic: Arithmetic, weights: int, biases: int
) -> None:
    model = net(weights, biases)
    spelt, layers = arithmetic(model, frozenset())
    onnx.checker.check_model(ir.to_proto(spelt), full_check=True)
    assert layers >= 3
    found, expected = run(spelt)["y"], run(model)["y"]
    # Each layer rounds a few values to the neighbouring code.
    assert np.square(found - expected).mean() < STEP**2


@pytest.mark.parametrize("arithmetic", [in_integers, accumulated, in_fixed_point])
def test_names_that_the_graph_has_already_are_left_to_it(arithmetic: Arithmetic) -> None:
    model = net(1, 1)
    spelt, _ = arithmetic(model, frozenset())
    known = {v.name for v in model.graph.initializers.values()}
    new = [v.name for v in spelt.graph.initializers.values() if v.name and v.name not in known]
    assert new
    again, _ = arithmetic(net(1, 1, new), frozenset())
    onnx.checker.check_model(ir.to_proto(again), full_check=True)
    found = run(again)
    np.testing.assert_array_equal(found["y"], run(spelt)["y"])
    assert all(not found[name].any() for name in new)
