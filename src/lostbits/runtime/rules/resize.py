"""Rules of Resize and Upsample: every axis is resized on its own."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
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

_INTERPOLATE = {3: "linear", 4: "bilinear", 5: "trilinear"}
_TIED = {"half_pixel_symmetric", "tf_half_pixel_for_nn"}
_FASTEST_FACTORS = frozenset(range(1, 9))


@final
@dataclass(frozen=True)
class Axis:
    """How one axis is resized.

    Attributes:
        axis: Which one.
        size: Elements before.
        out: Elements after.
        scale: Elements after per element before, where a model gives it: float32.

    """

    axis: int
    size: int
    out: int
    scale: float


@final
@dataclass(frozen=True)
class Method:
    """Attributes of Resize that say how values are computed."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool

    @classmethod
    def of(cls, operator: Operator) -> "Method":
        """Those of a node; Unsupported where ONNX Runtime and the standard disagree."""
        method = cls(
            operator.get("mode", "nearest"),
            operator.get("coordinate_transformation_mode", "half_pixel"),
            operator.get("nearest_mode", "round_prefer_floor"),
            operator.get("cubic_coeff_a", -0.75),
            bool(operator.get("exclude_outside", 0)),
        )
        if operator.get("antialias", 0) or method.coordinates == "tf_crop_and_resize":
            raise Unsupported("Resize with antialias or a crop")
        if method.exclude_outside and method.mode != "cubic":
            raise Unsupported(f"exclude_outside with mode {method.mode!r}")
        return method


def resize(operator: Operator, inputs: Values) -> Outputs:
    """Resize: nearest, linear and cubic."""
    x, method = given(inputs, 0), Method.of(operator)
    axes = _axes(operator, x, optional(inputs, 2), optional(inputs, 3))
    return (_resized(x, axes, method),)


def upsample(operator: Operator, inputs: Values) -> Outputs:
    """Upsample, which Resize replaced."""
    x, mode = given(inputs, 0), operator.get("mode", "nearest")
    method = Method(mode, "asymmetric", "floor", -0.75, exclude_outside=False)
    return (_resized(x, _axes(operator, x, given(inputs, 1), None), method),)


def _axes(
    operator: Operator, x: torch.Tensor, scales: torch.Tensor | None, sizes: torch.Tensor | None
) -> list[Axis]:
    """Read how much the axes change."""
    chosen = [axis % x.ndim for axis in operator.get("axes") or range(x.ndim)]
    before = [x.shape[axis] for axis in chosen]
    if sizes is not None and sizes.numel():
        after, factors = _fitted(before, sizes.tolist(), operator)
    else:
        # ONNX Runtime multiplies in float32; 0.7 * 10 is 7 there, and 6 in float64.
        factors = [np.float32(f) for f in given([scales], 0).tolist()]
        after = [int(np.float32(b) * f) for b, f in zip(before, factors, strict=True)]
    return [Axis(*a) for a in zip(chosen, before, after, map(float, factors), strict=True)]


def _fitted(
    before: list[int], sizes: list[int], operator: Operator
) -> tuple[list[int], list[np.float32]]:
    factors = [np.float32(s) / np.float32(b) for b, s in zip(before, sizes, strict=True)]
    policy = operator.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, factors
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [int(factor * b + 0.5) for b in before], [factor] * len(before)


def _resized(x: torch.Tensor, axes: list[Axis], method: Method) -> torch.Tensor:
    _refuse_doubtful(x, axes, method)
    axes = [axis for axis in axes if axis.size != axis.out or not _is_exact(axis)]
    if _is_fast(x, axes, method):
        size = list(x.shape)
        for axis in axes:
            size[axis.axis] = axis.out
        return _interpolated(x, size[2:], method)
    for axis in axes:
        x = _along(x, axis, method)
    return x


def _refuse_doubtful(x: torch.Tensor, axes: list[Axis], method: Method) -> None:
    """Raise Unsupported where the standard and ONNX Runtime, or two ways of rounding, differ."""
    if method.mode != "nearest" and not x.is_floating_point():
        raise Unsupported(f"mode {method.mode!r} on integers")
    rough = [axis for axis in axes if not _is_exact(axis)]
    if rough and method.coordinates == "align_corners":
        raise Unsupported("align_corners with a scale that is not size over size")
    if rough and all(axis.size == axis.out for axis in axes):
        raise Unsupported("scales that change no size")  # ONNX Runtime copies then
    if rough and method.mode == "nearest" and method.coordinates in _TIED:
        raise Unsupported(f"nearest, {method.coordinates}, and a scale that is not size over size")


def _is_exact(axis: Axis) -> bool:
    # The scale of an axis resized to a size is out / size, rounded to float32.
    return math.isclose(axis.out, axis.size * axis.scale, rel_tol=1e-6)


