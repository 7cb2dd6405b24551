"""Sums of narrow accumulators, against loops that do what the instructions are defined to do."""

from typing import Literal

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lostbits.arithmetics import ARM, X86_AVX2
from lostbits.kernels.bounds import pair_reach, sum_reach, takes_pairs
from lostbits.kernels.integer_ops import OPS
from lostbits.kernels.sums import Adder, Integers, Sums, added

Overflow = Literal["wrap", "saturate"]


def vpmaddubsw(a: Integers, b: Integers) -> Integers:
    """Intel's definition: SaturateToSignedWord(a[i+8:i]*b[i+8:i] + a[i:i]*b[i:i]), b signed."""
    words = []
    for i in range(0, len(a), 2):
        total = int(a[i]) * int(b[i]) + int(a[i + 1]) * int(b[i + 1])
        words.append(max(-0x8000, min(0x7FFF, total)))
    return np.array(words, np.int64)


def avx2(w: Integers, x: Integers) -> tuple[Integers, int]:
    """A dot product of every row and column: VPMADDUBSW, VPMADDWD by ones, VPADDD."""
    odd = w.shape[1] % 2
    w, x = np.pad(w, ((0, 0), (0, odd))), np.pad(x, ((0, odd), (0, 0)))
    sums = [[vpmaddubsw(column, row).sum() for column in x.T] for row in w]
    exact = [[(column[0::2] * row[0::2] + column[1::2] * row[1::2]) for column in x.T] for row in w]
    cut = np.abs(np.array(exact) + 0.5) > 0x7FFF + 0.5
    return np.array(sums, np.int64), int(cut.sum())


def sums(adder: Adder, w: Integers, x: Integers, **options: object) -> Sums:
    zeros = np.zeros((1, len(w)), np.int64), 0
    return added(adder, w[None], x[None], options.get("zeros", zeros), options.get("bias"))  # type: ignore[arg-type]


def drawn(low: int, high: int, *shape: int, seed: int = 0) -> Integers:
    return np.random.default_rng(seed).integers(low, high + 1, shape)


@given(
    arrays(np.int64, (2, 5), elements=st.integers(-128, 127)),
    arrays(np.int64, (5, 3), elements=st.integers(0, 255)),
)
@settings(max_examples=60, deadline=None)
def test_pairs_saturate_as_the_instruction_does(w: Integers, x: Integers) -> None:
    expected, cut = avx2(w, x)
    found = sums(Adder(pairs="saturate"), w, x)
    np.testing.assert_array_equal(found.values[0], expected)
    assert found.left.sum() == cut
    assert found.sums * len(w) == 2 * 3 * 3  # pairs of a row, columns, rows


def test_zero_points_are_taken_off_the_sum_of_saturated_pairs() -> None:
    w, x = drawn(100, 127, 3, 8), drawn(200, 255, 8, 4)
    zeros = np.array([[3, -5, 0]]), 7
    raw, _ = avx2(w, x)
    centred = (w - zeros[0].T) @ (x - zeros[1])
    found = sums(Adder(pairs="saturate"), w, x, zeros=zeros)
    np.testing.assert_array_equal(found.values[0], centred + raw - w @ x)
    assert found.left.sum() > 0


def test_pairs_that_are_apart_wrap_only_at_twice_the_lowest_code() -> None:
    adder = Adder(pairs="wrap", distance=8)
    w, x = np.full((1, 16), -128), np.full((16, 1), -128)
    assert sums(adder, w, x).values.item() == 8 * -32768
    x[3] = -127  # neither of the pair 3, 11 leaves int16 any more
    assert sums(adder, w, x).values.item() == 7 * -32768 + 128 * (127 + 128)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("bits", [16, 18, 32])
def test_narrow_accumulators_add_as_loops_do(overflow: Overflow, bits: int) -> None:
    w, x, bias = drawn(-28, 127, 4, 60), drawn(0, 255, 60, 5), drawn(-9000, 9000, 1, 4)
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    expected = np.zeros((4, 5), np.int64)
    left = 0
    for m, i in np.ndindex(4, 5):
        total, limited = 0, False
        for product in [*(w[m] * x[:, i]), bias[0, m]]:
            total += int(product)
            if overflow == "saturate":
                limited |= not low <= total <= high
                total = min(max(total, low), high)
        if overflow == "wrap":
            limited = not low <= total <= high
            total = (total - low) % (1 << bits) + low
        expected[m, i] = total
        left += limited
    found = sums(Adder(bits, overflow == "saturate"), w, x, bias=bias)
    np.testing.assert_array_equal(found.values[0], expected)
    assert found.left.sum() == left
    assert (left > 0) == (bits < 32)
    assert found.most == np.abs(w @ x + bias.T).max()


def test_no_sum_reaches_beyond_the_bounds_of_its_codes() -> None:
    w = drawn(-128, 127, 6, 4, 3, 3)
    x = drawn(0, 255, 36, 50, seed=1)
    flat = np.moveaxis(w, 1, -1).reshape(6, -1)
    pairs = flat[:, None, 0::2] * x.T[None, :, 0::2] + flat[:, None, 1::2] * x.T[None, :, 1::2]
    reach = pair_reach(w, (0, 255), X86_AVX2, 1)
    assert np.abs(pairs).max() <= reach.packed
    worst = np.where(flat > 0, 255, 0)  # of every row, what makes it largest
    found = sum_reach(flat, (0, 255), None, 19)
    assert found.packed == max((flat * worst).sum(1).max(), -(flat * (255 - worst)).sum(1).min())
    assert found.leaves


def test_the_order_of_the_kernel_is_not_that_of_the_file() -> None:
    w = np.zeros((1, 2, 1, 2), np.int64)
    w[0, :, 0, 0] = 127  # two inputs of one tap
    reach = pair_reach(w, (0, 255), X86_AVX2, 1)
    assert reach.packed == 255 * 254
    assert reach.written == 255 * 127


@pytest.mark.parametrize(
    ("kinds", "shape", "groups", "expected"),
    [
        (("uint8", "int8"), (8, 4, 3, 3), 1, True),
        (("uint8", "uint8"), (8, 4, 3, 3), 1, False),
        (("int8", "int8"), (8, 4, 3, 3), 1, False),
        (("uint8", "int8"), (8, 1, 3, 3), 8, False),  # depthwise
        (("uint8", "int8"), (8, 1, 3, 3), 4, True),  # two outputs a group
        (("uint8", "int8"), (8, 4), 0, True),
    ],
)
def test_only_uint8_by_int8_is_added_in_pairs_on_x86(
    kinds: tuple[str, str], shape: tuple[int, ...], groups: int, expected: bool
) -> None:
    assert takes_pairs(X86_AVX2, kinds, shape, groups) == expected
    assert takes_pairs(ARM, kinds, shape, groups) == (kinds == ("int8", "int8"))


def test_a_factor_beyond_float32_gives_the_last_code() -> None:
    own = {"real": np.array([1e300, 1e30]), "rounding": "half_even", "bits": 0, "zero": 3}
    total = np.array([[5, -7], [0, 2**30]], np.int32)
    (codes,) = OPS["Requantize"]({**own, "to": onnx.TensorProto.INT8}, [total])
    np.testing.assert_array_equal(codes, [[127, -128], [3, 127]])
