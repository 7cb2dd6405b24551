"""Weights that are packed in blocks of few bits, as MatMulNBits has them."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def unpacked(
    codes: Array, scales: Array, zeros: Array | None, sizes: tuple[int, int, int], bits: int
) -> NDArray[np.float32]:
    """The weight that packed codes stand for, (N, K).

    Args:
        codes: Bytes, (N, blocks, block * bits / 8) or flat; the lowest bits of a byte come first.
        scales: One for each block, N * blocks.
        zeros: Packed like the codes, a row a column of the weight, or floats; None: the middle.
        sizes: N, K, and the length of a block along K.
        bits: Of a code: 2, 4 or 8.

    References:
        ONNX Runtime, docs/ContribOperators.md, com.microsoft.MatMulNBits.
    """
    columns, rows, block = sizes
    blocks = -(-rows // block)
    spread = _bits(codes.reshape(columns, blocks, -1), bits)[..., :block]
    middle: Array = np.full((columns, blocks), float(1 << (bits - 1)), np.float32)
    if zeros is not None and zeros.dtype == np.uint8:
        middle = _bits(zeros.reshape(columns, -1), bits)[:, :blocks]
    elif zeros is not None:
        middle = zeros.reshape(columns, blocks)
    steps = spread - middle[..., None].astype(np.float32)
    weight = steps * scales.reshape(columns, blocks, 1).astype(np.float32)
    return np.ascontiguousarray(weight.reshape(columns, -1)[:, :rows], np.float32)


def _bits(packed: Array, bits: int) -> NDArray[np.float32]:
    """Codes along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (packed.astype(np.uint8)[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return codes.reshape(*packed.shape[:-1], -1).astype(np.float32)
