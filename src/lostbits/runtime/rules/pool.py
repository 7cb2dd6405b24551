"""Rules of pools."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lostbits.runtime.rules.dtypes import limits
from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Values, given, unary
from lostbits.runtime.rules.window import Window

_MAX: dict[int, Callable[..., torch.Tensor]] = {
    1: torch.max_pool1d,
    2: torch.max_pool2d,
    3: torch.max_pool3d,
}
_MAX_WITH_INDICES: dict[int, Callable[..., Outputs]] = {
    1: functional.max_pool1d_with_indices,
    2: functional.max_pool2d_with_indices,
    3: functional.max_pool3d_with_indices,
}


@final
class _MaxPool2d(torch.autograd.Function):
    """torch.max_pool2d with the forward pass channels last, where it is several times faster."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, *window: Any) -> torch.Tensor:
        last = x.contiguous(memory_format=torch.channels_last)
        y, indices = functional.max_pool2d_with_indices(last, *window)
        ctx.save_for_backward(x, indices.contiguous())
        ctx.window = window
        return y.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,), (x, indices) = gradients, ctx.saved_tensors
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        slope = backward(gradient.contiguous(), x.contiguous(), *ctx.window, indices)
        return slope, *[None] * len(ctx.window)


def max_pool(operator: Operator, inputs: Values) -> Outputs:
    """MaxPool; torch's own where it has the padding, else over an input padded with -inf."""
    x = given(inputs, 0)
    window = Window.of(operator, x.shape[2:], operator.get("kernel_shape"))
    window.check_fit(x.shape[2:])
    ceil, padding = bool(operator.get("ceil_mode", 0)), window.begin
    padded = x
    if not window.poolable:
        window = window.grown(x.shape[2:]) if ceil else window
        padded, padding, ceil = window.pad(x, limits(x.dtype)[0]), (0,) * len(padding), False
    strides = window.steps(x.shape[2:])
    arguments = (window.kernel, strides, padding, window.dilations, ceil)
    if operator.outputs == 1:
        return (_maxima(padded, *arguments),)
    y, indices = _MAX_WITH_INDICES[x.ndim - 2](padded, *arguments)
    shift = (0,) * len(padding) if padded is x else window.begin
    return y, _flat(indices, padded, x, shift, column_major=bool(operator.get("storage_order", 0)))


def _maxima(x: torch.Tensor, *window: Any) -> torch.Tensor:
    if x.ndim == 4 and x.is_floating_point():
        y: torch.Tensor = _MaxPool2d.apply(x, *window)  # type: ignore[no-untyped-call]
        return y
    return _MAX[x.ndim - 2](x, *window)


def _flat(
    indices: torch.Tensor,
    padded: torch.Tensor,
    x: torch.Tensor,
    shift: tuple[int, ...],
    *,
    column_major: bool,
) -> torch.Tensor:
    """Turn indices into the planes of ``padded`` into indices into all of ``x``."""
    places = torch.unravel_index(indices, padded.shape[2:])
    axes = list(zip(places, shift, x.shape[2:], strict=True))
    flat = torch.zeros_like(indices)
    for place, begin, size in reversed(axes) if column_major else axes:
        flat = flat * size + place - begin
    plane = torch.arange(x.shape[0] * x.shape[1]) * math.prod(x.shape[2:])
    return flat + plane.reshape(*x.shape[:2], *[1] * len(shift))


def average_pool(operator: Operator, inputs: Values) -> Outputs:
    """AveragePool: the mean of a plane, or sums over counts."""
    x = given(inputs, 0)
    declared = Window.of(operator, x.shape[2:], operator.get("kernel_shape"))
    window = declared.grown(x.shape[2:]) if operator.get("ceil_mode", 0) else declared
    padded = any(window.begin) or any(window.end)
    if window.kernel == x.shape[2:] and not padded:
        return (x.mean(_planes(x), keepdim=True),)
    if not padded:
        return (_sums(x, window, 1 / math.prod(window.kernel)),)
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if operator.get("count_include_pad", 0):
        tail = tuple(end - known for end, known in zip(window.end, declared.end, strict=True))
        rest = replace(window, begin=(0,) * len(tail), end=tail)
        counts = _sums(declared.pad(ones, 1.0), rest)
    else:
        counts = _sums(ones, window)
    return (_sums(x, window) * counts.reciprocal(),)


def _sums(x: torch.Tensor, window: Window, factor: float = 1.0) -> torch.Tensor:
    """``factor`` times the sum over every window.

    As a depthwise convolution, which is several times faster than torch's average pools.
    """
    weight = torch.full((x.shape[1], 1, *window.kernel), factor, dtype=x.dtype)
    return window.convolve(x, weight, None, x.shape[1])


def lp_pool(operator: Operator, inputs: Values) -> Outputs:
    """LpPool: the norm of every window."""
    x, p = given(inputs, 0), operator.get("p", 2)
    window = Window.of(operator, x.shape[2:], operator.get("kernel_shape"))
    window = window.grown(x.shape[2:]) if operator.get("ceil_mode", 0) else window
    sums = _sums(x.abs() ** p, window)
    # The root of zero has no finite slope: windows of zeros get the subgradient zero instead.
    alive = sums > 0
    return (torch.where(alive, torch.where(alive, sums, 1) ** (1 / p), 0),)


def _planes(x: torch.Tensor) -> list[int]:
    return list(range(2, x.ndim))


def global_lp_pool(operator: Operator, inputs: Values) -> Outputs:
    """GlobalLpPool: the norm of every plane."""
    x = given(inputs, 0)
    return (torch.linalg.vector_norm(x, operator.get("p", 2), _planes(x), keepdim=True),)


RULES: dict[str, Rule] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": unary(lambda x: x.mean(_planes(x), keepdim=True)),
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": unary(lambda x: x.amax(_planes(x), keepdim=True)),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
