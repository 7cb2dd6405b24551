"""How far sums of products can reach, from the codes of a weight alone."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lostbits.kernels.sums import Integers, paired
from lostbits.kernels.windows import rows_of
from lostbits.target import Arithmetic

PAIR_BITS = 16


class Reach(NamedTuple):
    """The sum that is farthest from zero, by its size.

    Attributes:
        packed: Of a pair whose products the kernel puts side by side, or of a whole sum.
        written: The same of neighbours in the order of the file.
        limit: The largest that fits.
    """

    packed: int
    written: int
    limit: int

    @property
    def leaves(self) -> bool:
        """Whether a sum can leave its range."""
        return self.packed > self.limit


def takes_pairs(
    own: Arithmetic, kinds: tuple[str, str], shape: tuple[int, ...], groups: int
) -> bool:
    """Whether the products of a layer are added in pairs.

    Args:
        own: The arithmetic.
        kinds: Integer types of input and weight, such as ``uint8``.
        shape: Of the weight.
        groups: Of a Conv; 0 for a matrix product. Depthwise kernels add each product by itself.
    """
    wanted = {"u8s8": ("uint8", "int8"), "s8s8": ("int8", "int8")}
    depthwise = groups > 0 and shape[0] == groups and shape[1] == 1
    return kinds == wanted.get(own.pairs or "") and not depthwise


def pair_reach(weights: NDArray[Any], ends: tuple[int, int], own: Arithmetic, groups: int) -> Reach:
    """Of two products that are added in int16.

    Args:
        weights: Codes, output channels first for a Conv and last for a matrix product.
        ends: The smallest and the largest code of the input.
        own: Of whose pairs.
        groups: Of a Conv; 0 for a matrix product.
    """
    limit = (1 << PAIR_BITS - 1) - 1
    if not groups:
        rows = np.moveaxis(weights, -2, -1).astype(np.int64)
        found = _pairs(rows.reshape(-1, rows.shape[-1]), ends, own.pair_distance)
        return Reach(found, found, limit)
    packed = rows_of(weights, groups).reshape(len(weights), -1)
    written = weights.reshape(len(weights), -1).astype(np.int64)
    found, other = (_pairs(rows, ends, own.pair_distance) for rows in (packed, written))
    return Reach(found, other, limit)


def _pairs(rows: Integers, ends: tuple[int, int], distance: int) -> int:
    codes = paired(rows, distance, 1)
    low, high = _products(codes, ends)
    most = high.reshape(len(rows), -1, 2).sum(2)
    least = low.reshape(len(rows), -1, 2).sum(2)
    return int(max(most.max(initial=0), -least.min(initial=0)))


def sum_reach(weights: Integers, ends: tuple[int, int], bias: Integers | None, bits: int) -> Reach:
    """Of whole sums, on their way included.

    Args:
        weights: Codes less their zero points, shape (channels, products).
        ends: The smallest and the largest code of the input less its zero point.
        bias: Codes, shape (channels,); None for none.
        bits: Of the accumulator.
    """
    low, high = _products(weights, ends)
    start = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
    most = np.maximum(high.clip(0).sum(1), high.clip(0).sum(1) + start)
    least = np.minimum(low.clip(None, 0).sum(1), low.clip(None, 0).sum(1) + start)
    found = int(max(most.max(initial=0), -least.min(initial=0)))
    return Reach(found, found, (1 << bits - 1) - 1)


def _products(codes: Integers, ends: tuple[int, int]) -> tuple[Integers, Integers]:
    """The smallest and the largest product of every weight."""
    both = codes * ends[0], codes * ends[1]
    return np.minimum(*both), np.maximum(*both)
