"""A layer as matrices: rows of weights, columns of inputs, one matrix a group."""

from dataclasses import dataclass
from typing import TypeVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.rounding.unfold import Window, patches, sample_positions
from lostbits.runtime.rules.window import Window as Geometry
from lostbits.sweep.layer import Layer

Weight = TypeVar("Weight", NDArray[np.floating], torch.Tensor)
Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
_LEAST, _EACH = 4096, 64  # positions of a layer in all, and for each of its columns


def enough_positions(columns: int) -> int:
    """Positions that tell how the inputs of a layer vary: more are alike, and teach little."""
    return max(_LEAST, _EACH * columns)


@final
@dataclass(frozen=True)
class Matrix:
    """How a layer's weight and inputs become matrices, and back.

    Attributes:
        groups: Independent matrices.
        shape: Of the weight.
        window: Of a convolution; None for a matrix product.
        turned: Whether the weight of a product counts its columns first.
    """

    groups: int
    shape: tuple[int, ...]
    window: Window | None
    turned: bool = False

    def rows(self, weight: Weight) -> Weight:
        """Weight to ``(groups, rows, columns)``; gradients pass."""
        if self.turned:
            return weight.T[None]
        return weight.reshape(self.groups, self.shape[0] // self.groups, -1)

    def product(self, weight: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """What a convolution without bias makes of positions; gradients pass.

        Args:
            weight: In its own shape.
            columns: One tensor of ``pairs``, positions last: ``(groups, columns, positions)``.

        Returns:
            Shape ``(1, channels, positions, 1 ...)``, of the rank of the convolution's output.
        """
        y = self.rows(weight) @ columns
        return y.reshape(1, -1, y.shape[-1], *(1 for _ in self.shape[3:]))

    def split(self, weight: Array) -> Doubles:
        """``rows`` in double precision."""
        return self.rows(weight).astype(np.float64)

    def join(self, rows: Doubles) -> Array:
        """The inverse, in single precision."""
        whole = rows[0].T if self.turned else rows
        return np.ascontiguousarray(whole.reshape(self.shape), np.float32)

    @classmethod
    def of(cls, layer: Layer) -> "Matrix | None":
        """The view of a layer; None for those that are no ``W x`` per position."""
        match layer.step.operator.op_type:
            case "Conv":
                return cls._of_conv(layer)
            case "Gemm" if layer.index == 1 and not layer.step.operator.get("transA", 0):
                turned = not layer.step.operator.get("transB", 0)
                return cls(1, layer.values.shape, None, turned)
            case "MatMul" if layer.index == 1 and layer.values.ndim == 2:
                return cls(1, layer.values.shape, None, turned=True)
            case _:
                return None

    @classmethod
    def _of_conv(cls, layer: Layer) -> "Matrix":
        operator, shape = layer.step.operator, layer.values.shape
        groups = operator.get("group", 1)
        its = Geometry.of(operator, layer.inputs[0].shape[2:], shape[2:])
        window = Window(its.kernel, its.strides, its.dilations, its.begin + its.end, groups)
        return cls(groups, shape, window)

    def sample(self, x: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor | None:
        """At most ``most`` positions of a convolution, drawn at random; None for all."""
        return None if self.window is None else sample_positions(x, self.window, most, generator)

    def pairs(
        self, x: torch.Tensor, z: torch.Tensor, positions: torch.Tensor | None = None
    ) -> tuple[Array, Array]:
        """Inputs of both networks at the same positions; each ``(groups, positions, columns)``."""
        window = self.window
        if window is None:
            first, second = (v.reshape(1, -1, v.shape[-1]) for v in (x, z))
        else:
            first, second = (patches(v, window, positions) for v in (x, z))
        return first.numpy(), second.numpy()
