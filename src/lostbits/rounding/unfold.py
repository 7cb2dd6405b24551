"""The inputs that a convolution multiplies with its weights, position by position.

Of the transposed convolution there is none: its positions see kernels cut short by the stride.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional


@final
@dataclass(frozen=True)
class Window:
    """Attributes of an ONNX Conv over 1, 2 or 3 axes.

    Attributes:
        kernel, strides, dilations: One number per axis.
        pads: First all the beginnings, then all the ends.
        groups: Groups of channels.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int = 1

    def windows(self, x: Tensor) -> Tensor:
        """A view ``(batch, *positions, channels, *kernel)`` of the zero-padded input."""
        rank = len(self.kernel)
        pairs = zip(self.pads[:rank], self.pads[rank:], strict=True)
        sides = [n for pair in reversed(list(pairs)) for n in pair]
        view = functional.pad(x, sides) if any(sides) else x  # torch copies even for no padding
        for axis, (size, stride, gap) in enumerate(
            zip(self.kernel, self.strides, self.dilations, strict=True), start=2
        ):
            view = view.unfold(axis, (size - 1) * gap + 1, stride)[..., ::gap]
        return view.movedim(1, 1 + rank)


def patches(x: Tensor, window: Window, positions: Tensor | None = None) -> Tensor:
    """Shape ``(groups, positions, columns)``, columns as in ``weight.reshape(groups, rows, -1)``.

    ``patches @ weight^T`` is the convolution without its bias. Zeros in the padding are exact
    for quantized inputs too: every grid holds zero.

    Args:
        x: Shape ``(batch, channels, *spatial)``.
        window: The convolution's attributes.
        positions: Which of the ``batch * positions`` to take, from ``sample_positions``; None
            for all. Only those are copied out of the input.
    """
    view = window.windows(x)
    rank = len(window.kernel)
    if positions is None:
        taken = view.flatten(0, rank)
    else:
        taken = view[torch.unravel_index(positions, view.shape[: 1 + rank])]
    return taken.reshape(taken.shape[0], window.groups, -1).transpose(0, 1).contiguous()


def count_positions(x: Tensor, window: Window) -> int:
    """Of all samples together."""
    view = window.windows(x[:1])
    return x.shape[0] * math.prod(view.shape[1 : 1 + len(window.kernel)])


def sample_positions(
    x: Tensor, window: Window, limit: int, generator: torch.Generator
) -> Tensor | None:
    """``limit`` positions chosen at random, in ascending order; None if there are no more.

    To be chosen once for an input and its float counterpart, which then give pairs.
    """
    count = count_positions(x, window)
    if count <= limit:
        return None
    return torch.randperm(count, generator=generator)[:limit].sort().values
