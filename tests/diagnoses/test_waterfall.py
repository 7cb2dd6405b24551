"""The waterfall of lost bits and the trade-off curve, against closed forms and samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.diagnoses.waterfall import least_error, lost_bits, trade_off
from lostbits.estimator import Ends
from lostbits.grid import Affine, Grid, affine_from_range, split_error
from lostbits.results.sites import LostBits
from lostbits.statistics import Extrema
from lostbits.target import Rule

Floats = NDArray[np.float32]
INT8, UINT8 = Grid.of(8, signed=True), Grid.of(8, signed=False)
SYMMETRIC = Rule(INT8, True, False, "min_max")
FREE = Rule(UINT8, False, False, "min_max")
PER_CHANNEL = Rule(INT8, True, True, "min_max")
POWERS = Rule(INT8, True, False, "min_max", power_of_two=True)


def seen_of(x: Floats, axis: int | None = 0) -> Seen:
    return Seen.of(x, axis)


def even(*tops: float, size: int = 4096, low: float = -1.0) -> Floats:
    """One row of evenly spread values in ``[low * top, top]`` for each top."""
    unit = low + (1 - low) * (np.arange(size) + 0.5) / size
    return (np.array(tops)[:, None] * unit).astype(np.float32)


def in_use(x: Floats, rule: Rule, factor: float = 1.0) -> Affine:
    axis = 0 if rule.per_channel else None
    seen = Extrema(axis).update(x)
    lo, hi = (factor * (v if rule.per_channel else v[0]) for v in (seen.lo, seen.hi))
    return affine_from_range(lo, hi, rule.grid, symmetric=rule.symmetric, axis=axis)


def asked(seen: Seen, affine: Affine, rule: Rule) -> tuple[Seen, Affine, Rule, Ends]:
    return seen, affine, rule, least_error(seen, rule)


def lost(x: Floats, rule: Rule, factor: float = 1.0) -> LostBits:
    bits = lost_bits(*asked(seen_of(x), in_use(x, rule, factor), rule))
    assert bits is not None
    return bits


def steps(bits: LostBits) -> list[float]:
    return [bits.shape, bits.granularity, bits.symmetry, bits.scale_format, bits.range_choice]


# ---- closed forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [SYMMETRIC, FREE])
@pytest.mark.parametrize("tops", [(8.0, 1.0), (1.0, 2.0, 3.0, 4.0), (1.0,) * 5, (16.0, 1.0, 1.0)])
def test_granularity_is_the_mean_square_of_the_ranges(rule: Rule, tops: tuple[float, ...]) -> None:
    # One scale makes an error of R^2 in every uniform channel, where its own would make r_c^2.
    # Ranges that are multiples of each other could hit the grid by luck.
    tops = tuple(t * (1 + 0.01 * i) for i, t in enumerate(tops))
    expected = 0.5 * np.log2(max(tops) ** 2 / np.mean(np.square(tops)))
    bits = lost(even(*tops), rule)
    assert bits.granularity == pytest.approx(expected, rel=0.03, abs=0.02)
    assert bits.shape < 0.02
    assert bits.range_choice < 0.02
    assert bits.total == pytest.approx(expected, rel=0.03, abs=0.04)


def test_one_channel_has_no_granularity_and_a_range_each_loses_none() -> None:
    assert lost(even(2.0), SYMMETRIC).granularity < 0.02
    assert lost(even(8.0, 1.0), PER_CHANNEL).granularity == 0
    assert lost(even(8.0, 1.0), PER_CHANNEL).total < 0.03


@pytest.mark.parametrize("sign", [1, -1])
def test_a_symmetric_grid_on_one_sided_data_loses_a_bit(sign: int) -> None:
    bits = lost(sign * even(3.0, 3.0, low=0.0), SYMMETRIC)
    assert bits.symmetry == pytest.approx(1, abs=0.03)
    assert bits.total == pytest.approx(1, abs=0.05)
    assert lost(sign * even(3.0, 3.0, low=0.0), FREE).symmetry == 0


@pytest.mark.parametrize("rule", [SYMMETRIC, FREE, PER_CHANNEL])
@pytest.mark.parametrize("octaves", [1, 2, 4])
def test_each_octave_too_wide_loses_a_bit(rule: Rule, octaves: int) -> None:
    bits = lost(even(1.0, 1.0), rule, 2.0**octaves)
    assert bits.direction == "too_wide"
    assert bits.range_choice == pytest.approx(octaves, abs=0.05)


@pytest.mark.parametrize("rule", [SYMMETRIC, FREE, PER_CHANNEL])
def test_a_quarter_of_the_range_is_too_narrow(rule: Rule) -> None:
    # Values of [-1, 1] beyond an end at e lose (1 - e)^3 / 3 in the mean over both sides.
    bits = lost(even(1.0, 1.0), rule, 0.25)
    assert bits.direction == "too_narrow"
    clip, best = 0.75**3 / 3, (2 / 255) ** 2 / 12
    assert bits.range_choice == pytest.approx(0.5 * np.log2(clip / best), abs=0.05)


def test_the_best_range_is_called_so() -> None:
    bits = lost(even(1.0, 1.0), SYMMETRIC)
    assert (bits.direction, bits.range_choice < 0.02) == ("best", True)


@pytest.mark.parametrize("top", [1.1, 1.2, 1.5, 1.9])
def test_a_power_of_two_loses_what_the_scale_is_rounded_up(top: float) -> None:
    x = even(top, top)
    scale = np.exp2(np.ceil(np.log2(top / 127))).astype(np.float32)
    bits = lost_bits(*asked(seen_of(x), Affine(INT8, scale, np.zeros((), np.int64)), POWERS))
    assert bits is not None
    assert bits.scale_format == pytest.approx(np.log2(scale * 127 / top), abs=0.03)
    assert bits.scale_format <= 1.01
    assert bits.range_choice < 0.02


def test_the_shape_of_a_gaussian_costs_what_panter_and_dite_say() -> None:
    # sqrt(3) pi / 2 sigma^2 4^-N for the ideal quantizer; the uniform one clips at 3.92 sigma.
    x = np.random.default_rng(0).normal(size=(1, 1_000_000)).astype(np.float32)
    uniform = (2 * 3.92 / 256) ** 2 / 12 * 1.1  # a tenth of the error is clipped
    expected = 0.5 * np.log2(uniform / (np.sqrt(3) * np.pi / 2 / 4.0**8))
    assert lost(x, FREE).shape == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("rule", [SYMMETRIC, FREE, PER_CHANNEL])
def test_an_exact_tensor_has_no_waterfall(rule: Rule) -> None:
    x = np.zeros((3, 50), np.float32)
    assert lost_bits(*asked(seen_of(x), in_use(x, rule), rule)) is None


def test_a_tensor_without_channels_is_one_row() -> None:
    x = even(2.0)[0]
    bits = lost_bits(*asked(seen_of(x, None), in_use(x, FREE), FREE))
    assert bits is not None
    assert bits.total < 0.03


# ---- laws -----------------------------------------------------------------------------------

RULES = [SYMMETRIC, FREE, PER_CHANNEL, POWERS, Rule(Grid.of(4, signed=True), True, True, "mse")]
kinds = st.sampled_from(["normal", "laplace", "uniform", "sparse", "one sided", "outliers"])


def drawn(kind: str, seed: int, channels: int) -> Floats:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (channels, 300))
    if kind in ("normal", "outliers", "one sided"):
        x = rng.normal(rng.normal(), 1, (channels, 300))
    if kind == "laplace":
        x = rng.laplace(size=(channels, 300))
    x *= np.exp(rng.normal(0, 1.5, (channels, 1)))
    if kind == "sparse":
        x[rng.random(x.shape) < 0.7] = 0
        x[0] = 0
    if kind == "outliers":
        x[:, 0] *= 50
    return (np.abs(x) if kind == "one sided" else x).astype(np.float32)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    kind=kinds,
    seed=st.integers(0, 1000),
    channels=st.integers(1, 6),
    rule=st.sampled_from(RULES),
    factor=st.sampled_from([0.05, 0.5, 1.0, 3.0, 40.0]),
)
def test_steps_are_never_negative_and_sum_to_the_total(
    kind: str, seed: int, channels: int, rule: Rule, factor: float
) -> None:
    x = drawn(kind, seed, channels)
    bits = lost_bits(*asked(seen_of(x), in_use(x, rule, factor), rule))
    if bits is None:
        assert not x.any()
        return
    assert min(steps(bits)) >= 0
    assert sum(steps(bits)) == pytest.approx(bits.total, abs=1e-6)
    assert (bits.direction == "best") == (bits.range_choice <= 0.02)
    if not rule.power_of_two:
        assert bits.scale_format == 0
    if not rule.symmetric:
        assert bits.symmetry == 0


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["normal", "laplace"]),
    rule=st.sampled_from(RULES[:3]),
    factor=st.sampled_from([0.2, 0.4, 1.0, 3.0]),
)
def test_the_model_is_the_error_of_the_samples(
    seed: int, kind: str, rule: Rule, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    unit = rng.normal(size=(4, 20_000)) if kind == "normal" else rng.laplace(size=(4, 20_000))
    x = (unit * rng.uniform(0.3, 3, (4, 1))).astype(np.float32)
    affine = in_use(x, rule, factor)
    split = split_error(x, affine)
    seen = seen_of(x)
    ends = (np.atleast_1d(v) for v in (affine.lo, affine.hi, affine.scale))
    error = seen.channels.density().error(*ends)
    assert error.sum() == pytest.approx(split.total, rel=0.02)
    used = trade_off(*asked(seen, affine, rule)).marks["in use"]
    assert used.round + used.clip == pytest.approx(split.total / x.size, rel=0.02)


# ---- trade-off ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [SYMMETRIC, FREE, PER_CHANNEL])
def test_the_curve_trades_round_for_clip(rule: Rule) -> None:
    x = np.random.default_rng(0).laplace(size=(5, 4000)).astype(np.float32)
    curve = trade_off(*asked(seen_of(x), in_use(x, rule), rule))
    factor, rounded, clipped = (np.array(v) for v in (curve.factor, curve.round, curve.clip))
    assert (factor[0], factor[-1]) == pytest.approx((1 / 32, 2))
    assert (np.diff(clipped) <= 1e-12).all()
    assert clipped[-1] == 0
    wide = factor > 0.5
    slope = np.diff(np.log(rounded[wide])) / np.diff(np.log(factor[wide]))
    np.testing.assert_allclose(slope, 2, atol=0.3)
    assert (rounded >= 0).all()


@pytest.mark.parametrize("symmetric", [True, False])
def test_marks_are_what_the_methods_choose(symmetric: bool) -> None:
    rule = Rule(Grid.of(4, signed=symmetric), symmetric, False, "min_max")
    x = drawn("outliers", 1, 4)
    marks = trade_off(*asked(seen_of(x), in_use(x, rule, 0.5), rule)).marks
    assert {"in use", "min_max", "mse", "entropy", "percentile"} < set(marks)
    total = {name: mark.round + mark.clip for name, mark in marks.items()}
    assert total["mse"] <= min(total.values()) * 1.01
    assert marks["min_max"].factor == pytest.approx(1, abs=0.01)
    assert marks["mse"].factor < 1


def test_channels_are_marked_by_methods_that_look_at_all_of_them() -> None:
    x = drawn("outliers", 1, 4)
    marks = trade_off(*asked(seen_of(x), in_use(x, PER_CHANNEL), PER_CHANNEL)).marks
    assert set(marks) == {"in use", "min_max", "mse", "percentile"}
    assert marks["in use"].round == pytest.approx(marks["min_max"].round, rel=1e-6)


def test_few_values_leave_out_the_methods_that_need_many() -> None:
    x = even(1.0, size=20)
    assert "entropy" not in trade_off(*asked(seen_of(x), in_use(x, FREE), FREE)).marks


def test_codes_that_a_clip_leaves_out_are_no_fault_of_symmetry() -> None:
    narrow = Rule(Grid(8, True, -7, 7), True, False, "min_max")
    bits = lost(even(1.0, size=4096), narrow)
    assert bits.symmetry < 0.02 and bits.total < 0.3


def test_a_range_without_the_sign_of_the_values_is_too_narrow() -> None:
    x = even(1.0)
    beside = affine_from_range(0.0, 4.0, UINT8, symmetric=False)
    bits = lost_bits(*asked(seen_of(x), beside, FREE))
    assert bits is not None and bits.direction == "too_narrow" and bits.range_choice > 3
    assert lost(x, FREE, 4.0).direction == "too_wide"
