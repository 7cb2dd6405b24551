"""Biases in integer kernels: the scale that they have, and the room that they leave."""

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Affine, Grid

ACCUMULATOR_BITS = 32
_TINY = float(np.finfo(np.float32).tiny)


def bias_affine(x: Affine, w: Affine, size: int, bits: int) -> Affine:
    """int32 with scale ``s_x * s_w``: what an integer kernel adds to its accumulator.

    Groups of a ConvTranspose share the scales of its weight, so they repeat along the bias. No
    kernel adds up inputs of several scales; where a trial has them, the coarsest is that of the
    bias, as it would be with one for all.
    """
    scale = np.maximum(x.scale.max() * w.scale, _TINY).astype(np.float32)
    axis = None if scale.ndim == 0 else 0
    scale = scale if axis is None else np.tile(scale, size // scale.size)
    return Affine(Grid.of(bits, signed=True), scale, np.zeros(scale.shape, np.int64), axis)


def least_weight_scale(
    x: Affine, w: Affine, bias: NDArray[np.float32], size: int, bits: int = ACCUMULATOR_BITS
) -> NDArray[np.float32]:
    """The scale of a weight at which its bias and all products together fit.

    Args:
        x: Of the layer's input.
        w: Of its weight.
        bias: Magnitudes.
        size: Of the weight.
        bits: Of the accumulator.
    """
    reach = float(np.maximum(w.grid.qmax - w.zero_point, w.zero_point - w.grid.qmin).max())
    products = (x.grid.qmax - x.grid.qmin) * reach * size / bias.size
    most = 2.0 ** (bits - 1)
    room = most - min(products, most / 2)  # a layer of so many products never reaches them all
    if bias.size % w.scale.size:  # somebody else's file, with scales along another axis
        return np.zeros_like(w.scale)
    channels = bias.reshape(-1, w.scale.size).max(0).reshape(w.scale.shape).astype(np.float64)
    # The product of two float32 scales may be a little smaller than it should.
    least: NDArray[np.float64] = np.asarray(1.000001 * channels / (float(x.scale.min()) * room))
    return least.astype(np.float32)


def powers_of_two(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """The next larger power of two of every scale."""
    floats = np.maximum(scale.astype(np.float64), _TINY)
    return np.asarray(np.exp2(np.ceil(np.log2(floats))), np.float32)
