"""Sums that leave their range, product by product; compiled when first used."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics.jit import compiled


@compiled
def saturate_pairs(
    weights: NDArray[Any],
    inputs: NDArray[Any],
    reach: NDArray[Any],
    wraps: Any,
    sums: NDArray[Any],
    left: NDArray[Any],
) -> None:
    """Take off ``sums`` what pairs of products lose in int16, and count those pairs in ``left``.

    Args:
        weights: Codes, shape (groups, M, K), K even.
        inputs: Codes, shape (groups, K, L).
        reach: The smallest and largest of each product's inputs, shape (groups, 2, K).
        wraps: Whether a pair wraps; else it saturates.
        sums: Exact, shape (groups, M, L); changed.
        left: Shape (groups, M); added to.
    """
    groups, rows, columns = sums.shape
    for g, m in np.ndindex(groups, rows):
        for k in range(0, weights.shape[2], 2):
            a, b = weights[g, m, k], weights[g, m, k + 1]
            ends = a * reach[g, :, k], b * reach[g, :, k + 1]
            low, high = min(ends[0]) + min(ends[1]), max(ends[0]) + max(ends[1])
            if low >= -32768 and high <= 32767:
                continue
            lost = 0
            for i in range(columns):
                pair = a * inputs[g, k, i] + b * inputs[g, k + 1, i]
                kept = min(max(pair, -32768), 32767)
                if wraps:
                    kept = (pair + 32768) % 65536 - 32768
                sums[g, m, i] += kept - pair
                lost += kept != pair
            left[g, m] += lost


@compiled
def saturate_sums(
    weights: NDArray[Any],
    inputs: NDArray[Any],
    reach: NDArray[Any],
    start: NDArray[Any],
    ends: NDArray[Any],
    sums: NDArray[Any],
    left: NDArray[Any],
) -> None:
    """Put sums that are limited after every product in the place of exact ones.

    Args:
        weights: Less their zero points, shape (groups, M, K).
        inputs: The same, shape (groups, K, L).
        reach: The smallest and largest of each product's inputs, shape (groups, 2, K).
        start: What is added to a sum at its end, shape (groups, M).
        ends: The smallest and the largest sum.
        sums: Exact, without ``start``, shape (groups, M, L); changed to what gives the limited sum
            when ``start`` is added. Rows that cannot leave the range on their way stay.
        left: Shape (groups, M); counts the sums that were limited.
    """
    groups, rows, columns = sums.shape
    low, high = ends
    for g, m in np.ndindex(groups, rows):
        least = most = 0
        for k in range(weights.shape[2]):
            one, other = weights[g, m, k] * reach[g, 0, k], weights[g, m, k] * reach[g, 1, k]
            least += min(one, other, 0)
            most += max(one, other, 0)
        if least >= low and most <= high:
            continue
        total, limited = np.zeros(columns, np.int64), np.zeros(columns, np.bool_)
        for k in range(weights.shape[2]):
            w = weights[g, m, k]
            for i in range(columns):
                whole = total[i] + w * inputs[g, k, i]
                total[i] = min(max(whole, low), high)
                limited[i] |= total[i] != whole
        for i in range(columns):
            whole = total[i] + start[g, m]
            kept = min(max(whole, low), high)
            sums[g, m, i] = kept - start[g, m]
            left[g, m] += limited[i] or kept != whole
