"""Softmax in fixed point, of codes of 8 and of 16 bits.

With 8 bits, the exponential of the distance to the largest is a polynomial and seven factors, and
one over the sum three steps of Newton's; with 16 bits both are tables. Results are multiples of
1/256 or 1/32768, whatever the values are: the kernels know no other scale.

References:
    TensorFlow Lite, kernels/internal/reference/softmax.h and activations.cc (SoftmaxPrepare);
    gemmlowp, fixedpoint/fixedpoint.h.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lostbits.kernels.lines import between, sampled
from lostbits.kernels.rounding import Factor, Integers, scaled, shifted
from lostbits.target import Rounding

_ONE = (1 << 31) - 1  # of numbers with 31 bits behind the point
_DIFFERENCE, _SUM = 5, 12  # bits before the point, of exponents and of their sums
# exp(-2^k) for k = -2 to 4, with 31 bits behind the point.
_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
_EIGHTH = 1895147668  # exp(-1/8)
_THIRD = 715827883
_FIRST, _SLOPE = 1515870810, -1010580540  # 48/17 and -32/17, with 29 bits behind the point
_REACH = 10.0  # below which an exponential of 16 bits counts as none


def softmax(
    codes: Integers, scale: float, bits: int, rounding: Rounding, *, twice: bool
) -> Integers:
    """Codes of the result above its smallest: 256 or 32768 of them are 1.

    Args:
        codes: Softmax runs along the last axis.
        scale: Of the codes.
        bits: 8 or 16.
        rounding: Of the scaled differences of 16 bits; see ``rounding.scaled``.
        twice: The same.
    """
    distance = codes - codes.max(-1, keepdims=True)
    if bits == 8:
        return _of_8_bits(distance, scale)
    return _of_16_bits(distance, scale, rounding, twice=twice)


def _of_8_bits(distance: Integers, scale: float) -> Integers:
    fraction = 31 - _DIFFERENCE
    by = Factor.of(np.asarray(min(scale * 2.0**fraction, float(_ONE))))
    least = -int(((1 << _DIFFERENCE) - 1) * 2.0**fraction / 2.0 ** int(by.exponent))
    near = distance >= least
    moved = np.where(near, distance, 0) * (1 << max(int(by.exponent), 0))
    powers = np.where(near, exponential(_product(moved, by.multiplier)), 0)
    total = shifted(powers, _SUM, "half_away").sum(-1, keepdims=True)
    inverse, over = _one_over(total)
    found = shifted(_product(inverse, powers), over + 31 - 8, "half_away")
    return np.where(near, np.clip(found, 0, 255), 0)


def _product(a: Integers, b: Integers | int) -> Integers:
    """Of numbers with 31 bits behind the point."""
    return shifted(a * b, 31, "half_up")


def exponential(x: Integers) -> Integers:
    """Of numbers up to 0 with 26 bits behind the point; 31 bits behind that of the result."""
    quarter = 1 << 24
    part = (x & (quarter - 1)) - quarter
    found, rest = _near_zero(part << _DIFFERENCE), part - x
    for power, factor in enumerate(_POWERS, -2):
        found = np.where(rest & (1 << 26 + power), _product(found, factor), found)
    return np.where(x == 0, _ONE, found)


def _near_zero(x: Integers) -> Integers:
    """Exponential of numbers from -1/4 to 0: four terms around -1/8."""
    x = x + (1 << 28)
    square = _product(x, x)
    cube, fourth = _product(square, x), _product(square, square)
    higher = _product(shifted(fourth, 2, "half_away") + cube, _THIRD)
    return _EIGHTH + _product(x + shifted(higher + square, 1, "half_away"), _EIGHTH)


def _one_over(total: Integers) -> tuple[Integers, Integers]:
    """One over sums with 19 bits behind the point, and by how many bits it is to be shifted."""
    room = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    half = (((total << room) - (1 << 31)) + _ONE + 1) >> 1
    x = _FIRST + _product(half, _SLOPE)
    for _ in range(3):
        x = x + (_product(x, (1 << 29) - _product(half, x)) << 2)
    return np.minimum(x << 1, _ONE), _SUM - room


def _of_16_bits(distance: Integers, scale: float, rounding: Rounding, *, twice: bool) -> Integers:
    by = Factor.of(np.asarray(scale * 65535 / _REACH))
    place = scaled(distance, by, rounding, twice=twice) + 32767
    powers = between(_EXPONENTIALS, np.clip(place, -32768, 32767))
    total = powers.sum(-1, keepdims=True)
    room = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    place = (((total << room - 1) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16)
    inverse = between(_INVERSES, np.clip(place, -32768, 32767))
    bits = 31 - room
    return np.asarray(np.clip((powers * inverse + (1 << bits - 1)) >> bits, 0, 32767))


def _table(values: NDArray[np.float64], middles: NDArray[np.float64]) -> Integers:
    return np.clip(sampled(values, middles, 32768.0), -32768, 32767).astype(np.int64)


_STEPS: Final = np.arange(513)
_EXPONENTIALS: Final = _table(
    np.exp(-_REACH * (1 - _STEPS / 512)), np.exp(-_REACH * (1 - (_STEPS[:-1] + 0.5) / 512))
)
_INVERSES: Final = _table(1 / (1 + _STEPS / 512), 1 / (1 + (_STEPS[:-1] + 0.5) / 512))
