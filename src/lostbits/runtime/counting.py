"""Positions of outputs that count: tokens that are no padding, rows that are not empty."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.data import Batch
from lostbits.errors import SimulationError
from lostbits.graph.outputs import Compared
from lostbits.graph.padding_masks import Mask

Counts = NDArray[np.bool_] | None  # over the first axes of an output; None: all count
_FAR = -1.0  # what is added to a score that counts is larger


def counting(
    compared: Sequence[Compared], part: Batch, shapes: Sequence[tuple[int, ...]]
) -> list[Counts]:
    """Which positions of each output count.

    Args:
        compared: The outputs.
        part: The batch that they were computed from.
        shapes: Of the outputs, without samples that filled the batch up.

    Raises:
        SimulationError: S020 for a mask that was told and does not fit its output.
    """
    return [_counts(each, part, shape) for each, shape in zip(compared, shapes, strict=True)]


def without_padding(x: torch.Tensor, counts: Counts) -> torch.Tensor:
    """``x`` with zeros at the positions that do not count."""
    if counts is None:
        return x
    return x * torch.from_numpy(_shaped(counts, x.ndim)).to(x.dtype)


def zeroed(x: NDArray[Any], counts: Counts) -> NDArray[Any]:
    """The same of an array; 0 times what is not finite would not be zero."""
    return x if counts is None else np.where(_shaped(counts, x.ndim), x, 0)


def _shaped(counts: NDArray[np.bool_], axes: int) -> NDArray[np.bool_]:
    return counts.reshape(*counts.shape, *[1] * (axes - counts.ndim))


def _counts(each: Compared, part: Batch, shape: tuple[int, ...]) -> Counts:
    if each.mask is None:
        return None
    values = np.asarray(part.real(part.feeds[each.mask.input]))
    counts = _of(each.mask, values, shape)
    if counts.shape == shape[: counts.ndim] and counts.ndim >= 1:
        return counts
    if each.told:
        where = f"mask {each.mask.input!r} of output {each.name!r}"
        raise SimulationError("S020", where, f"{values.shape} for an output of shape {shape}")
    return None


def _of(mask: Mask, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    match mask.form:
        case "lengths":
            return np.arange(shape[1] if len(shape) > 1 else 1) < values.reshape(-1, 1)
        case "added":
            return np.asarray(values > _FAR)
        case "zeros":
            return np.asarray(values == 0)
        case _:
            return np.asarray(values != 0)