def _interpolated(x: torch.Tensor, size: list[int], method: Method) -> torch.Tensor:
    if method.mode == "nearest":
        return functional.interpolate(x, size, mode="nearest")
    corners = method.coordinates == "align_corners"
    return functional.interpolate(x, size, mode=_INTERPOLATE[x.ndim], align_corners=corners)


def _is_fast(x: torch.Tensor, axes: list[Axis], method: Method) -> bool:
    """Whether torch's interpolation is that of ``method``, up to rounding."""
    if x.ndim not in _INTERPOLATE or any(axis.axis < 2 for axis in axes):
        return False
    if method.mode == "nearest":
        return x.is_floating_point() and all(_is_repetition(axis, method) for axis in axes)
    match method.coordinates:
        case "align_corners":
            return method.mode == "linear"
        case "half_pixel" | "pytorch_half_pixel":
            plain = all(_is_exact(axis) and axis.out > 1 for axis in axes)
            return method.mode == "linear" and plain
    return False


def _is_repetition(axis: Axis, method: Method) -> bool:
    factor, rest = divmod(axis.out, axis.size)
    if rest or factor not in _FASTEST_FACTORS:
        return False
    return np.array_equal(_nearest(axis, method), np.arange(axis.out) // factor)


def _along(x: torch.Tensor, axis: Axis, method: Method) -> torch.Tensor:
    if method.mode == "nearest":
        return x.index_select(axis.axis, torch.from_numpy(_nearest(axis, method)))
    if method.mode not in {"linear", "cubic"}:
        raise Unsupported(f"Resize mode {method.mode!r}")
    matrix = torch.from_numpy(_matrix(axis, method)).to(x.dtype)
    return functional.linear(x.movedim(axis.axis, -1), matrix).movedim(-1, axis.axis)


def _coordinates(axis: Axis, method: Method) -> NDArray[np.float32]:
    """Where in the input every output element lies; in float32, as ONNX Runtime does it."""
    out, scale = np.arange(axis.out, dtype=np.float32), np.float32(axis.scale)
    half = np.float32(0.5)
    match method.coordinates:
        case "asymmetric":
            return _shrunk(out, axis)
        case "half_pixel":
            return (out + half) / scale - half
        case "pytorch_half_pixel":
            return (out + half) / scale - half if axis.out > 1 else np.zeros_like(out)
        case "align_corners":
            return out * np.float32(axis.size - 1) / np.float32(max(axis.out - 1, 1))
        case "tf_half_pixel_for_nn":
            return _shrunk(out + half, axis)
        case "half_pixel_symmetric":
            size = np.float32(axis.size)
            shift = np.float64(size / 2 * (1 - np.float32(axis.out) / (scale * size)))
            return (shift + (out + 0.5) / np.float64(scale) - 0.5).astype(np.float32)
    raise Unsupported(f"coordinate_transformation_mode {method.coordinates!r}")


def _shrunk(places: NDArray[np.float32], axis: Axis) -> NDArray[np.float32]:
    """``places / scale``; from the sizes where they make the scale, as ties are exact then."""
    if _is_exact(axis):
        return places * np.float32(axis.size) / np.float32(axis.out)
    return places / np.float32(axis.scale)


_ROUND: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda at: np.ceil(at - np.float32(0.5)),
    "round_prefer_ceil": lambda at: np.floor(at + np.float32(0.5)),
}


@functools.lru_cache(256)
def _nearest(axis: Axis, method: Method) -> NDArray[np.int64]:
    at = _ROUND[method.nearest](_coordinates(axis, method)).astype(np.int64)
    return np.minimum(np.maximum(at, 0), axis.size - 1)


@functools.lru_cache(256)
def _matrix(axis: Axis, method: Method) -> NDArray[np.float64]:
    """Weights, shape (out, size)."""
    at = _coordinates(axis, method).astype(np.float64)
    first = np.floor(at).astype(np.int64)
    taps = np.arange(2) if method.mode == "linear" else np.arange(-1, 3)
    places = first[:, None] + taps
    distance = np.abs(at[:, None] - places)
    weights = 1 - distance if method.mode == "linear" else _cubic(distance, method.cubic_a)
    if method.exclude_outside:
        weights = weights * ((places >= 0) & (places < axis.size))
        weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((axis.out, axis.size))
    rows = np.arange(axis.out)[:, None]
    np.add.at(matrix, (rows, np.clip(places, 0, axis.size - 1)), weights)
    return matrix


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys' kernel of the taps at ``distance``, at most 2."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)


RULES: dict[str, Rule] = {"Resize": resize, "Upsample": upsample}
