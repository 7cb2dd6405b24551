"""Rules of pools."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
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
_AVERAGE: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}
_CONV: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}


def max_pool(operator: Operator, inputs: Values) -> Outputs:
    """MaxPool; torch's own where it has the padding, else over an input padded with -inf."""
    x = given(inputs, 0)
    window = Window.of(operator, x.shape[2:], operator.get("kernel_shape"))
    ceil, padding = bool(operator.get("ceil_mode", 0)), window.begin
    padded = x
    if not window.poolable:
        window = window.fitted(x.shape[2:], ceil=ceil)
        padded, padding, ceil = window.pad(x, limits(x.dtype)[0]), (0,) * len(padding), False
    arguments = (padded, window.kernel, window.strides, padding, window.dilations, ceil)
    if operator.outputs == 1:
        return (_MAX[x.ndim - 2](*arguments),)
    y, indices = _MAX_WITH_INDICES[x.ndim - 2](*arguments)
    shift = (0,) * len(padding) if padded is x else window.begin
    return y, _flat(indices, padded, x, shift, column_major=bool(operator.get("storage_order", 0)))


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
    """AveragePool; torch's own where it has the padding, else sums over counts."""
    x = given(inputs, 0)
    window = Window.of(operator, x.shape[2:], operator.get("kernel_shape"))
    ceil = bool(operator.get("ceil_mode", 0))
    count_pads = bool(operator.get("count_include_pad", 0))
    if window.poolable and set(window.dilations) == {1}:
        average, kernel = _AVERAGE[x.ndim - 2], window.kernel
        return (average(x, kernel, window.strides, window.begin, ceil, count_pads),)
    fitted = window.fitted(x.shape[2:], ceil=ceil)
    counts = _sums(_counted(x, window, fitted, count_pads=count_pads), fitted)
    return (_sums(fitted.pad(x), fitted) / counts,)


def _counted(x: torch.Tensor, window: Window, fitted: Window, *, count_pads: bool) -> torch.Tensor:
    """One where an element of the padded input counts for the average, zero elsewhere."""
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if not count_pads:
        return fitted.pad(ones)
    tail = tuple(f - e for f, e in zip(fitted.end, window.end, strict=True))
    none = (0,) * len(tail)
    return replace(window, begin=none, end=tail).pad(window.pad(ones, 1.0))


def _sums(padded: torch.Tensor, window: Window) -> torch.Tensor:
    """Sum over every window."""
    rank = len(window.kernel)
    if set(window.dilations) == {1}:
        return _AVERAGE[rank](padded, window.kernel, window.strides) * math.prod(window.kernel)
    planes = padded.reshape(-1, 1, *padded.shape[2:])
    ones = torch.ones((1, 1, *window.kernel), dtype=padded.dtype)
    sums = _CONV[rank](planes, ones, None, window.strides, 0, window.dilations)
    return sums.reshape(*padded.shape[:2], *sums.shape[2:])


def lp_pool(operator: Operator, inputs: Values) -> Outputs:
    """LpPool: the norm of every window."""
    x, p = given(inputs, 0), operator.get("p", 2)
    window = Window.of(operator, x.shape[2:], operator.get("kernel_shape"))
    window = window.fitted(x.shape[2:], ceil=bool(operator.get("ceil_mode", 0)))
    sums = _sums(window.pad(x.abs() ** p), window)
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
