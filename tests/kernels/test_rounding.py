"""Fixed-point multipliers, against TensorFlow Lite's reference written in whole numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostbits.kernels.rounding import Factor, scaled, shifted, whole
from lostbits.target import Rounding

RULES: dict[Rounding, float] = {"half_even": 2.0, "half_away": 3.0, "half_up": 3.0, "floor": 2.0}


def quantize_multiplier(real: float) -> tuple[int, int]:
    """QuantizeMultiplier of quantization_util.cc."""
    part, shift = math.frexp(real)
    fixed = math.floor(part * (1 << 31) + 0.5)
    if fixed == 1 << 31:
        fixed, shift = fixed // 2, shift + 1
    return (0, 0) if shift < -31 else (fixed, shift)


def doubling_high_mul(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul of gemmlowp: C++ divides towards zero."""
    product = a * b
    nudge = (1 << 30) if product >= 0 else 1 - (1 << 30)
    total = product + nudge
    return -(-total >> 31) if total < 0 else total >> 31


def divide_by_power(x: int, exponent: int) -> int:
    """RoundingDivideByPOT of gemmlowp."""
    mask = (1 << exponent) - 1
    remainder, threshold = x & mask, (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def multiply(x: int, real: float) -> int:
    """MultiplyByQuantizedMultiplier of common.h, with two roundings."""
    fixed, shift = quantize_multiplier(real)
    moved = max(-(1 << 31), min((1 << 31) - 1, x << max(shift, 0)))
    return divide_by_power(doubling_high_mul(moved, fixed), max(-shift, 0))


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.floats(2**-20, 3.0))
@settings(max_examples=200, deadline=None)
def test_two_roundings_are_those_of_tensorflow_lite(x: int, real: float) -> None:
    found = scaled(np.array([x]), Factor.of(np.array([real])), "half_up", twice=True)
    assert found.item() == multiply(x, real)


@pytest.mark.parametrize("rounding", list(RULES))
@given(x=st.integers(-(1 << 31), (1 << 31) - 1), real=st.floats(2**-20, 3.0))
@settings(max_examples=100, deadline=None)
def test_one_rounding_is_that_of_the_exact_product(rounding: Rounding, x: int, real: float) -> None:
    factor = Factor.of(np.array([real]), 16)
    exact = Fraction(x * factor.multiplier.item(), 1 << 15) * Fraction(2) ** factor.exponent.item()
    assert scaled(np.array([x]), factor, rounding).item() == rounded(exact, rounding)


def rounded(x: Fraction, rounding: Rounding) -> int:
    low = math.floor(x)
    if rounding == "floor" or x == low:
        return low
    if x - low != Fraction(1, 2):
        return low + (x - low > Fraction(1, 2))
    up = {"half_up": True, "half_away": x > 0, "half_even": low % 2 == 1}[rounding]
    return low + up


@pytest.mark.parametrize(("rounding", "expected"), list(RULES.items()))
def test_a_half_goes_where_the_rule_says(rounding: Rounding, expected: float) -> None:
    assert whole(np.array([2.5]), rounding).item() == expected
    assert shifted(np.array([5]), 1, rounding).item() == expected


def test_a_multiplier_is_as_near_as_its_bits_allow() -> None:
    real = np.geomspace(1e-6, 4, 50)
    for bits in (16, 32):
        factor = Factor.of(real, bits)
        again = factor.multiplier * 2.0 ** (factor.exponent - bits + 1)
        assert np.abs(again / real - 1).max() <= 2.0 ** (1 - bits)
        assert (factor.multiplier < 1 << bits - 1).all()
