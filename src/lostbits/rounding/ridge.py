"""Weights that make good what the quantized inputs bring along, as far as the samples support it.

``sum |W x - T z|^2`` with x the float and z the quantized inputs is least at a regression of
``W x`` on z. Few samples determine it badly, so it is drawn towards W by a ridge, and samples that
took no part in it decide how strongly (Hoerl and Kennard 1970; choice by validation).
"""

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gram import Gram
from lostbits.rounding.target import corrected_target, corrected_targets

Floats = NDArray[np.float64]
DAMPINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)


def regressed(weights: Floats, moments: Gram, damping: float) -> Floats:
    """The regression at one strength of the ridge; the weights themselves at infinity.

    Args:
        weights: Shape ``(groups, rows, columns)``.
        moments: Of the quantized inputs, paired with the float ones.
        damping: Relative to the mean of the Gram matrix' diagonal.
    """
    return corrected_target(weights, moments.gram, moments.cross, damping)


def choose_damping(weights: Floats, moments: Gram, held: Gram) -> float:
    """The strength with the least error on ``held``; infinite where that is empty."""
    if not held.count:
        return np.inf
    targets = corrected_targets(weights, moments.gram, moments.cross, DAMPINGS)
    errors = [_error(t, weights, held) for t in targets]
    return DAMPINGS[int(np.argmin(errors))]


def _error(target: Floats, weights: Floats, held: Gram) -> float:
    """``sum |W x - T z|^2`` without the term that T does not change."""
    own = (target @ held.gram) * target
    shared = (weights @ held.cross) * target
    return float(own.sum() - 2 * shared.sum())
