"""Sums of products as narrow accumulators hold them.

Whatever a rule changes is found as the difference to the exact sum, which is a product of matrices
in float64: it holds all integers up to 2^53. Only products that can leave a range are looked at
one by one.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.kernels.loops import saturate_pairs, saturate_sums

Integers = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Adder:
    """How products are added.

    Attributes:
        bits: Of the accumulator.
        saturates: Whether it stays at its ends, after every product and behind the bias; else it
            wraps, and when it does so makes no difference.
        pairs: What two neighbouring products do in int16 that leave it; ``none``: each product is
            added by itself.
        distance: Between the two of a pair.
    """

    bits: int = 32
    saturates: bool = False
    pairs: Literal["none", "wrap", "saturate"] = "none"
    distance: int = 1

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest sum."""
        return -(1 << self.bits - 1), (1 << self.bits - 1) - 1


class Sums(NamedTuple):
    """What came of matrix products.

    Attributes:
        values: Shape (groups, M, L).
        left: How many sums of every row left their range, shape (groups, M).
        sums: How many sums a row has that could: its pairs, where there are any.
        most: The largest size of an exact sum.
    """

    values: Integers
    left: Integers
    sums: int
    most: int


def added(
    adder: Adder,
    weights: Integers,
    inputs: Integers,
    zeros: tuple[Integers, int],
    bias: Integers | None = None,
) -> Sums:
    """``(weights - zeros[0]) @ (inputs - zeros[1]) + bias`` as an adder gives it.

    Pairs are made of the codes as they are, as the instructions that make them take them; zero
    points are then taken off the sum.

    Args:
        adder: The rule.
        weights: Codes, shape (groups, M, K).
        inputs: Codes, shape (groups, K, L).
        zeros: Of the weights, shape (groups, M), and of the inputs.
        bias: Shape (groups, M); None for none.
    """
    centred, moved = weights - zeros[0][..., None], inputs - zeros[1]
    values = np.rint(centred.astype(np.float64) @ moved.astype(np.float64)).astype(np.int64)
    start = np.zeros(weights.shape[:2], np.int64) if bias is None else bias
    most = int(np.abs(values + start[..., None]).max(initial=0))
    left, count = np.zeros(weights.shape[:2], np.int64), inputs.shape[2]
    if adder.pairs != "none":
        w, x = (
            np.ascontiguousarray(paired(v, adder.distance, axis))
            for v, axis in _axes(weights, inputs)
        )
        saturate_pairs(w, x, _reach(x), adder.pairs == "wrap", values, left)
        count *= w.shape[2] // 2
    elif adder.saturates:
        saturate_sums(centred, moved, _reach(moved), start, np.array(adder.ends), values, left)
    total = values + start[..., None]
    if adder.pairs == "none":
        left += ((total < adder.ends[0]) | (total > adder.ends[1])).sum(2)
    return Sums(within(adder, total), left, count, most)


def _axes(weights: Integers, inputs: Integers) -> tuple[tuple[Integers, int], ...]:
    """Both, and along which axis their products are."""
    return (weights, 2), (inputs, 1)


def within(adder: Adder, total: Integers) -> Integers:
    """Sums as the accumulator holds them."""
    low, high = adder.ends
    if adder.saturates:
        return np.clip(total, low, high)
    return (total - low) % (high - low + 1) + low


def _reach(inputs: Integers) -> Integers:
    """The smallest and the largest input of every product, shape (groups, 2, K)."""
    if not inputs.shape[2]:
        return np.zeros((len(inputs), 2, inputs.shape[1]), np.int64)
    return np.stack([inputs.min(2), inputs.max(2)], axis=1)


def paired(codes: Integers, distance: int, axis: int) -> Integers:
    """Codes in an order in which the two of a pair are neighbours, filled up with zeros.

    >>> paired(np.arange(8), 2, 0).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    missing = -codes.shape[axis] % (2 * distance)
    widths = [(0, missing if d == axis else 0) for d in range(codes.ndim)]
    order = np.arange(codes.shape[axis] + missing).reshape(-1, 2, distance)
    return np.take(np.pad(codes, widths), order.transpose(0, 2, 1).ravel(), axis)
