"""Rules that read a picture between its pixels."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)

_HALF_PIXELS = 16  # opset of RoiAlign that knows them
_MODES = {"linear": "bilinear", "cubic": "bicubic"}  # names of opset 20


def grid_sample(operator: Operator, inputs: Values) -> Outputs:
    """Values at places that are given from -1 to 1."""
    x, grid = given(inputs, 0), given(inputs, 1)
    mode = operator.get("mode", "bilinear")
    mode, padding = _MODES.get(mode, mode), operator.get("padding_mode", "zeros")
    if x.ndim not in (4, 5) or (x.ndim == 5 and mode == "bicubic"):
        raise Unsupported(f"{mode} over {x.ndim - 2} axes")
    corners = bool(operator.get("align_corners", 0))
    return (functional.grid_sample(x, grid, mode, padding, corners),)


def affine_grid(operator: Operator, inputs: Values) -> Outputs:
    """Places of a picture that is turned, scaled and moved."""
    corners = bool(operator.get("align_corners", 0))
    return (functional.affine_grid(given(inputs, 0), given(inputs, 1).tolist(), corners),)


def deform_conv(operator: Operator, inputs: Values) -> Outputs:
    """A convolution that reads each tap a step aside: offsets (N, groups * taps * 2, H, W)."""
    x, weight, offset = (given(inputs, i) for i in range(3))
    bias, mask = optional(inputs, 3), optional(inputs, 4)
    if x.ndim != 4:
        raise Unsupported(f"DeformConv over {x.ndim - 2} axes")
    parts, groups = operator.get("offset_group", 1), operator.get("group", 1)
    taps = _taps(operator, x, torch.unflatten(offset, 1, (parts, -1, 2)), weight.shape[2:])
    if mask is not None:
        taps = taps * torch.unflatten(mask, 1, (parts, 1, -1))
    taps = torch.unflatten(taps.flatten(1, 2), 1, (groups, -1))
    kernels = torch.unflatten(weight.flatten(2), 0, (groups, -1))
    y = torch.einsum("ngckhw,gock->ngohw", taps, kernels).flatten(1, 2)
    return (y if bias is None else y + bias[:, None, None],)


def _taps(
    operator: Operator, x: torch.Tensor, offset: torch.Tensor, kernel: Sequence[int]
) -> torch.Tensor:
    """Values that the taps read, (N, groups, C / groups, taps, H, W)."""
    count, parts, taps, _, *size = offset.shape
    pads, steps = operator.get("pads", [0] * 4), operator.get("strides", [1, 1])
    wide = operator.get("dilations", [1, 1])
    rows, columns = torch.meshgrid(
        *(w * torch.arange(k) for w, k in zip(wide, kernel, strict=True)), indexing="ij"
    )
    starts = (s * torch.arange(n) - p for s, n, p in zip(steps, size, pads[:2], strict=True))
    down, along = torch.meshgrid(*starts, indexing="ij")
    y = offset[:, :, :, 0] + rows.reshape(-1, 1, 1) + down
    z = offset[:, :, :, 1] + columns.reshape(-1, 1, 1) + along
    grid = torch.stack([(2 * z + 1) / x.shape[3] - 1, (2 * y + 1) / x.shape[2] - 1], -1)
    grid = grid.reshape(count * parts, taps * size[0], size[1], 2)
    maps = x.reshape(count * parts, -1, *x.shape[2:])
    read = functional.grid_sample(maps, grid, "bilinear", "zeros", False)
    return read.reshape(count, parts, -1, taps, *size)


def roi_align(operator: Operator, inputs: Values) -> Outputs:
    """The mean over points of each bin of each region (x1, y1, x2, y2) of a picture."""
    x, regions, pictures = (given(inputs, i) for i in range(3))
    if operator.get("mode", "avg") != "avg":
        raise Unsupported("the largest of a region")
    halves = operator.opset >= _HALF_PIXELS
    halves &= operator.get("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    ends = regions * operator.get("spatial_scale", 1.0) - (0.5 if halves else 0.0)
    least = None if halves else 1.0
    pairs = zip(ends, pictures.tolist(), strict=True)
    return (torch.stack([_bins(operator, x[n], region, least) for region, n in pairs]),)


def _bins(
    operator: Operator, picture: torch.Tensor, region: torch.Tensor, least: float | None
) -> torch.Tensor:
    """Means of one region, (channels, output_height, output_width)."""
    left, top, right, bottom = region
    points = operator.get("sampling_ratio", 0)
    sides = ("output_height", top, bottom, 1), ("output_width", left, right, 2)
    down, along = (
        _averages(first, last, operator.get(name, 1), picture.shape[axis], points, least)
        for name, first, last, axis in sides
    )
    return down @ picture @ along.T


def _averages(
    first: torch.Tensor, last: torch.Tensor, bins: int, size: int, points: int, least: float | None
) -> torch.Tensor:
    """What of each row of a picture a bin takes, (bins, size)."""
    extent = last - first if least is None else (last - first).clamp(min=least)
    count = points or max(int(torch.ceil(extent / bins)), 1)
    at = first + extent / bins * (torch.arange(bins * count) + 0.5) / count
    inside = (at >= -1) & (at <= size)
    at = at.clamp(0, size - 1)[:, None]
    weights = (1 - (at - torch.arange(size)).abs()).clamp(min=0) * inside[:, None]
    return torch.unflatten(weights.to(first.dtype), 0, (bins, count)).mean(1)


RULES: dict[str, Rule] = {
    "AffineGrid": affine_grid,
    "DeformConv": deform_conv,
    "GridSample": grid_sample,
    "RoiAlign": roi_align,
}
