"""Q/DQ graphs in the arithmetic of a target, against kernels written out in the tests."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lostbits.arithmetics import CNNL, TFLITE, X86_AVX2, X86_VNNI
from lostbits.kernels.onnxruntime import in_integers
from lostbits.kernels.reaches import layer_reaches
from lostbits.kernels.simulated import in_arithmetic
from lostbits.kernels.softmax import exponential, softmax
from lostbits.runtime.session import Session
from lostbits.target import Arithmetic

STEP, WEIGHT_STEP, OUT_STEP = 0.01, 0.002, 0.04
Arrays = Mapping[str, Any]


def constants(shape: tuple[int, ...], channels: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "s": np.float32(STEP),
        "z": np.uint8(3),
        "os": np.float32(OUT_STEP),
        "oz": np.uint8(90),
        "ws": np.full(channels, WEIGHT_STEP, np.float32),
        "wz": np.zeros(channels, np.int8),
        "bs": np.full(channels, STEP * WEIGHT_STEP, np.float32),
        "w_codes": random.integers(-127, 128, shape, np.int8),
        "b_codes": random.integers(-9000, 9000, channels, np.int32),
    }


def pair(source: str, name: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}_q"], name=f"{name}_q"),
        helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [name], name=f"{name}_d"),
    ]


def net(layer: list[onnx.NodeProto], held: Arrays, channels: int, axis: int) -> ir.Model:
    """``x`` quantized to ``a``; a layer of ``a``, ``w``, ``b`` gives ``c``, quantized to ``y``."""
    back = [
        helper.make_node("DequantizeLinear", ["w_codes", "ws", "wz"], ["w"], name="w_d", axis=axis),
        helper.make_node("DequantizeLinear", ["b_codes", "bs"], ["b"], name="b_d", axis=0),
    ]
    nodes = [*pair("x", "a", "s", "z"), *back, *layer, *pair("c", "y", "os", "oz")]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y", "y_q")]
    ends[2] = helper.make_tensor_value_info("y_q", TensorProto.UINT8, None)
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.graph.input[0].type.tensor_type.shape.dim.add().dim_param = "N"
    return ir.from_proto(model)


def conv(channels: int, group: int = 1, **attributes: Any) -> tuple[ir.Model, Arrays]:
    held = constants((channels, 6 // group, 3, 3), channels)
    node = helper.make_node("Conv", ["a", "w", "b"], ["c"], name="conv", group=group, **attributes)
    model = net([node], held, channels, 0)
    shape = model.graph.inputs[0]
    shape.shape = ir.Shape(["N", 6, 9, 8])
    return model, held


def matmul() -> tuple[ir.Model, Arrays]:
    """A matrix product, and its bias by an Add."""
    held = constants((10, 5), 5)
    layer = [
        helper.make_node("MatMul", ["a", "w"], ["m"], name="product"),
        helper.make_node("Add", ["m", "b"], ["c"], name="bias"),
    ]
    model = net(layer, held, 5, 1)
    model.graph.inputs[0].shape = ir.Shape(["N", 7, 10])
    return model, held


def bright(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(0.5, 2.5, shape).astype(np.float32)


def run(model: ir.Model, x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    return Session(model, optimise=False).run({"x": x})


def codes_of(x: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(np.clip(np.rint(x / np.float32(STEP)) + 3, 0, 255), np.int64)


def patches(
    q: NDArray[np.int64], w: NDArray[np.int64], pads: int, stride: int, dilation: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of every place, the codes that a kernel sees: tap after tap, channels inside; and weights."""
    q = np.pad(q, ((0, 0), (0, 0), (pads, pads), (pads, pads)), constant_values=3)
    span = 2 * dilation
    rows = [
        [
            [q[n, :, i : i + span + 1 : dilation, j : j + span + 1 : dilation]]
            for i in range(0, q.shape[2] - span, stride)
            for j in range(0, q.shape[3] - span, stride)
        ]
        for n in range(len(q))
    ]
    seen = np.array(rows)[:, :, 0]  # samples, places, channels, 3, 3
    return seen.transpose(0, 1, 3, 4, 2).reshape(len(q), seen.shape[1], -1), np.moveaxis(
        w, 1, -1
    ).reshape(len(w), -1)


def saturated(seen: NDArray[np.int64], w: NDArray[np.int64]) -> NDArray[np.int64]:
    """VPMADDUBSW over neighbours, added; less the zero point of the input."""
    odd = w.shape[-1] % 2
    a, b = (np.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, odd)]) for v in (seen, w))
    products = a[..., None, :] * b
    pairs = np.clip(products[..., 0::2] + products[..., 1::2], -32768, 32767)
    return np.asarray(pairs.sum(-1) - 3 * w.sum(-1))


