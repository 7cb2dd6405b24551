"""Weights that make good what the quantized inputs bring along, as far as the samples support it.

``sum |W x - T z|^2`` with x the float and z the quantized inputs is least at a regression of
``W x`` on z. Few samples determine it badly, so it is drawn towards W by a ridge, and samples that
took no part in it decide how strongly (Hoerl and Kennard 1970; choice by validation).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gram import Gram
from lostbits.rounding.sweep import damped

Floats = NDArray[np.float64]
DAMPINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)


def regressed(weights: Floats, moments: Gram, damping: float) -> Floats:
    """The regression at one strength of the ridge; the weights themselves at infinity.

    Args:
        weights: Shape ``(groups, rows, columns)``.
        moments: Of the quantized inputs, paired with the float ones.
        damping: Relative to the mean of the Gram matrix' diagonal.
    """
    return next(_path(weights, moments, [damping]))


def choose_damping(weights: Floats, moments: Gram, held: Gram) -> float:
    """The strength with the least error on ``held``; infinite where that is empty."""
    if not held.count:
        return np.inf
    errors = [_error(t, weights, held) for t in _path(weights, moments, DAMPINGS)]
    return DAMPINGS[int(np.argmin(errors))]


def _path(weights: Floats, moments: Gram, dampings: Sequence[float]) -> Iterator[Floats]:
    """Solutions for several strengths: ``T = W + W (C - G) inv(G + d I)``.

    One Cholesky-like solve a strength; an eigendecomposition would serve them all at once, but
    costs as much as thirty of them (measured at 1,152 columns).
    """
    excess = (weights @ (moments.cross - moments.gram)).transpose(0, 2, 1)
    for damping in dampings:
        if np.isinf(damping):
            yield weights
        else:
            change = np.linalg.solve(damped(moments.gram, damping), excess)
            yield weights + change.transpose(0, 2, 1)


def _error(target: Floats, weights: Floats, held: Gram) -> float:
    """``sum |W x - T z|^2`` without the term that T does not change."""
    own = (target @ held.gram) * target
    shared = (weights @ held.cross) * target
    return float(own.sum() - 2 * shared.sum())
