"""Multiplying an integer by a number below one, as kernels without a float unit do.

References:
    gemmlowp, fixedpoint/fixedpoint.h; TensorFlow Lite, kernels/internal/common.h and
    quantization_util.cc (QuantizeMultiplier, MultiplyByQuantizedMultiplier).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lostbits.target import Rounding

Integers = NDArray[np.int64]
_MOST = np.iinfo(np.int32)
_LONGEST = 31  # shift to the right; a smaller factor makes zero of every sum


class Factor(NamedTuple):
    """``multiplier * 2^(exponent - bits + 1)`` for every channel.

    Attributes:
        multiplier: Of ``bits`` bits, its sign included; 0, or at least half of what they hold.
        exponent: Where it is positive, the product is shifted to the left.
        bits: Of the multiplier.
    """

    multiplier: Integers
    exponent: Integers
    bits: int

    @classmethod
    def of(cls, real: NDArray[Any], bits: int = 32) -> "Factor":
        """The nearest to numbers that are not negative, halves away from zero.

        >>> Factor.of(np.array([0.75]), 8)
        Factor(multiplier=array([96]), exponent=array([0]), bits=8)
        """
        part, exponent = np.frexp(np.asarray(real, np.float64))
        one = 1 << bits - 1
        multiplier = np.floor(part * one + 0.5).astype(np.int64)
        full = multiplier == one
        multiplier, exponent = np.where(full, one // 2, multiplier), exponent + full
        tiny = exponent < -_LONGEST
        return cls(
            np.where(tiny, 0, multiplier), np.where(tiny, 0, exponent).astype(np.int64), bits
        )


def scaled(x: Integers, by: Factor, rounding: Rounding, *, twice: bool = False) -> Integers:
    """``x`` times a factor, as a whole number.

    Args:
        x: Of 32 bits.
        by: The factor; broadcast over ``x``.
        rounding: Of the shifted product.
        twice: Round the upper half of the product half up, and then what a shift to the right
            leaves half away from zero: TensorFlow Lite's default.
    """
    if twice:
        wide = np.clip(x << np.maximum(by.exponent, 0), _MOST.min, _MOST.max)
        high = shifted(wide * by.multiplier, by.bits - 1, "half_up")
        return shifted(high, np.maximum(-by.exponent, 0), "half_away")
    return shifted(x * by.multiplier, by.bits - 1 - by.exponent, rounding)


def shifted(x: Integers, bits: Any, rounding: Rounding) -> Integers:
    """``x / 2^bits`` as a whole number; bits below zero shift to the left.

    >>> [shifted(np.array([-3]), 1, r).item() for r in ("half_even", "half_away", "half_up")]
    [-2, -2, -1]
    """
    left, bits = np.maximum(-np.asarray(bits), 0), np.maximum(np.asarray(bits), 0)
    x = x << left
    half = (np.int64(1) << bits) >> 1
    if rounding == "floor":
        return np.asarray(x >> bits, np.int64)
    if rounding == "half_up":
        return np.asarray((x + half) >> bits, np.int64)
    if rounding == "half_away":
        return np.asarray(np.sign(x) * ((np.abs(x) + half) >> bits), np.int64)
    odd = (x >> bits) & 1
    return np.asarray((x + half - (half > 0) + (odd & (half > 0))) >> bits, np.int64)


def whole(x: NDArray[Any], rounding: Rounding) -> NDArray[Any]:
    """A float as a whole number.

    >>> [whole(np.array([-2.5]), r).item() for r in ("half_even", "half_away", "half_up", "floor")]
    [-2.0, -3.0, -2.0, -3.0]
    """
    if rounding == "half_even":
        return np.asarray(np.rint(x))
    if rounding == "half_away":
        return np.asarray(np.sign(x) * np.floor(np.abs(x) + 0.5))
    return np.asarray(np.floor(x + 0.5) if rounding == "half_up" else np.floor(x))
