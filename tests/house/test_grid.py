"""Laws of the integer grid, and its agreement with ONNX Runtime."""

import struct
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lostbits.grid import Affine, Grid, Range, affine_from_range, along, split_error

GRIDS = [Grid.of(bits, signed=signed) for bits in (2, 4, 8, 16) for signed in (True, False)]
ONNX_TYPES = {
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
}
ends = st.floats(0, 1e4, width=32).map(lambda v: 0.0 if v < 1e-20 else v)
laws = settings(deadline=None, max_examples=60, derandomize=True)


def f32(*values: Any) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@st.composite
def affines(draw: st.DrawFn, zero_is_middle: bool | None = None) -> Affine:
    grid = draw(st.sampled_from(GRIDS))
    symmetric = draw(st.booleans()) if zero_is_middle is None else zero_is_middle
    return affine_from_range(-draw(ends), draw(ends), grid, symmetric=symmetric)


def values(seed: int, affine: Affine, size: int = 2000) -> NDArray[np.float32]:
    """Inside and outside the range, on ties, on ends, and zero."""
    rng = np.random.default_rng(seed)
    span = float(affine.scale) * 2**affine.grid.bits
    ties = (rng.integers(-300, 300, size) + 0.5).astype(np.float32) * affine.scale
    spread = rng.uniform(-2 * span, 2 * span, size).astype(np.float32)
    return np.concatenate([spread, ties, f32(affine.lo, affine.hi, 0.0)])


def test_grids_have_every_code_of_their_bits() -> None:
    assert Grid.of(8, signed=True) == Grid(8, True, -128, 127)
    assert Grid.of(4, signed=False) == Grid(4, False, 0, 15)
    assert [g.name for g in GRIDS[2:4]] == ["int4", "uint4"]
    for bits in (1, 33):
        with pytest.raises(ValueError, match=r"must be in 2\.\.32"):
            Grid.of(bits, signed=True)


@pytest.mark.parametrize(
    ("lo", "hi", "ends", "zero", "step"),
    [
        (-5.1, 5.1, (-5.12, 5.08), 128, 0.04),
        (-1.8, 0.5, (-1.803922, 0.496078), 200, 0.009020),
        (5.0, 10.0, (0.0, 10.0), 0, 10 / 255),
        (-10.0, -5.0, (-10.0, 0.0), 255, 10 / 255),
    ],
)
def test_asymmetric_ranges_are_those_of_the_snpe_guide(
    lo: float, hi: float, ends: tuple[float, float], zero: int, step: float
) -> None:
    affine = affine_from_range(lo, hi, Grid.of(8, signed=False), symmetric=False)
    np.testing.assert_allclose([affine.lo, affine.hi], ends, atol=1e-6)
    assert affine.zero_point == zero
    np.testing.assert_allclose(affine.scale, step, atol=5e-7)


def test_codes_are_those_of_the_snpe_guide() -> None:
    affine = affine_from_range(-1.8, 0.5, Grid.of(8, signed=False), symmetric=False)
    np.testing.assert_array_equal(affine.codes(f32(-1.8, -1, 0, 0.5)), [0, 89, 200, 255])


def test_symmetric_scales_are_the_largest_magnitude_over_qmax() -> None:
    signed = affine_from_range(-1.0, 0.5, Grid.of(8, signed=True), symmetric=True)
    assert signed.scale == np.float32(1 / 127)
    assert signed.zero_point == 0
    assert struct.pack("!f", float(signed.scale)).hex() == "3c010204"  # a TensorRT cache's 1/127
    unsigned = affine_from_range(-1.0, 0.5, Grid.of(8, signed=False), symmetric=True)
    assert unsigned.scale == np.float32(1 / 127)
    assert unsigned.zero_point == 128


def test_a_channel_of_zeros_takes_the_largest_scale_of_its_tensor() -> None:
    lo, hi = np.array([0.0, -2.0, 0.0]), np.array([0.0, 1.0, 4.0])
    affine = affine_from_range(lo, hi, Grid.of(8, signed=True), symmetric=True, axis=0)
    np.testing.assert_array_equal(affine.scale, f32(4 / 127, 2 / 127, 4 / 127))
    dead = affine_from_range(0.0, 0.0, Grid.of(8, signed=False), symmetric=False)
    assert (float(dead.scale), int(dead.zero_point)) == (1.0, 0)


def test_scales_that_no_device_can_hold_are_refused() -> None:
    grid, zero = Grid.of(8, signed=True), np.zeros((), np.int64)
    for scale in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="finite and positive"):
            Affine(grid, np.asarray(scale, np.float32), zero)
    with pytest.raises(ValueError, match="same shape"):
        Affine(grid, np.ones(2, np.float32), zero)


def test_affines_are_equal_by_value() -> None:
    one, two = (
        affine_from_range(-1, hi, Grid.of(8, signed=True), symmetric=True) for hi in (1.0, 2.0)
    )
    assert one == affine_from_range(-1, 1.0, Grid.of(8, signed=True), symmetric=True)
    assert one != two
    assert one != Range(-1.0, 1.0)


