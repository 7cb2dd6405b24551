"""A weight between its two nearest codes, as a differentiable function of one number each.

References:
    Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020,
    arXiv:2004.10568.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from lostbits.grid import Affine, Array, along
from lostbits.rounding.row_grid import Codes

ZETA, GAMMA = 1.1, -0.1  # how far the sigmoid is stretched beyond 1 and 0, so that it gets there
_HARD = 0.01


def openness(v: Tensor) -> Tensor:
    """The rectified sigmoid ``h(v)``, in [0, 1]: how far up a weight is from its lower code."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def decision(h: Tensor) -> Tensor:
    """The v at which ``openness(v)`` is ``h``."""
    return -torch.log((ZETA - GAMMA) / (h - GAMMA) - 1)


def penalty_slope(h: Tensor, beta: float) -> Tensor:
    """Derivative by ``h`` of ``1 - |2 h - 1|^beta``, which draws every h to 0 or 1.

    The larger beta, the flatter between the two.
    """
    away = 2 * h - 1
    return away.abs().pow_(beta - 1).copysign_(away).mul_(-2 * beta)


@final
@dataclass(frozen=True, eq=False)
class RoundedWeight:
    """A weight to be rounded.

    Attributes:
        weight: Float weights of any shape.
        affine: Their grid, per tensor or along ``affine.axis``.
        start: Codes to begin from, of the same shape; None for the nearest.
    """

    weight: Array
    affine: Affine
    start: Codes | None = None

    @classmethod
    def begun(cls, weight: Array, affine: Affine, start: Array | None) -> "RoundedWeight":
        """The same from values on the grid, where there are some to begin from."""
        codes = None if start is None else affine.codes(start).astype(np.int64)
        return cls(weight, affine, codes)

    @property
    def nearest(self) -> Codes:
        """Each weight rounded by itself."""
        return self.affine.codes(self.weight).astype(np.int64)

    @property
    def first(self) -> Codes:
        """The codes to begin from."""
        return self.nearest if self.start is None else self.start

    def values(self, codes: Codes) -> Tensor:
        """Float32 weights that the codes stand for."""
        rank, axis = self.weight.ndim, self.affine.axis
        steps = codes - along(self.affine.zero_point, rank, axis)
        return torch.from_numpy(
            steps.astype(np.float32) * along(self.affine.scale, rank, axis).astype(np.float32)
        )


@final
class SoftWeight:
    """``scale * clip(lower + h(v))`` with v to be learned.

    At the start the soft weights equal the float weights. Given codes to begin from, v lies
    halfway between that and the decisions they made, always on their side: they count as advice
    that the data may overrule. A code that is not next to its weight has two neighbours of its
    own to choose from: itself, and the next one towards the weight.

    The slopes are written out: automatic ones walk over memory three times as often, and in small
    layers that is what a step costs.

    Attributes:
        v: What is learned, in the shape of the weight.
    """

    def __init__(self, layer: RoundedWeight) -> None:
        rank, affine = layer.weight.ndim, layer.affine
        self._zero = along(affine.zero_point, rank, affine.axis)
        self._scale = torch.from_numpy(np.asarray(along(affine.scale, rank, affine.axis)))
        self._ends = affine.grid.qmin, affine.grid.qmax
        low, high = (np.asarray(end - self._zero, np.float32) for end in self._ends)
        self._low, self._high = torch.from_numpy(low), torch.from_numpy(high)
        steps = layer.weight.astype(np.float32) / self._scale.numpy()
        lower = np.floor(steps)
        advice = None if layer.start is None else layer.start - self._zero
        if advice is not None:
            lower = np.clip(lower, advice - 1, advice)
        h = np.clip(steps - lower, 0, 1)
        if advice is not None:
            h = 0.45 * h + 0.55 * (advice - lower)
        self._lower = torch.from_numpy(lower.astype(np.float32))
        free = (self._low <= self._lower) & (self._lower < self._high)
        self._slope = free * self._scale
        self.v = decision(torch.from_numpy(h.astype(np.float32))).requires_grad_()

    def weight(self) -> Tensor:
        """Weights as they stand: a tensor of its own, whose gradient ``descend`` takes."""
        with torch.no_grad():
            steps = self._lower + openness(self.v)
            steps = torch.minimum(torch.maximum(steps, self._low), self._high)
            return steps.mul_(self._scale).requires_grad_()

    def descend(self, slope: Tensor, strength: float, beta: float | None) -> None:
        """Set the gradient of ``v``.

        Args:
            slope: Of the loss by the weights.
            strength: Of the regulariser, a weight.
            beta: Its exponent; None before it sets in.
        """
        with torch.no_grad():
            part = torch.sigmoid(self.v)
            h = torch.add(GAMMA, part, alpha=ZETA - GAMMA)
            inside = (h > 0) & (h < 1)
            slope = slope * self._slope
            if beta is not None:
                slope.add_(penalty_slope(h.clamp_(0, 1), beta), alpha=strength)
            bend = torch.addcmul(part, part, part, value=-1).mul_(ZETA - GAMMA)
            self.v.grad = slope.mul_(bend).mul_(inside)

    def codes(self) -> Codes:
        """The decisions as they stand: up where v is not negative."""
        up = (self.v >= 0).numpy()
        steps = self._lower.numpy().astype(np.int64) + up
        codes: Codes = np.clip(steps + self._zero, *self._ends).astype(np.int64)
        return codes

    def hard(self) -> int:
        """How many weights are within 0.01 of a code."""
        h = openness(self.v.detach())
        return int(((h <= _HARD) | (h >= 1 - _HARD)).sum())
