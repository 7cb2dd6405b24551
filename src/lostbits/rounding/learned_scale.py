"""A quantizer whose scale is learned.

References:
    Esser et al., Learned Step Size Quantization, ICLR 2020, arXiv:1902.08153. Wei et al., QDrop,
    ICLR 2022, arXiv:2203.05740.
"""

from dataclasses import replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from lostbits.grid import Affine

_REACH = 1.5  # how far the logarithm of a scale may go from where it started


@final
class LearnedScale:
    """One scale of an activation, on a logarithmic axis so that all learn at the same rate.

    The zero point stays where it is: both ends move together. While it learns, whole channels of
    a sample pass unrounded by chance, so that weights do not settle on one set of errors; a mask
    for each value would cost more than the layer.

    Attributes:
        shift: Logarithm of the factor to the scale of the plan; shape ().
    """

    def __init__(self, affine: Affine, drop: float = 0.5, seed: int = 0) -> None:
        self.affine, self.drop = affine, drop
        self.shift = torch.zeros((), requires_grad=True)
        self._generator = torch.Generator().manual_seed(seed)
        self._zero = float(affine.zero_point)
        self._ends = affine.grid.qmin - self._zero, affine.grid.qmax - self._zero

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` on the grid: float32, with LSQ's gradients for ``x`` and the scale."""
        scale = float(self.affine.scale) * self.shift.clamp(-_REACH, _REACH).exp()
        steps = torch.clamp(x / scale, *self._ends)
        rounded = (steps + (steps.round() - steps).detach()) * scale
        if not torch.is_grad_enabled() or not self.drop:
            return rounded
        shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
        kept = torch.rand(shape, generator=self._generator) >= self.drop
        return torch.where(kept, rounded, x)

    def learned(self, shift: Tensor) -> Affine:
        """The grid that ``shift`` stands for."""
        factor = np.float32(shift.clamp(-_REACH, _REACH).exp().item())
        return replace(self.affine, scale=np.asarray(self.affine.scale * factor, np.float32))
