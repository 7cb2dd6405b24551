"""Memory layout of tensors in the executor.

Feature maps are kept channels-last: torch's convolutions on a CPU then run about twice as fast
forward and backward (three times for the weights of depthwise ones) as on ONNX's own layout.
"""

import math
from typing import Any

import torch
from numpy.typing import NDArray

from lostbits.system.arrays_on_disk import spilled


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """``x``, with the channels of a feature map or of a 2-D kernel innermost in memory."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def memory_order(rank: int) -> tuple[int, ...]:
    """Axes of a tensor with so many, outermost in memory first."""
    return (0, 2, 3, 1) if rank == 4 else tuple(range(rank))


def flat(x: torch.Tensor) -> torch.Tensor:
    """Elements in memory order, shape ``(size,)``; the same order for every tensor of a shape."""
    return channels_last(x).permute(memory_order(x.ndim)).reshape(-1)


def by_channel(x: torch.Tensor, axis: int | None) -> NDArray[Any]:
    """Elements in memory order, shape (any, channels along ``axis`` or 1, any)."""
    if axis is None:
        return flat(x).reshape(1, 1, -1).numpy()
    order = memory_order(x.ndim)
    at, sizes = order.index(axis), [x.shape[d] for d in order]
    return flat(x).reshape(math.prod(sizes[:at]), sizes[at], math.prod(sizes[at + 1 :])).numpy()


def dot(x: torch.Tensor, y: torch.Tensor) -> float:
    """``<x, y>`` of two tensors of one shape: float32 within a million values, float64 across."""
    a, b = flat(x), flat(y)
    parts = zip(torch.split(a, 1 << 20), torch.split(b, 1 << 20), strict=True)
    return sum(float(torch.dot(p, q)) for p, q in parts)


def in_file(x: torch.Tensor) -> torch.Tensor:
    """The same values in a file, in the same order in memory, so that they add up the same."""
    order = sorted(range(x.ndim), key=x.stride, reverse=True)
    laid = x.detach().permute(order)
    if not x.numel() or not laid.is_contiguous():
        return x
    back = [order.index(d) for d in range(x.ndim)]
    return torch.from_numpy(spilled(laid.numpy())).permute(back)
