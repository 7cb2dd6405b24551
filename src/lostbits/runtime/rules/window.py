"""Geometry of the sliding windows of convolutions and pools."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import Operator, Unsupported

Sizes = tuple[int, ...]

_CONVOLUTIONS: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
# Torch's gradient of a 1 x 1 kernel with strides, of fewer input channels than these, writes beyond
# its memory where the last windows end before the input does (seen in 2.13, channels innermost).
_FEW_CHANNELS = 8


@final
@dataclass(frozen=True)
class Window:
    """A sliding window; every field has one number per spatial axis.

    Attributes:
        kernel: Taps.
        strides: Steps between windows.
        dilations: Steps between taps.
        begin: Padding before the first element; negative crops.
        end: Padding after the last element; negative crops.

    """

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    begin: Sizes
    end: Sizes

    @classmethod
    def of(cls, operator: Operator, extent: Sequence[int], kernel: Sequence[int]) -> "Window":
        """Read the window of a Conv or pool node over an input of spatial size ``extent``."""
        rank = len(extent)
        if rank not in {1, 2, 3} or len(kernel) != rank:
            raise Unsupported(f"{operator.op_type} over {rank} spatial axes")
        ones = [1] * rank
        strides = tuple(operator.get("strides") or ones)
        dilations = tuple(operator.get("dilations") or ones)
        pads = tuple(operator.get("pads") or [0] * (2 * rank))
        window = cls(tuple(kernel), strides, dilations, pads[:rank], pads[rank:])
        auto_pad = operator.get("auto_pad", "NOTSET")
        return window if auto_pad == "NOTSET" else window._auto_padded(auto_pad, extent)

    @property
    def reach(self) -> Sizes:
        """Distance from the first element of a window to one past its last."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def symmetric(self) -> bool:
        """Whether torch's own ``padding`` argument can express the padding of a convolution."""
        return self.begin == self.end and min(self.begin) >= 0

    @property
    def almost_symmetric(self) -> bool:
        """Whether no side has more padding than the other by anything but one step of the taps."""
        gaps = [abs(e - b) for b, e in zip(self.begin, self.end, strict=True)]
        known = all(gap in (0, d) for gap, d in zip(gaps, self.dilations, strict=True))
        return known and min(self.begin + self.end) >= 0

    @property
    def poolable(self) -> bool:
        """Whether torch's own ``padding`` argument can express the padding of a pool."""
        half = all(2 * p <= k for p, k in zip(self.begin, self.kernel, strict=True))
        return self.symmetric and half

    @property
    def pointwise(self) -> bool:
        """Whether every element is a window."""
        return {*self.kernel, *self.strides} == {1} and not any(self.begin + self.end)

    def _auto_padded(self, auto_pad: str, extent: Sequence[int]) -> "Window":
        if auto_pad == "VALID":
            zeros = (0,) * len(extent)
            return replace(self, begin=zeros, end=zeros)
        if set(self.dilations) != {1}:
            raise Unsupported("auto_pad SAME with dilations")  # as ONNX Runtime does
        total = [
            max(0, (-(-size // stride) - 1) * stride + reach - size)
            for size, stride, reach in zip(extent, self.strides, self.reach, strict=True)
        ]
        less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        lower = auto_pad == "SAME_LOWER"
        return replace(self, begin=more if lower else less, end=less if lower else more)

    def grown(self, extent: Sequence[int]) -> "Window":
        """Choose ``end`` anew such that the last window ends there: ``ceil_mode``.

        A window that would start past the input and its left padding does not count.
        """
        ends = []
        axes = zip(extent, self.strides, self.reach, self.begin, self.end, strict=True)
        for size, stride, reach, begin, end in axes:
            count = -(-(size + begin + end - reach) // stride)
            count -= count * stride >= size + begin
            ends.append(count * stride + reach - size - begin)
        return replace(self, end=tuple(ends))

    def steps(self, extent: Sequence[int]) -> Sizes:
        """Strides; one beyond the padded input, of which torch has no kernel, is its size."""
        sizes = zip(extent, self.begin, self.end, strict=True)
        most = [max(size + begin + end, 1) for size, begin, end in sizes]
        return tuple(map(min, self.strides, most))

    def check_fit(self, extent: Sequence[int]) -> None:
        """Refuse an input in which no window lies: torch has no output without elements."""
        sides = zip(extent, self.begin, self.end, self.reach, strict=True)
        if any(size + begin + end < reach for size, begin, end, reach in sides):
            raise Unsupported("no window fits into the input")

    def pad(self, x: torch.Tensor, value: float = 0.0) -> torch.Tensor:
        """``x`` with its spatial axes padded."""
        return functional.pad(x, flat_pads(self.begin, self.end), value=value)

    def convolve(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, groups: int
    ) -> torch.Tensor:
        """Convolution over all windows of ``x``."""
        self.check_fit(x.shape[2:])
        if self.pointwise and groups == 1 and x.is_contiguous(memory_format=torch.channels_last):
            # A matrix product as it lies in memory takes two thirds of the time of conv2d.
            y = functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias)
            return y.permute(0, 3, 1, 2)
        strides = self.steps(x.shape[2:])
        if x.shape[1] < _FEW_CHANNELS and {*self.kernel} == {1} and not any(self.begin + self.end):
            x = self._covered(x)
        padding: Sizes | int = self.begin
        if not self.symmetric and weight.shape[1] == 1 and self.almost_symmetric:
            weight, padding = self._levelled(weight), self._wider
        elif not self.symmetric:
            x, padding = self.pad(x), 0
        convolution = _CONVOLUTIONS[len(self.kernel)]
        return convolution(x, weight, bias, strides, padding, self.dilations, groups)

    def _covered(self, x: torch.Tensor) -> torch.Tensor:
        """The part that windows of a single element reach; see ``_FEW_CHANNELS``."""
        for axis, stride in enumerate(self.strides, 2):
            x = x.narrow(axis, 0, (x.shape[axis] - 1) // stride * stride + 1)
        return x

    @property
    def _wider(self) -> Sizes:
        return tuple(max(pair) for pair in zip(self.begin, self.end, strict=True))

    def _levelled(self, weight: torch.Tensor) -> torch.Tensor:
        """The kernel with a tap of zero where its window must reach into more padding.

        The SAME padding of TensorFlow's nets with stride 2 is of this kind. A padded copy of a
        feature map takes as long as a depthwise convolution of it, and again in the gradient.
        """
        begin = [int(b < w) for b, w in zip(self.begin, self._wider, strict=True)]
        end = [int(e < w) for e, w in zip(self.end, self._wider, strict=True)]
        return functional.pad(weight, flat_pads(begin, end))


def flat_pads(begin: Sequence[int], end: Sequence[int]) -> list[int]:
    """Order pads as torch wants them: pairs, last axis first.

    >>> flat_pads([1, 2], [3, 4])
    [2, 4, 1, 3]
    """
    pairs = zip(reversed(begin), reversed(end), strict=True)
    return [pad for pair in pairs for pad in pair]
