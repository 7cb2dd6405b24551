"""Positions of a layer's input that are padding: they teach a recovery nothing.

An output that knows its mask is judged without them. Where more than half of all positions are
padding, what is learned from all of them is learned for the wrong ones.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from lostbits.data import Batch
from lostbits.graph.outputs import Compared
from lostbits.runtime.counting import Counts, counting, without_padding


def counted(compared: Sequence[Compared], part: Batch, x: torch.Tensor) -> Counts:
    """Which positions of a layer's input count; None for all.

    Args:
        compared: Outputs, some with a mask.
        part: The batch.
        x: Samples first, those that fill the batch up last; they never count.
    """
    if x.shape[0] != (part.filled or part.size):
        return None  # axis 0 counts no samples
    shape = (part.size, *x.shape[1:])
    masked = [replace(each, told=False) for each in compared if each.mask is not None]
    known = (found for found in counting(masked, part, [shape] * len(masked)))
    counts = next((found for found in known if found is not None), None)
    if counts is None or counts.all():
        return None
    filled = np.zeros((x.shape[0], *counts.shape[1:]), bool)
    filled[: part.size] = counts
    return filled


def held(x: torch.Tensor, counts: Counts) -> torch.Tensor:
    """``x`` with zeros where it does not count: they add nothing to any sum over positions."""
    return without_padding(x, counts)


def share(counts: Counts, part: Batch) -> float:
    """Part of the positions of the batch that counts."""
    return 1.0 if counts is None else float(counts[: part.size].mean())
