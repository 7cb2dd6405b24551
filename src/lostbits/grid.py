"""Integer grids, affine parameters, and the exact split of the quantization error.

``x ~ scale * (code - zero_point)``; ``scale`` is real units per code. All arithmetic that stands
for the device is float32 with rounding half to even, as ONNX QuantizeLinear defines it, so that a
plan simulated here and a Q/DQ model in a runtime take the same decisions.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
_TINY = float(np.finfo(np.float32).tiny)
_HUGE = float(np.finfo(np.float32).max) / 2**16  # so that the ends of the grid stay finite


@final
@dataclass(frozen=True)
class Grid:
    """The integer codes ``qmin..qmax`` of a tensor of ``bits`` bits.

    >>> Grid.of(8, signed=True)
    Grid(bits=8, signed=True, qmin=-128, qmax=127)
    """

    bits: int
    signed: bool
    qmin: int
    qmax: int

    @classmethod
    def of(cls, bits: int, *, signed: bool) -> "Grid":
        """The full two's complement or unsigned grid of ``bits`` bits (2 to 32)."""
        if not 2 <= bits <= 32:
            raise ValueError(f"Grid.of(bits=...) must be in 2..32, got {bits!r}")
        low = -(2 ** (bits - 1)) if signed else 0
        return cls(bits, signed, low, low + 2**bits - 1)

    @classmethod
    def named(cls, name: str) -> "Grid":
        """The full grid of a name.

        >>> Grid.named("uint4")
        Grid(bits=4, signed=False, qmin=0, qmax=15)
        """
        kind, _, bits = name.partition("int")
        return cls.of(int(bits), signed=not kind)

    @property
    def width(self) -> int:
        """Bits that its codes need, fewer than ``bits`` where a Clip leaves few of them.

        >>> Grid(8, True, -7, 7).width
        4
        """
        return (self.qmax - self.qmin).bit_length()

    @property
    def name(self) -> str:
        """Such as ``int8`` or ``uint4``."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"


class Range(NamedTuple):
    """Real interval that a grid is laid over; always contains zero."""

    lo: float
    hi: float


@final
@dataclass(frozen=True, eq=False)
class Affine:
    """Scale and zero point of a tensor: per tensor (``axis`` None) or per index of ``axis``.

    Attributes:
        grid: The integer codes.
        scale: float32, shape ``()`` or ``(channels,)``, positive; real units per code.
        zero_point: int64, the same shape; the code that stands for 0.0.
        axis: Channel axis of the tensor, or None.
    """

    grid: Grid
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise ValueError(f"Affine(scale=...) must be finite and positive, got {self.scale!r}")
        if self.scale.shape != self.zero_point.shape:
            raise ValueError("Affine(scale=, zero_point=) must have the same shape")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Affine)
            and (self.grid, self.axis) == (other.grid, other.axis)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def lo(self) -> NDArray[np.float32]:
        """Real value of ``qmin``: the dequantized low end, not the calibrated one."""
        return self.scale * (self.grid.qmin - self.zero_point).astype(np.float32)

    @property
    def hi(self) -> NDArray[np.float32]:
        """Real value of ``qmax``."""
        return self.scale * (self.grid.qmax - self.zero_point).astype(np.float32)

    def codes(self, x: Array) -> NDArray[np.float32]:
        """Integer codes of ``x`` (held in float32 up to 24 bits, float64 above)."""
        kind = np.float32 if self.grid.bits <= 24 else np.float64
        scale = along(self.scale, x.ndim, self.axis).astype(kind)
        zero = along(self.zero_point, x.ndim, self.axis).astype(kind)
        with np.errstate(over="ignore"):  # what overflows is clipped, as a runtime clips it
            steps: NDArray[Any] = np.rint(np.divide(x.astype(kind), scale))
        result: NDArray[np.float32] = np.clip(steps + zero, self.grid.qmin, self.grid.qmax)
        return result

    def fake_quantize(self, x: Array) -> NDArray[np.float32]:
        """``x`` rounded to the grid and back, in float32."""
        codes = self.codes(x)
        zero = along(self.zero_point, x.ndim, self.axis).astype(codes.dtype)
        scale = along(self.scale, x.ndim, self.axis).astype(codes.dtype)
        return ((codes - zero) * scale).astype(np.float32)

    def clip(self, x: Array) -> NDArray[np.float32]:
        """``x`` limited to ``[lo, hi]``."""
        lo, hi = along(self.lo, x.ndim, self.axis), along(self.hi, x.ndim, self.axis)
        return np.clip(x, lo, hi).astype(np.float32)


def along(values: NDArray[Any], rank: int, axis: int | None) -> NDArray[Any]:
    """``values`` of shape (channels,), shaped to broadcast along ``axis`` of ``rank`` axes."""
    if axis is None or values.ndim == 0:
        return values
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def affine_from_range(
    lo: Array | float, hi: Array | float, grid: Grid, *, symmetric: bool, axis: int | None = None
) -> Affine:
    """Parameters whose grid covers ``[lo, hi]``, with zero exactly representable.

    Symmetric: ``scale = max|.|/qmax``, zero point 0 (or the middle code of an unsigned grid).
    Asymmetric: ``scale = (hi-lo)/(qmax-qmin)`` after widening the range to hold zero; the zero
    point is rounded half away from zero, as SNPE does. A range without extent (a constant-zero
    channel) takes the largest scale of its tensor, or 1: any scale is exact for it.

    >>> a = affine_from_range(-5.1, 5.1, Grid.of(8, signed=False), symmetric=False)
    >>> round(float(a.lo), 4), round(float(a.hi), 4), int(a.zero_point)
    (-5.12, 5.08, 128)
    """
    low, high = np.minimum(np.asarray(lo, np.float64), 0), np.maximum(np.asarray(hi, np.float64), 0)
    if symmetric:
        zero = np.full(low.shape, 0 if grid.signed else (grid.qmin + grid.qmax + 1) // 2)
        scale = np.maximum(-low, high) / (grid.qmax - zero)
    else:
        scale = (high - low) / (grid.qmax - grid.qmin)
        zero = np.zeros(low.shape)
    scale = np.minimum(scale, _HUGE)  # masks hold the lowest float, whose range overflows
    alive = scale > _TINY
    scale = np.where(alive, scale, scale.max() if alive.any() else 1.0)
    if not symmetric:
        zero = np.clip(grid.qmin + np.floor(-low / scale + 0.5), grid.qmin, grid.qmax)
    return Affine(grid, scale.astype(np.float32), zero.astype(np.int64), axis)


class ErrorSplit(NamedTuple):
    """Sums of squared errors of one array, float64; ``round + clip`` is the total, exactly."""

    round: float
    clip: float
    dead_zone: float
    total: float


def split_error(x: Array, affine: Affine, quantized: Array | None = None) -> ErrorSplit:
    """Split ``Q(x) - x`` into its clip and round parts, which have disjoint supports.

    ``quantized`` is ``Q(x)`` where a solver chose the codes; without it they are the nearest.

    ``clip = clip(x, lo, hi) - x`` is zero inside the range; ``round = Q(x) - clip(x, lo, hi)`` is
    zero outside, because lo and hi are grid points. The dead zone is the share of round whose
    code is the zero point: those values vanished altogether.
    """
    limited = affine.clip(x).astype(np.float64)
    value = (affine.fake_quantize(x) if quantized is None else quantized).astype(np.float64)
    outside = limited != x
    square = (value - x) ** 2
    clip = float(square[outside].sum())
    return ErrorSplit(
        float(square[~outside].sum()),
        clip,
        float(square[(value == 0) & ~outside].sum()),
        float(square.sum()),
    )
