"""Where an integer accumulator is too narrow for a layer's own constants."""

import numpy as np
from numpy.typing import NDArray

from lostbits.graph.qdq_view import Operand

_MOST = np.iinfo(np.int32).max


def saturates(weight: Operand) -> bool:
    """Whether 255 times two neighbouring int8 weights can exceed 16 bits.

    Which weights are neighbours is the kernel's affair, so the two largest of one sign in a
    channel stand for them: the answer is a possibility, not a proof.
    """
    if weight.step is None or weight.values.ndim < 2:
        return False
    codes = np.moveaxis(weight.values / weight.step, weight.axis or 0, 0)
    rows = codes.reshape(codes.shape[0], -1)
    pairs = [np.sort(np.maximum(sign * rows, 0), axis=1)[:, -2:].sum(1) for sign in (1, -1)]
    return bool(255 * np.max(pairs) > np.iinfo(np.int16).max)


def overflowing(weight: Operand, bias: Operand | None, span: int) -> NDArray[np.int64]:
    """Channels whose sum can exceed 32 bits, where most kernels wrap around.

    A channel of all but dead weights has so small a scale that its bias, in units of
    ``s_x * s_w``, takes all 32 bits; a few products more, and the sum turns its sign.

    Args:
        weight: Of Conv, ConvTranspose or Gemm.
        bias: Of int32; None where it is added in float.
        span: Largest magnitude of an input code less its zero point.

    Returns:
        Numbers of the channels, shape (k,).
    """
    if weight.step is None or bias is None or bias.step is None or weight.values.ndim < 2:
        return np.zeros(0, np.int64)
    codes = np.moveaxis(np.abs(weight.values / weight.step), weight.axis or 0, 0)
    products = span * codes.reshape(codes.shape[0], -1).sum(1)
    biases = np.abs(bias.values / bias.step).ravel()
    if biases.size % products.size:
        return np.zeros(0, np.int64)
    sums = biases + np.tile(products, biases.size // products.size)
    return np.flatnonzero(sums > _MOST).astype(np.int64)
