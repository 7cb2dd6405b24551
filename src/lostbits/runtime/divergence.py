"""How far the answers of a network lie from those of another one."""

import numpy as np
import torch

from lostbits.runtime.counting import Counts


def kl(
    plain: torch.Tensor, other: torch.Tensor, counts: Counts = None, axis: int = -1
) -> torch.Tensor:
    """Sum over samples (mean over positions that count) of the divergence along an axis, nats."""
    p, q = torch.log_softmax(plain.double(), axis), torch.log_softmax(other.double(), axis)
    each = (p.exp() * (p - q)).sum(axis)
    if not each.ndim:
        return each
    rows = each.reshape(each.shape[0], -1)
    if counts is None:
        return rows.mean(1).sum()
    counted = torch.from_numpy(np.broadcast_to(counts, each.shape).copy()).reshape(rows.shape)
    return ((rows * counted).sum(1) / counted.sum(1).clamp(min=1)).sum()