def as_codes(total: NDArray[np.int64]) -> NDArray[np.uint8]:
    """By one float32 factor, to nearest."""
    ratio = np.float32(
        np.float64(np.float32(STEP)) * np.float32(WEIGHT_STEP) / np.float32(OUT_STEP)
    )
    steps = np.rint(total.astype(np.float32) * ratio)
    return np.asarray(np.clip(steps + 90, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("pads", "stride", "dilation"), [(0, 1, 1), (1, 2, 1), (2, 1, 2), (1, 3, 1)]
)
def test_avx2_convolutions_are_those_of_the_instruction(
    pads: int, stride: int, dilation: int
) -> None:
    options: dict[str, Any] = {
        "pads": [pads] * 4,
        "strides": [stride] * 2,
        "dilations": [dilation] * 2,
    }
    model, held = conv(4, **options)
    x = bright(2, 6, 9, 8)
    made = in_arithmetic(model, X86_AVX2)
    found = run(made.model, x)
    seen, w = patches(codes_of(x), held["w_codes"].astype(np.int64), pads, stride, dilation)
    total = saturated(seen, w) + held["b_codes"]
    expected = as_codes(total).transpose(0, 2, 1).reshape(found["y_q"].shape)
    np.testing.assert_array_equal(found["y_q"], expected)
    counts = made.counts["conv"]
    assert 0 < found[counts.left].sum() < found[counts.sums]


def test_avx2_products_are_those_of_the_instruction() -> None:
    model, held = matmul()
    x = bright(3, 7, 10)
    found = run(in_arithmetic(model, X86_AVX2).model, x)
    total = saturated(codes_of(x), held["w_codes"].astype(np.int64).T) + held["b_codes"]
    np.testing.assert_array_equal(found["y_q"], as_codes(total))


@pytest.mark.parametrize("group", [1, 2, 6])
def test_with_vnni_kernels_compute_what_onnx_runtimes_do(group: int) -> None:
    model, _ = conv(6, group, pads=[1] * 4)
    x = bright(2, 6, 9, 8)
    spelt, layers = in_integers(model)
    made = in_arithmetic(model, X86_VNNI)
    assert layers == made.layers == 1
    np.testing.assert_array_equal(run(made.model, x)["y_q"], run(spelt, x)["y_q"])
    assert not run(made.model, x)[made.counts["conv"].left].any()


def test_depthwise_kernels_have_no_pairs() -> None:
    model, _ = conv(6, 6)
    x = bright(2, 6, 9, 8)
    narrow, wide = (run(in_arithmetic(model, a).model, x) for a in (X86_AVX2, X86_VNNI))
    np.testing.assert_array_equal(narrow["y_q"], wide["y_q"])


def test_a_truncating_multiplier_loses_half_a_code_on_average() -> None:
    model, _ = conv(4)
    x = bright(4, 6, 9, 8)
    own = replace(X86_VNNI, requantization="fixed", rounding="floor")
    cut, near = (run(in_arithmetic(model, a).model, x)["y_q"].astype(int) for a in (own, X86_VNNI))
    inside = (near > 0) & (near < 255)
    assert set(np.unique((cut - near)[inside])) == {-1, 0}
    assert np.mean((cut - near)[inside]) == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("own", [TFLITE, replace(X86_VNNI, accumulator_bits=32)])
def test_the_float_definition_stays_beside_a_kernel(own: Arithmetic) -> None:
    model, _ = conv(4)
    x = bright(2, 6, 9, 8)
    made = in_arithmetic(model, own, ["c", "y"])
    np.testing.assert_allclose(
        run(made.model, x)["c"], Session(model, optimise=False).run({"x": x})["y"], atol=OUT_STEP
    )
    assert made.layers == 1
    assert not made.sums


def test_a_sum_that_stays_float_is_given_out_with_what_it_should_be() -> None:
    model, _ = conv(4)
    narrow = replace(CNNL, accumulator_bits=16)
    made = in_arithmetic(model, narrow)
    assert made.sums == ("c",)
    found = run(made.model, bright(2, 6, 9, 8))
    off = found["c"] - found["c__float"]
    unit = STEP * WEIGHT_STEP * 2**16  # a sum that wraps is off by that
    assert np.abs(off / unit - np.rint(off / unit)).max() < 1e-2
    assert found[made.counts["conv"].left].sum() == (np.abs(off) > unit / 2).sum() > 0


@pytest.mark.parametrize("op", ["Sigmoid", "HardSwish", "Tanh"])
def test_an_activation_by_its_table_is_the_nearest_code(op: str) -> None:
    held = constants((1, 1), 1)
    held["os"], held["oz"] = np.float32(1 / 128), np.uint8(128)
    model = net([helper.make_node(op, ["a"], ["c"], name="act")], held, 1, 1)
    model.graph.inputs[0].shape = ir.Shape(["N", 6])
    x = np.linspace(-1, 2.5, 600, dtype=np.float32).reshape(-1, 6)
    table, ideal = run(in_arithmetic(model, TFLITE).model, x), run(model, x)
    assert np.abs(table["y_q"].astype(int) - ideal["y_q"]).max() <= 1
    assert np.mean(table["y_q"] != ideal["y_q"]) < 0.01  # ties alone


def test_integer_add_and_mean_are_off_by_less_than_a_code() -> None:
    held = constants((1, 1), 1)
    held |= {"s2": np.float32(0.017), "z2": np.uint8(40)}
    layer = [
        *pair("x", "a2", "s2", "z2"),
        helper.make_node("Add", ["a", "a2"], ["sum"], name="add"),
        *pair("sum", "t", "os", "oz"),
        helper.make_node("GlobalAveragePool", ["t"], ["c"], name="mean"),
    ]
    model = net(layer, held, 1, 1)
    model.graph.inputs[0].shape = ir.Shape(["N", 3, 5, 5])
    made = in_arithmetic(model, TFLITE, ["t", "sum"])
    assert made.layers == 2
    found = run(made.model, bright(40, 3, 5, 5))
    assert np.abs(found["t"] - found["sum"]).max() <= 0.51 * OUT_STEP
    mean = found["t"].mean((2, 3), keepdims=True)
    assert np.abs(found["y"] - mean).max() <= 0.51 * OUT_STEP


INTEGER = replace(TFLITE, name="integer", requantization="float", twice=False)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 2, 1]},
        {"strides": [2, 2], "output_padding": [1, 1], "dilations": [2, 1]},
        {"strides": [1, 1], "pads": [2, 2, 2, 2], "dilations": [1, 1]},
        {"pads": [3, 2, 2, 3]},
    ],
    ids=["plain", "strides", "padding", "full", "cropped"],
)
def test_transposed_convolutions_are_those_of_onnx(group: int, options: dict[str, Any]) -> None:
    held = constants((6, 4 // group, 3, 3), 4)
    held["ws"] = np.linspace(1, 3, 4 // group, dtype=np.float32) * WEIGHT_STEP
    held["wz"] = np.zeros(4 // group, np.int8)
    held["bs"] = np.tile(held["ws"] * np.float32(STEP), group)
    node = helper.make_node(
        "ConvTranspose", ["a", "w", "b"], ["c"], name="up", group=group, **options
    )
    model = net([node], held, 4, 1)
    model.graph.inputs[0].shape = ir.Shape(["N", 6, 5, 4])
    x = bright(2, 6, 5, 4)
    made = in_arithmetic(model, INTEGER)
    assert made.layers == 1
    found, ideal = run(made.model, x), run(model, x)
    assert np.abs(found["y_q"].astype(int) - ideal["y_q"]).max() <= 1
    assert np.mean(found["y_q"] != ideal["y_q"]) < 0.01  # ties alone
    counts = made.counts["up"]
    assert found[counts.sums] == ideal["y_q"].size
    assert not found[counts.left].any()


def test_onnx_runtime_leaves_transposed_convolutions_in_float() -> None:
    held = constants((6, 4, 3, 3), 4)
    node = helper.make_node("ConvTranspose", ["a", "w", "b"], ["c"], name="up")
    model = net([node], held, 4, 1)
    model.graph.inputs[0].shape = ir.Shape(["N", 6, 5, 4])
    assert in_arithmetic(model, X86_AVX2).layers == 0


def test_sums_of_transposed_convolutions_leave_narrow_accumulators() -> None:
    held = constants((6, 4, 3, 3), 4)
    node = helper.make_node("ConvTranspose", ["a", "w", "b"], ["c"], name="up")
    model = net([node], held, 4, 1)
    model.graph.inputs[0].shape = ir.Shape(["N", 6, 5, 4])
    own = replace(INTEGER, accumulator_bits=16, overflow="saturate")
    made = in_arithmetic(model, own)
    found, ideal = run(made.model, bright(2, 6, 5, 4)), run(model, bright(2, 6, 5, 4))
    most = layer_reaches(model, own)["up"]
    counts = made.counts["up"]
    assert 0 < found[counts.left].sum() < found[counts.sums]
    assert found[counts.most] <= most.reach.packed
    assert most.kind == "sums" and most.reach.leaves
    assert np.abs(found["y_q"].astype(int) - ideal["y_q"]).max() > 10


def softmax_net(kind: Any, scale: float, own_scale: float, zero: int) -> ir.Model:
    held = {
        "s": np.float32(scale),
        "z": kind(0),
        "os": np.float32(own_scale),
        "oz": kind(zero),
    }
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    nodes = [*pair("x", "a", "s", "z"), helper.make_node("Softmax", ["a"], ["c"], name="act")]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    whole = [*nodes, *pair("c", "y", "os", "oz")]
    graph = helper.make_graph(whole, "net", ends[:1], ends[1:], stored)
    opset = [helper.make_opsetid("", 21)]
    model = ir.from_proto(helper.make_model(graph, opset_imports=opset, ir_version=10))
    model.graph.inputs[0].shape = ir.Shape(["N", 12])
    return model


@pytest.mark.parametrize(
    ("kind", "scale", "unit", "zero", "most"),
    [
        (np.int8, 0.06, 256, -128, 1),
        (np.int8, 0.5, 256, -128, 1),
        (np.uint8, 0.06, 256, 0, 1),
        (np.int16, 0.0002, 32768, 0, 12),
    ],
)
def test_softmax_in_fixed_point_is_near_the_function(
    kind: Any, scale: float, unit: int, zero: int, most: int
) -> None:
    model = softmax_net(kind, scale, 1 / unit, zero)
    x = np.random.default_rng(0).normal(0, 2, (200, 12)).astype(np.float32)
    made = in_arithmetic(model, TFLITE)
    assert made.layers == 1
    found, ideal = run(made.model, x)["y"], run(model, x)["y"]
    off = np.abs(found - ideal) * unit
    assert off.max() <= most + 0.01
    assert np.abs(found.sum(1) - 1).max() < 12 * most / unit


def test_softmax_of_another_scale_has_no_such_kernel() -> None:
    assert in_arithmetic(softmax_net(np.int8, 0.06, 1 / 255, -128), TFLITE).layers == 0
    assert in_arithmetic(softmax_net(np.int8, 0.06, 1 / 256, 0), TFLITE).layers == 0
    assert in_arithmetic(softmax_net(np.int8, 0.06, 1 / 256, -128), X86_VNNI).layers == 0


def exact_softmax(codes: list[int], scale: float) -> list[int]:
    """Codes of 8 bits above the smallest, number by number: sums of exact fractions of 2^-31."""
    high = max(codes)
    powers = [round(np.exp((c - high) * scale) * 2**31) for c in codes]
    return [min((512 * p + sum(powers)) // (2 * sum(powers)), 255) for p in powers]


def test_softmax_of_8_bits_rounds_exact_fractions_but_for_ties() -> None:
    draw = np.random.default_rng(1)
    off = []
    for _ in range(300):
        codes = draw.integers(-128, 128, 9)
        scale = float(np.exp(draw.uniform(-6, 0)))
        found = softmax(codes.astype(np.int64), scale, 8, "half_up", twice=True)
        off += list(np.asarray(found) - exact_softmax(codes.tolist(), scale))
    assert np.abs(off).max() <= 1
    assert np.mean(np.abs(off) > 0) < 0.01


def test_a_table_of_16_bits_misses_the_middle_as_little_as_the_borders() -> None:
    step = 8 / 32768
    held = {"s": np.float32(step), "z": np.int16(0), "os": np.float32(1 / 32768), "oz": np.int16(0)}
    nodes = [*pair("x", "a", "s", "z"), helper.make_node("Sigmoid", ["a"], ["c"], name="act")]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    whole = [*nodes, *pair("c", "y", "os", "oz")]
    graph = helper.make_graph(whole, "net", ends[:1], ends[1:], stored)
    opset = [helper.make_opsetid("", 21)]
    model = ir.from_proto(helper.make_model(graph, opset_imports=opset, ir_version=10))
    model.graph.inputs[0].shape = ir.Shape(["N"])
    x = (np.arange(-32768, 32768, 7) * step).astype(np.float32)
    found, ideal = (run(m, x)["y"] for m in (in_arithmetic(model, TFLITE).model, model))
    off = (found - ideal) * 32768
    assert np.abs(off).max() <= 2
    assert abs(off.mean()) < 0.05


def test_the_exponential_of_softmax_has_22_bits() -> None:
    x = -np.arange(0, 31 << 26, 99_991, dtype=np.int64)
    found, exact = exponential(x) / 2**31, np.exp(x / 2**26)
    assert np.abs(found - exact).max() < 2**-22
