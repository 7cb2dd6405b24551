"""Steps of Adam.

torch's own optimizers import its compiler: two seconds for every process, and a folder of their own
among the user's temporary files.

References:
    Kingma and Ba, 2015, arXiv:1412.6980.
"""

import math
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

_FIRST, _SECOND, _SMALL = 0.9, 0.999, 1e-8  # decay of both moments, and what keeps from 1 / 0


@final
class Adam:
    """Moves tensors against their gradients, each by its own moments.

    Args:
        rated: Tensors that require gradients, each with its rate.
    """

    def __init__(self, rated: Iterable[tuple[Tensor, float]]) -> None:
        self._rated = list(rated)
        self._moments = [(torch.zeros_like(x), torch.zeros_like(x)) for x, _ in self._rated]
        self._steps = [0] * len(self._rated)

    def clear(self) -> None:
        """Forget the gradients."""
        for x, _ in self._rated:
            x.grad = None

    @torch.no_grad()
    def step(self, part: float = 1.0) -> None:
        """Move every tensor that has a gradient, by a part of its rate."""
        for number, ((x, rate), (mean, square)) in enumerate(
            zip(self._rated, self._moments, strict=True)
        ):
            if x.grad is None:
                continue
            self._steps[number] += 1
            mean.lerp_(x.grad, 1 - _FIRST)
            square.mul_(_SECOND).addcmul_(x.grad, x.grad, value=1 - _SECOND)
            unbiased = [1 - decay ** self._steps[number] for decay in (_FIRST, _SECOND)]
            scale = square.sqrt().div_(math.sqrt(unbiased[1])).add_(_SMALL)
            x.addcdiv_(mean, scale, value=-part * rate / unbiased[0])