@pytest.mark.slow
@laws
@given(affine=affines(), seed=st.integers(0, 99))
def test_round_and_clip_are_disjoint_and_add_up(affine: Affine, seed: int) -> None:
    x = values(seed, affine)
    split = split_error(x, affine)
    assert split.round + split.clip == pytest.approx(split.total, rel=1e-6)
    assert 0 <= split.dead_zone <= split.round
    assert split_error(affine.fake_quantize(x), affine).total == 0


@laws
@given(affine=affines(), seed=st.integers(0, 99))
def test_quantizing_twice_is_quantizing_once(affine: Affine, seed: int) -> None:
    once = affine.fake_quantize(values(seed, affine))
    np.testing.assert_array_equal(affine.fake_quantize(once), once)


@laws
@given(affine=affines(), seed=st.integers(0, 99))
def test_the_error_inside_the_range_is_at_most_half_a_step(affine: Affine, seed: int) -> None:
    x = affine.clip(values(seed, affine))
    error = np.abs(affine.fake_quantize(x).astype(np.float64) - x)
    # Half a step, and the float32 rounding of values that are up to 2^bits steps large.
    assert error.max() <= float(affine.scale) * (0.5 + 2.0 ** (affine.grid.bits - 22))


@laws
@given(affine=affines())
def test_zero_and_both_ends_are_on_the_grid(affine: Affine) -> None:
    x = f32(0.0, affine.lo, affine.hi)
    np.testing.assert_array_equal(affine.fake_quantize(x), x)
    assert affine.grid.qmin <= affine.zero_point <= affine.grid.qmax


@laws
@given(lo=ends, hi=ends, grid=st.sampled_from(GRIDS))
def test_an_asymmetric_grid_covers_its_range_within_half_a_step(
    lo: float, hi: float, grid: Grid
) -> None:
    affine = affine_from_range(-lo, hi, grid, symmetric=False)
    slack = 0.5 * float(affine.scale) + 1e-6 * (lo + hi)
    assert float(affine.lo) <= -lo + slack
    assert float(affine.hi) >= hi - slack


def test_what_vanishes_is_the_dead_zone() -> None:
    affine = affine_from_range(-127.0, 127.0, Grid.of(8, signed=True), symmetric=True)
    split = split_error(f32(0.25, 1.25, 200.0, -129.0), affine)
    assert split == (0.125, 73.0**2 + 1.0, 0.0625, 0.125 + 73.0**2 + 1.0)


def test_channels_lie_along_their_axis() -> None:
    scale = f32(1, 2)
    assert along(scale, 4, 1).shape == (1, 2, 1, 1)
    assert along(np.ones(()), 4, None).shape == ()
    affine = Affine(Grid.of(8, signed=True), scale, np.zeros(2, np.int64), axis=1)
    np.testing.assert_array_equal(affine.codes(np.full((1, 2, 1), 4.0)), [[[4.0], [2.0]]])


def quantize_dequantize(x: NDArray[np.float32], affine: Affine) -> NDArray[np.float32]:
    """The same in ONNX Runtime."""
    kind = helper.tensor_dtype_to_np_dtype(ONNX_TYPES[affine.grid.name])
    axis: dict[str, Any] = {} if affine.axis is None else {"axis": affine.axis}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **axis),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **axis),
    ]
    constants = [
        onnx.numpy_helper.from_array(affine.scale, "s"),
        onnx.numpy_helper.from_array(affine.zero_point.astype(kind), "z"),
    ]
    x_info, y_info = (helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n in "xy")
    graph = helper.make_graph(nodes, "qdq", [x_info], [y_info], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", ONNX_TYPES)
def test_fake_quantize_is_onnx_runtime_bit_for_bit(name: str, symmetric: bool) -> None:
    grid = next(g for g in GRIDS if g.name == name)
    for seed in range(5):
        lo, hi = np.random.default_rng(seed).uniform(0.01, 10, 2)
        affine = affine_from_range(-lo, hi, grid, symmetric=symmetric)
        x = values(seed, affine)
        np.testing.assert_array_equal(affine.fake_quantize(x), quantize_dequantize(x, affine))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["int8", "uint8"])
def test_channels_are_onnx_runtime_bit_for_bit(name: str, axis: int) -> None:
    rng = np.random.default_rng(axis)
    x = (rng.normal(size=(5, 6, 7)) * 3).astype(np.float32)
    lo, hi = (rng.uniform(0.1, 5, x.shape[axis]) for _ in range(2))
    grid = next(g for g in GRIDS if g.name == name)
    affine = affine_from_range(-lo, hi, grid, symmetric=name == "int8", axis=axis)
    x[0] = np.rint(x[0]) * 0.5 * along(affine.scale, 3, axis)[0]  # half of these are ties
    np.testing.assert_array_equal(affine.fake_quantize(x), quantize_dequantize(x, affine))


def test_wide_grids_count_in_float64() -> None:
    affine = affine_from_range(-1.0, 1.0, Grid.of(32, signed=True), symmetric=True)
    codes: Any = affine.codes(np.array([1.0, -1.0, 0.5]))
    assert codes.dtype == np.float64
    np.testing.assert_allclose(codes, [2.0**31 - 1, -(2.0**31), 2.0**30], atol=130)
