"""Weights that make good what the quantized inputs bring along, as far as the samples support it.

``sum |W x - T z|^2`` with x the float and z the quantized inputs is least at a regression of
``W x`` on z. Few samples determine it badly, so it is drawn towards W by a ridge, and samples that
took no part in it decide how strongly (Hoerl and Kennard 1970; choice by validation).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gram import Gram
from lostbits.rounding.regression import drawn, drift

Floats = NDArray[np.float64]
DAMPINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)


@final
@dataclass(frozen=True)
class Ridge:
    """The regression at any strength of the ridge.

    Attributes:
        weights: Shape ``(groups, rows, columns)``.
        moments: Of the quantized inputs, paired with the float ones.
        held: Those of samples that judge.
    """

    weights: Floats
    moments: Gram
    held: Gram

    @cached_property
    def _drift(self) -> Floats:
        return drift(self.weights, self.moments.gram, self.moments.cross)

    def target(self, damping: float) -> Floats:
        """T, for a damping relative to the mean of the Gram matrix' diagonal."""
        return drawn(self.weights, self.moments.gram, self._drift, damping)

    @cached_property
    def _wanted(self) -> Floats:
        return self.weights @ self.held.cross

    def error(self, damping: float) -> float:
        """``sum |W x - T z|^2`` on ``held``, without the term that T does not change."""
        target = self.target(damping)
        own = (target @ self.held.gram) * target
        shared = self._wanted * target
        return float(own.sum() - 2 * shared.sum())
