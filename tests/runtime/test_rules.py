"""Rules against ONNX's own node tests, against ONNX Runtime, and against numeric gradients."""

import collections
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch.nn import functional

from lostbits.runtime.memory_layout import channels_last
from lostbits.runtime.rules import RULES, Operator, Unsupported
from lostbits.runtime.rules.window import flat_pads
from rule_runs import Arrays, apply, noise, onnx_runtime

REFUSED = {
    "test_col2im_5d",
    "test_maxunpool_export_with_output_shape",
    "test_roialign_mode_max",
    "test_batchnorm_epsilon_training_mode",
    "test_batchnorm_example_training_mode",
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_cubic_antialias",
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_linear_antialias",
    "test_resize_downsample_sizes_cubic_antialias",
    "test_resize_downsample_sizes_linear_antialias",
    "test_resize_tf_crop_and_resize",
    "test_resize_tf_crop_and_resize_axes_2_3",
    "test_resize_tf_crop_and_resize_axes_3_2",
    "test_resize_tf_crop_and_resize_extrapolation_value",
    "test_training_dropout",
    "test_training_dropout_default",
    "test_training_dropout_default_mask",
    "test_training_dropout_mask",
}
"""Node tests that rules refuse, besides those of types that torch has few kernels for."""

REFUSED_FORMS = ("_window", "fullymasked", "nan_robustness", "nonpad", "padded_kv", "qk_matmul")
"""Of names of its node tests of Attention: scores put out, counted keys, what sees nothing."""

WITHOUT_NODE_TESTS = {"GlobalLpPool", "SimplifiedLayerNormalization"}
WIDE_UNSIGNED = {np.dtype("uint16"), np.dtype("uint32"), np.dtype("uint64")}


# ------------------------------------------------------------------ running rules and ONNX Runtime


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}


def _plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else value


def assert_same(
    actual: Sequence[Any], expected: Sequence[Any], rtol: float = 1e-3, atol: float = 1e-5
) -> None:
    assert len(actual) >= len(expected)
    for a, e in zip(actual, expected, strict=False):
        assert (a.shape, a.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol)


def assert_as_onnx_runtime(
    op_type: str, inputs: Arrays, attributes: Mapping[str, Any], **node: Any
) -> None:
    try:
        actual = apply(op_type, inputs, attributes, **node)
    except Unsupported:
        reject()
    assert_same(actual, onnx_runtime(op_type, inputs, attributes, **node), 1e-4, 1e-5)


# ------------------------------------------------------------------------------ ONNX's node tests


class NodeCase(NamedTuple):
    name: str
    operator: Operator
    inputs: Arrays
    expected: Arrays
    told: Sequence[bool]
    rtol: float
    atol: float


@pytest.fixture(scope="module")
def node_cases() -> dict[str, list[NodeCase]]:
    """By operator: the node tests of one node on plain dense arrays."""
    with warnings.catch_warnings():
        # Making the cases overflows casts and divides by zero on purpose.
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        tests = load_model_tests(kind="node")
    cases = collections.defaultdict(list)
    for test in tests:
        for case in _cases(test):
            cases[case.operator.op_type].append(case)
    return cases


def _cases(test: Any) -> Iterator[NodeCase]:
    nodes, imports = test.model.graph.node, {o.domain: o.version for o in test.model.opset_import}
    if len(nodes) != 1 or nodes[0].domain or nodes[0].op_type not in RULES:
        return
    node = nodes[0]
    operator = Operator(node.op_type, attributes_of(node), imports[""], len(node.output))
    for inputs, outputs in test.data_sets:
        arrays, expected = ([_array(value) for value in values] for values in (inputs, outputs))
        if any(array is None for array in (*arrays, *expected)):
            continue
        feeds = iter(arrays)
        placed = [next(feeds) if name else None for name in node.input]
        told = [bool(name) for name in node.output]
        yield NodeCase(test.name, operator, placed, expected, told, test.rtol, test.atol)


