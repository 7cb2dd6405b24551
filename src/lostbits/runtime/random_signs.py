"""The outputs as one number, ``u = sum_k r_k sqrt(w_k) y_k`` with random signs ``r``.

With the weights ``w`` that the squared errors of the outputs have in a figure, the square of what
anything does to ``u`` is, in the mean over the signs, what it does to the figure (Hutchinson, 1990,
Communications in Statistics 19(2)). So one backward pass tells this of everything at once.
"""

from collections.abc import Sequence

import torch

from lostbits.data import Batch
from lostbits.runtime.metrics import Value


def roots_of_weights(
    value: Value, outputs: Sequence[torch.Tensor], part: Batch
) -> list[torch.Tensor]:
    """``sqrt(w)`` of every entry: half the gradient of the figure at errors of one, and its root.

    Args:
        value: A sum of weighted squares.
        outputs: Of a batch, without samples that only fill it.
        part: The batch.
    """
    plain = [y.detach().double() for y in outputs]
    others = [(y + 1.0).requires_grad_() for y in plain]
    v = value(plain, others, part)
    found = torch.autograd.grad(v, others, allow_unused=True)
    weights = [y * 0 if g is None else g / 2 for g, y in zip(found, plain, strict=True)]
    return [weight.sqrt() for weight in weights]


def signed(
    outputs: Sequence[torch.Tensor], roots: Sequence[torch.Tensor], random: torch.Generator
) -> torch.Tensor:
    """``u`` of one draw of signs, float64."""
    terms = [
        (y.double() * root * (2.0 * torch.randint(0, 2, y.shape, generator=random) - 1)).sum()
        for y, root in zip(outputs, roots, strict=True)
    ]
    return torch.stack(terms).sum()