def _array(value: Any) -> NDArray[Any] | None:
    """None for sequences, and for types that torch has no tensors of (or numpy no arrays)."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "biuf":
        return None
    return np.asarray(value) if value.dtype.isbuiltin == 1 else None


@pytest.mark.slow  # the first waits ten seconds for ONNX to make them
@pytest.mark.parametrize("op_type", sorted(name for name in RULES if "::" not in name))
def test_the_node_tests_of_onnx(op_type: str, node_cases: dict[str, list[NodeCase]]) -> None:
    compared = 0
    for case in node_cases[op_type]:
        operator = case.operator
        wide = any(x is not None and x.dtype in WIDE_UNSIGNED for x in case.inputs)
        try:
            actual = apply(
                op_type,
                case.inputs,
                operator.attributes,
                opset=operator.opset,
                outputs=operator.outputs,
            )
        except Unsupported:
            assert wide or refused(case.name), case.name
            continue
        assert case.name not in REFUSED
        actual = [a for a, told in zip(actual, case.told, strict=False) if told]
        halves = any(x is not None and x.dtype == np.float16 for x in case.inputs)
        rtol = max(case.rtol, 4e-3 if halves else 1e-3)  # a step of float16 is 1e-3
        assert_same(actual, case.expected, rtol, max(case.atol, 1e-5))
        compared += 1
    assert compared > 0 or op_type in WITHOUT_NODE_TESTS


def refused(name: str) -> bool:
    """Whether the rules refuse a node test."""
    forms = REFUSED_FORMS if name.startswith("test_attention") else ()
    return name in REFUSED or any(form in name for form in forms)


@pytest.mark.slow
def test_most_node_tests_are_compared(node_cases: dict[str, list[NodeCase]]) -> None:
    assert sum(map(len, node_cases.values())) > 780
    assert {case.name for cases in node_cases.values() for case in cases} >= REFUSED


# --------------------------------------------------------------------- against ONNX Runtime


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


F2 = noise(3, 4)
F4 = noise(2, 6, 5, 4)
POSITIVE = np.abs(F4) + np.float32(0.1)
I4 = (F4 * 9).astype(np.int32)

OLD_AND_RARE: list[tuple[str, list[Any], dict[str, Any], dict[str, int]]] = [
    ("Softmax", [F4], {}, {"opset": 11}),
    ("Softmax", [F4], {"axis": -1}, {"opset": 11}),
    ("LogSoftmax", [F4], {"axis": 2}, {"opset": 12}),
    ("Hardmax", [F4], {"axis": 1}, {"opset": 11}),
    ("Squeeze", [F4[:, :1]], {"axes": [1]}, {"opset": 12}),
    ("Squeeze", [F4[:, :1]], {}, {"opset": 12}),
    ("Unsqueeze", [F4], {"axes": [0, -1]}, {"opset": 12}),
    ("ReduceSum", [F4], {"axes": [1, -1], "keepdims": 0}, {"opset": 12}),
    ("ReduceMean", [F4], {"axes": [2, 3]}, {"opset": 13}),
    ("ReduceMean", [I4], {"axes": [2, 3]}, {"opset": 13}),
    ("ReduceProd", [I4[:, :2, 0]], {}, {"opset": 17}),
    ("ReduceL2", [F4], {"keepdims": 0}, {"opset": 17}),
    ("ReduceL1", [I4], {"axes": [0, 3], "keepdims": 0}, {"opset": 17}),
    ("ReduceMax", [F4, ints()], {"noop_with_empty_axes": 1}, {"opset": 18}),
    ("ReduceSum", [F4], {}, {"opset": 13}),
    ("ReduceSum", [np.float32(3).reshape(())], {}, {"opset": 13}),
    ("Split", [F4], {"axis": 1, "split": [1, 3, 2]}, {"opset": 11, "outputs": 3}),
    ("Split", [F4], {"axis": 1}, {"opset": 13, "outputs": 3}),
    ("Split", [F4], {"axis": -2, "num_outputs": 3}, {"opset": 18, "outputs": 3}),
    (
        "GroupNormalization",
        [F4, F4[0, :2, 0, 0], F4[0, :2, 1, 0]],
        {"num_groups": 2},
        {"opset": 18},
    ),
    ("InstanceNormalization", [F4[..., :1, :1], F4[0, :, 0, 0], F4[1, :, 0, 0]], {}, {}),
    ("LayerNormalization", [F4, F4[0, 0, 0]], {"axis": -1, "epsilon": 1e-3}, {}),
    ("LayerNormalization", [F4, noise(5, 1), noise(1, 4)], {"axis": 2}, {"opset": 17}),
    ("LRN", [F4], {"size": 5, "alpha": 0.3, "beta": 0.6, "bias": 1.5}, {}),
    ("LpNormalization", [F4 * (F4 > 0)], {"axis": 3, "p": 1}, {}),
    ("GlobalLpPool", [F4], {"p": 3}, {}),
    ("Gemm", [F2, F2, None], {"transB": 1, "alpha": 0.5}, {}),
    ("Gemm", [F2, F2, F2.T[:, :1]], {"transA": 1, "beta": 0.5}, {"opset": 11}),
    ("Pow", [I4, np.array(2.0, np.float32)], {}, {}),
    ("Pow", [POSITIVE, noise(4)], {}, {}),
    ("Div", [I4, np.where(I4 == 0, 3, I4)[::-1]], {}, {}),
    ("Clip", [F4, None, np.array(0.3, np.float32)], {}, {}),
    ("Clip", [F4, np.array(0.5, np.float32), np.array(0.2, np.float32)], {}, {}),
    ("Clip", [I4, np.array(-2, np.int32)], {}, {}),
    ("PRelu", [F4, noise(6, 1, 1)], {}, {}),
    ("Cast", [F4 * 9], {"to": onnx.TensorProto.INT32}, {}),
    ("Cast", [I4], {"to": onnx.TensorProto.BOOL}, {}),
    ("IsInf", [np.array([np.inf, -np.inf, 1], np.float32)], {"detect_negative": 0}, {"opset": 20}),
    ("Gather", [F4, np.array([[0, -1]], np.int32)], {"axis": 1}, {}),
    ("Gather", [F4, np.array(-2, np.int64)], {"axis": -1}, {}),
    ("GatherND", [F4, ints(0, 1, -1, 5).reshape(2, 2, 1)], {"batch_dims": 1}, {}),
    ("ScatterND", [F4, ints(1, -1).reshape(1, 2), noise(1, 5, 4)], {"reduction": "max"}, {}),
    ("ScatterElements", [F2, ints(1, 1, -1).reshape(1, 3), noise(1, 3)], {"axis": 1}, {}),
    ("OneHot", [ints(0, -2, 7), np.array(3, np.int64), F2[0, :2]], {"axis": 0}, {}),
    ("TopK", [np.round(F4), ints(3)], {"axis": 1, "largest": 0}, {"outputs": 2}),
    ("ArgMin", [np.round(F4)], {"axis": -1, "select_last_index": 1, "keepdims": 0}, {}),
    ("CumSum", [F4, np.array(-1, np.int64)], {"exclusive": 1, "reverse": 1}, {}),
    ("Trilu", [F4, np.array(-1, np.int64)], {"upper": 0}, {}),
    ("NonZero", [np.maximum(np.round(F4), 0)], {}, {}),
    ("Reshape", [F4, ints(0, -1, 4)], {}, {}),
    ("Shape", [F4], {"start": -3, "end": 9}, {}),
    ("Expand", [F4[:, :1], ints(6, 1, 1)], {}, {}),
    ("Constant", [], {"value_ints": [3, 4]}, {}),
    ("Constant", [], {"value_float": 3.5}, {}),
    ("ConstantOfShape", [ints(2, 3)], {}, {}),
    ("Range", [np.float32(3), np.float32(-1), np.float32(-0.3)], {}, {}),
    ("Dropout", [F4], {}, {"outputs": 2}),
    ("BatchNormalization", [F4, *POSITIVE[0, :, :4, 0].T], {"epsilon": 0.1}, {}),
    ("AveragePool", [F4], {"kernel_shape": [5, 4]}, {}),
    ("MaxPool", [F4.astype(np.int8)], {"kernel_shape": [3, 2], "pads": [0, 0, 1, 0]}, {}),
    ("MaxPool", [F4], {"kernel_shape": [3, 2], "pads": [2, 0, 1, 1]}, {"outputs": 2}),
    (
        "MaxPool",
        [F4],
        {"kernel_shape": [2, 3], "strides": [2, 1], "ceil_mode": 1, "storage_order": 1},
        {"outputs": 2},
    ),
    ("Resize", [F4, F4[0, 0, 0, :0], F4[0, 0, 0, :0], ints(2, 6, 7, 9)], {}, {"opset": 11}),
    (
        "Resize",
        [F4, F4[0, 0, 0, :0], np.array([1, 1, 2, 3], np.float32)],
        {"coordinate_transformation_mode": "tf_half_pixel_for_nn"},
        {"opset": 11},
    ),
    ("com.microsoft::Gelu", [F4], {}, {}),
    (
        "com.microsoft::FusedConv",
        [F4, noise(6, 3, 3, 3), F4[0, :, 0, 0], noise(2, 6, 3, 2)],
        {"group": 2, "activation": "Relu"},
        {},
    ),
    (
        "com.microsoft::FusedConv",
        [F4, noise(2, 6, 1, 1), F4[0, :2, 0, 0]],
        {"activation": "HardSigmoid", "activation_params": [0.2, 0.4]},
        {},
    ),
]


@pytest.mark.parametrize("case", OLD_AND_RARE, ids=lambda case: case[0])
def test_old_and_rare_forms_are_those_of_onnx_runtime(
    case: tuple[str, list[Any], dict[str, Any], dict[str, int]],
) -> None:
    op_type, inputs, attributes, node = case
    arrays = [None if x is None else np.array(x) for x in inputs]
    assert_as_onnx_runtime(op_type, arrays, attributes, **node)


EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
PADDINGS = ["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]


class Sliding(NamedTuple):
    """A drawn sliding window: its attributes, and an input that it fits into."""

    attributes: dict[str, Any]
    extent: list[int]
    kernel: list[int]


@st.composite
def sliding(draw: st.DrawFn, *, below_kernel: bool = False) -> Sliding:
    rank = draw(st.integers(1, 3))

    def each(least: int, most: int) -> list[int]:
        return draw(st.lists(st.integers(least, most), min_size=rank, max_size=rank))

    kernel, dilations, extent = each(1, 3), each(1, 2), each(5, 8)
    strides = each(1, 3)
    if below_kernel:
        strides = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    attributes = {
        "strides": strides,
        "dilations": dilations,
        "auto_pad": draw(st.sampled_from(PADDINGS)),
    }
    if attributes["auto_pad"] == "NOTSET":
        pads = each(0, 2) + each(0, 2)
        attributes["pads"] = [
            min(p, k - 1) if below_kernel else p for p, k in zip(pads, kernel * 2, strict=True)
        ]
    return Sliding(attributes, extent, kernel)


@pytest.mark.slow
@EXAMPLES
@given(window=sliding(), groups=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_conv_is_that_of_onnx_runtime(window: Sliding, groups: int, seed: int) -> None:
    x, weight = noise(2, 4, *window.extent, seed=seed), noise(8, 4 // groups, *window.kernel)
    bias = noise(8) if seed % 2 else None
    assert_as_onnx_runtime("Conv", [x, weight, bias], {"group": groups, **window.attributes})


@pytest.mark.slow
@EXAMPLES
@given(window=sliding(), groups=st.sampled_from([1, 2]), data=st.data())
def test_conv_transpose_is_that_of_onnx_runtime(window: Sliding, groups: int, data: Any) -> None:
    attributes = {"group": groups, **window.attributes}
    sizes = [st.integers(0, s - 1) for s in attributes["strides"]]
    attributes["output_padding"] = list(data.draw(st.tuples(*sizes)))
    if data.draw(st.booleans()):
        attributes.pop("pads", None)
        natural = [s * d for s, d in zip(window.extent, attributes["strides"], strict=True)]
        attributes["output_shape"] = natural
    x, weight = noise(1, 4, *window.extent), noise(4, 3, *window.kernel)
    bias = data.draw(st.sampled_from([None, noise(3 * groups)]))
    assert_as_onnx_runtime("ConvTranspose", [x, weight, bias], attributes)


@pytest.mark.slow
@EXAMPLES
@given(window=sliding(below_kernel=True), ceil=st.integers(0, 1), count=st.integers(0, 1))
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_pools_are_those_of_onnx_runtime(
    op_type: str, window: Sliding, ceil: int, count: int
) -> None:
    attributes = {"kernel_shape": window.kernel, "ceil_mode": ceil, **window.attributes}
    if op_type == "AveragePool":
        attributes["count_include_pad"] = count
    assert_as_onnx_runtime(op_type, [noise(2, 3, *window.extent)], attributes, opset=22)


@pytest.mark.slow
@EXAMPLES
@given(
    pads=st.lists(st.integers(-2, 4), min_size=6, max_size=6),
    mode=st.sampled_from(["constant", "reflect", "edge", "wrap"]),
)
def test_pad_is_that_of_onnx_runtime(pads: list[int], mode: str) -> None:
    value = np.array(3, np.float32) if mode == "constant" else None
    assert_as_onnx_runtime("Pad", [noise(7, 8, 9), ints(*pads), value], {"mode": mode})


places = st.integers(-9, 9) | st.just(-(2**63))


@pytest.mark.slow
@EXAMPLES
@given(
    cuts=st.lists(
        st.tuples(places, places, st.sampled_from([1, 2, -1, -3])), min_size=1, max_size=3
    )
)
def test_slice_is_that_of_onnx_runtime(cuts: list[tuple[int, int, int]]) -> None:
    starts, ends, steps = zip(*cuts, strict=True)
    axes = [-1, 0, 1][: len(cuts)]
    inputs = [F4, ints(*starts), ints(*ends), ints(*axes), ints(*steps)]
    assert_as_onnx_runtime("Slice", inputs, {})


COORDINATES = [
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "half_pixel_symmetric",
]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@pytest.mark.slow
@settings(EXAMPLES, max_examples=150)
@given(
    mode=st.sampled_from(["nearest", "linear", "cubic"]),
    coordinates=st.sampled_from(COORDINATES),
    rounding=st.sampled_from(ROUNDINGS),
    sizes=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    scales=st.none() | st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 1.1, 1.5, 2.0, 2.6, 3.0])] * 2),
)
def test_resize_is_that_of_onnx_runtime(
    mode: str,
    coordinates: str,
    rounding: str,
    sizes: tuple[int, int],
    scales: tuple[float, float] | None,
) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = rounding
    goal: Arrays = [None, ints(2, 3, *sizes)]
    if scales is not None:
        goal = [np.array([1, 1, *scales], np.float32)]
    assert_as_onnx_runtime("Resize", [noise(2, 3, 5, 6), None, *goal], attributes)


# ----------------------------------------------------------------------------- gradients


def wide(*shape: int) -> NDArray[np.float64]:
    return noise(*shape, seed=7, dtype=np.float64)


X4 = wide(1, 4, 5, 4)
ROWS = ints(1, 0, 1, 2)
CHANNELS = [wide(4), wide(4)]

DIFFERENTIABLE: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Add", [X4, wide(4, 1, 1)], {}),
    ("AveragePool", [X4], {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0]}),
    ("AveragePool", [X4], {"kernel_shape": [2, 2], "dilations": [2, 1], "ceil_mode": 1}),
    ("BatchNormalization", [X4, *CHANNELS, wide(4), np.abs(wide(4)) + 1], {}),
    ("Clip", [X4, np.float64(-0.5), np.float64(0.75)], {}),
    ("Concat", [X4, X4], {"axis": 1}),
    ("Conv", [X4, wide(4, 1, 3, 3), wide(4)], {"group": 4, "pads": [1, 1, 1, 1]}),
    ("Conv", [X4, wide(2, 4, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("ConvTranspose", [X4, wide(4, 1, 3, 3), wide(2)], {"group": 2, "strides": [2, 2]}),
    ("ConvTranspose", [X4, wide(4, 1, 3, 3), wide(1)], {"pads": [0, 1, 2, 0]}),
    ("CumSum", [X4, ints(2)], {"exclusive": 1}),
    ("DepthToSpace", [X4], {"blocksize": 2, "mode": "CRD"}),
    ("Div", [X4, np.abs(X4) + 1], {}),
    ("Einsum", [wide(2, 3), wide(3, 4)], {"equation": "ij, jk -> ki"}),
    ("Gather", [X4, ROWS], {"axis": 2}),
    ("GatherND", [X4, ROWS.reshape(1, 4, 1)], {"batch_dims": 1}),
    ("Gelu", [X4], {"approximate": "tanh"}),
    ("Gemm", [wide(3, 2), wide(4, 3), wide(4)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    ("GroupNormalization", [X4, *CHANNELS], {"num_groups": 2}),
    ("HardSigmoid", [X4], {}),
    ("HardSwish", [X4], {}),
    ("InstanceNormalization", [X4, *CHANNELS], {}),
    ("LRN", [X4], {"size": 2}),
    ("LayerNormalization", [X4, wide(4), wide(4)], {}),
    ("LpNormalization", [X4], {"axis": 1}),
    ("LpPool", [X4], {"kernel_shape": [2, 2], "p": 3}),
    ("MatMul", [X4, wide(4, 3)], {}),
    ("Max", [X4, wide(5, 1)], {}),
    ("MaxPool", [X4], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 1]}),
    ("MaxPool", [X4], {"kernel_shape": [2, 2], "pads": [0, 0, 2, 1], "ceil_mode": 1}),
    ("MaxPool", [X4[0]], {"kernel_shape": [2], "dilations": [2]}),
    ("MeanVarianceNormalization", [X4], {}),
    ("PRelu", [X4, wide(4, 1, 1)], {}),
    ("PRelu", [X4, wide(5, 4)], {}),
    ("Pad", [X4, ints(0, 0, 2, -1, 0, 0, 1, 2)], {"mode": "reflect"}),
    ("Pow", [np.abs(X4), wide(4)], {}),
    ("RMSNormalization", [X4, wide(4)], {}),
    ("ReduceL2", [X4, ints(1, 3)], {}),
    ("ReduceLogSumExp", [X4, ints(1, 3)], {}),
    ("ReduceMax", [X4, ints(-1)], {"keepdims": 0}),
    ("ReduceProd", [X4, ints(-1, 1)], {}),
    ("Resize", [X4, None, np.array([1, 1, 1.4, 2.0])], {"mode": "cubic"}),
    ("Resize", [X4, None, np.array([1, 1, 2.0, 2.0])], {"mode": "linear"}),
    ("Resize", [X4, None, None, ints(1, 4, 7, 8)], {"mode": "nearest"}),
    ("ScatterElements", [wide(3, 4), ROWS.reshape(1, 4), wide(1, 4)], {"reduction": "add"}),
    ("ScatterND", [wide(3, 4), ints(2, 0).reshape(2, 1), wide(2, 4)], {}),
    ("Slice", [X4, ints(-1), ints(-(2**63)), ints(2), ints(-2)], {}),
    ("Softmax", [X4], {"axis": 1}),
    ("TopK", [X4, ints(2)], {"axis": 1}),
    ("Where", [X4 > 0, X4, wide(4)], {}),
]


NOT_ALL = {"BatchNormalization": 3, "Resize": 1}
"""How many inputs are variables where the others are statistics or sizes."""


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case[0])
def test_gradients_are_the_numeric_ones(case: tuple[str, list[Any], dict[str, Any]]) -> None:
    op_type, arrays, attributes = case
    inputs = [None if x is None else torch.tensor(x) for x in arrays]
    count = NOT_ALL.get(op_type, len(inputs))
    variables = [x for x in inputs[:count] if x is not None and x.is_floating_point()]

    def function(*values: torch.Tensor) -> torch.Tensor:
        replaced = iter(values)
        chosen = {id(x): next(replaced) for x in variables}
        mixed = [None if x is None else chosen.get(id(x), x) for x in inputs]
        return RULES[op_type](Operator(op_type, attributes, 21), mixed)[0]

    for variable in variables:
        variable.requires_grad_()
    assert torch.autograd.gradcheck(function, variables, fast_mode=True)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [("LpPool", {"kernel_shape": [2, 2]}), ("ReduceL2", {}), ("LpNormalization", {})],
)
def test_norms_of_zeros_have_finite_gradients(op_type: str, attributes: dict[str, Any]) -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (y,) = RULES[op_type](Operator(op_type, attributes, 21), [x])
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert bool(torch.isfinite(slope).all())


SHORTCUTS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 4, 5, 6), (8, 4, 1, 1), {}),
    ((2, 4, 5, 6), (8, 4, 1, 1), {"strides": [2, 1]}),
    ((2, 4, 5, 6), (8, 4, 1, 1), {"pads": [0, 1, 0, 0]}),
    ((2, 4, 9), (4, 1, 3), {"group": 4, "pads": [0, 1], "strides": [2]}),
    ((2, 4, 6, 7), (4, 1, 3, 3), {"group": 4, "pads": [0, 1, 1, 1], "strides": [2, 3]}),
    ((2, 4, 6, 7), (8, 1, 5, 3), {"group": 4, "pads": [2, 1, 1, 2], "strides": [2, 2]}),
    ((2, 4, 8, 7), (4, 1, 3, 2), {"group": 4, "pads": [2, 0, 0, 1], "dilations": [2, 1]}),
    ((2, 4, 8, 7), (4, 1, 3, 3), {"group": 4, "pads": [1, 0, 0, 0], "dilations": [2, 1]}),
    ((2, 4, 6, 7), (4, 1, 3, 3), {"group": 4, "pads": [3, 0, 1, 0]}),
    ((2, 4, 6, 7), (4, 1, 3, 3), {"group": 4, "pads": [-1, 0, 0, 0]}),
    ((2, 2, 5, 4, 6), (2, 1, 2, 3, 3), {"group": 2, "pads": [0, 1, 2, 1, 0, 1]}),
]


@pytest.mark.parametrize(("extent", "kernel", "attributes"), SHORTCUTS)
def test_a_convolution_and_its_gradients_are_those_of_the_padded_map(
    extent: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    inputs = [channels_last(torch.tensor(wide(*shape))) for shape in (extent, kernel, kernel[:1])]
    rank = len(extent) - 2
    pads = attributes.get("pads", [0] * 2 * rank)
    around = flat_pads(pads[:rank], pads[rank:])

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        function = getattr(functional, f"conv{rank}d")
        strides, dilations = (attributes.get(n, [1] * rank) for n in ("strides", "dilations"))
        padded, groups = functional.pad(x, around), attributes.get("group", 1)
        return function(padded, weight, bias, strides, 0, dilations, groups)  # type: ignore[no-any-return]

    operator = Operator("Conv", attributes, 21)
    results = [lambda *v: RULES["Conv"](operator, v)[0], plain]
    found, expected = (_with_gradients(function, inputs) for function in results)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def _with_gradients(
    function: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y, *torch.autograd.grad((y.sin() * y).sum(), leaves)]


# ----------------------------------------------------------------------------- refusals

SCALES = np.array([1, 1, 1.1, 1.1], np.float32)
SAME = {"auto_pad": "SAME_UPPER"}

UNSUPPORTED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Add", [F4], {}),
    ("Add", [F4, None], {}),
    ("Add", [I4.astype(np.uint32), I4.astype(np.uint32)], {}),
    ("Cast", [F4], {"to": onnx.TensorProto.STRING}),
    ("Constant", [], {"value_string": "x"}),
    ("Conv", [noise(1, 1, 2, 2, 2, 2), noise(1, 1, 1, 1, 1, 1)], {}),
    ("Conv", [F4, noise(6, 6, 3, 3)], {"dilations": [2, 2], **SAME}),
    ("ConvTranspose", [F4, noise(6, 6, 1, 1)], {"strides": [2, 2], **SAME}),
    ("MaxPool", [F4], {"kernel_shape": [2]}),
    ("Pad", [F4, ints(*[1] * 8)], {"mode": "other"}),
    ("Resize", [F4, None, SCALES], {}),
    ("Resize", [F4, None, 2 * SCALES], {"coordinate_transformation_mode": "align_corners"}),
    ("Resize", [F4, None, 2 * SCALES], {"coordinate_transformation_mode": "half_pixel_symmetric"}),
    ("Resize", [F4, None, 2 * SCALES], {"coordinate_transformation_mode": "other"}),
    ("Resize", [F4, None, 2 * SCALES], {"mode": "other"}),
    ("Resize", [F4, None, 2 * SCALES], {"mode": "linear", "exclude_outside": 1}),
    ("Resize", [I4, None, 2 * SCALES], {"mode": "linear"}),
    ("com.microsoft::FusedConv", [F4, noise(6, 6, 3, 3)], {"activation": "other"}),
]


@pytest.mark.parametrize("case", UNSUPPORTED, ids=lambda case: case[0])
def test_what_a_rule_cannot_match_it_refuses(case: tuple[str, list[Any], dict[str, Any]]) -> None:
    with pytest.raises(Unsupported):
        apply(*case)


STRIDED = """
import torch
from lostbits.runtime.rules import RULES, Operator
conv = Operator("Conv", {"strides": [2, 2]}, 17)
torch.manual_seed(0)
torch.set_num_threads(1)
for _ in range(400):
    x = torch.randn(16, 3, 12, 12).contiguous(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(4, 3, 1, 1).contiguous(memory_format=torch.channels_last).requires_grad_()
    (y,) = RULES["Conv"](conv, [x, w, torch.zeros(4)])
    slopes = torch.autograd.grad(y, (x, w), torch.randn_like(y))
torch.testing.assert_close(y, torch.einsum("nchw,oc->nohw", x[..., ::2, ::2], w[..., 0, 0]))
"""


@pytest.mark.slow
def test_the_gradient_of_strided_kernels_of_one_element_stays_in_its_memory() -> None:
    """Of few channels, where the input goes on behind the last window; torch's own does not."""
    command = [sys.executable, "-c", STRIDED]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
@pytest.mark.parametrize("size", [6, 2**31, 2**62])
def test_strides_beyond_the_input_leave_one_window(
    op_type: str, pads: list[int], size: int
) -> None:
    """Torch has no kernel of such strides; a window lies where one begins."""
    x, weight = noise(2, 3, 5, 5), noise(4, 3, 2, 2)
    inputs = [x, weight] if op_type == "Conv" else [x]
    attributes = {"kernel_shape": [2, 2], "strides": [size, 2], "pads": pads}
    assert_as_onnx_runtime(op_type, inputs, attributes)


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool", "AveragePool", "LpPool"])
def test_an_input_without_room_for_a_window_is_left_to_the_runtime(op_type: str) -> None:
    x, weight = noise(2, 3, 1, 1), noise(4, 3, 2, 2)
    inputs = [x, weight] if op_type == "Conv" else [x]
    with pytest.raises(Unsupported):
        apply(op_type, inputs, {"kernel_shape": [2, 2]})
