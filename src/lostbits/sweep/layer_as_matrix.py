"""A layer as matrices: rows of weights, columns of inputs, one matrix a group."""

import math
from dataclasses import dataclass, replace
from typing import TypeVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.rounding.gram import BLOCK
from lostbits.rounding.unfold import Window, count_positions, patches, sample_positions
from lostbits.runtime.rules.window import Window as Geometry
from lostbits.sweep.layer import Layer

Weight = TypeVar("Weight", NDArray[np.floating], torch.Tensor)
Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
_VALUES = 1 << 26  # of a layer's inputs that are laid out at a time
_MOST_BLOCKS = 1024  # of so few columns that they say little together
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
        left: Whether the weight is the left operand of a product, so that columns of the input are
            the positions.
        blocks: Parts that the columns of every group are cut into, to be looked at apart.
    """

    groups: int
    shape: tuple[int, ...]
    window: Window | None
    turned: bool = False
    left: bool = False
    blocks: int = 1

    def rows(self, weight: Weight) -> Weight:
        """Weight to ``(groups, rows, columns)``; gradients pass."""
        if self.window is not None:
            return weight.reshape(self.groups, self.shape[0] // self.groups, -1)
        stack = weight.reshape(self.groups, *self.shape[-2:])
        return stack.swapaxes(1, 2) if self.turned else stack

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
        """``rows`` in double precision, ``(groups * blocks, rows, columns / blocks)``."""
        return self._cut(self.rows(weight)).astype(np.float64)

    def join(self, rows: Doubles) -> Array:
        """The inverse, in single precision."""
        if self.blocks > 1:
            each = rows.reshape(self.groups, self.blocks, *rows.shape[1:]).swapaxes(1, 2)
            rows = each.reshape(self.groups, rows.shape[1], -1)
        whole = rows.swapaxes(1, 2) if self.turned else rows
        return np.ascontiguousarray(whole.reshape(self.shape), np.float32)

    def _cut(self, rows: Array) -> Array:
        """``(groups, rows, columns)`` in blocks of columns, each as a group."""
        if self.blocks == 1:
            return rows
        each = rows.reshape(*rows.shape[:2], self.blocks, -1).swapaxes(1, 2)
        return each.reshape(-1, rows.shape[1], each.shape[-1])

    @property
    def columns(self) -> int:
        """Inputs of one group."""
        if self.window is not None:
            return math.prod(self.shape[1:])
        return self.shape[-2] if self.turned else self.shape[-1]

    def fitting(self, entries: int) -> "Matrix | None":
        """In as few blocks as second moments of so many entries ask for; None where none fit.

        Columns of different blocks are taken as if they had nothing to do with each other.
        """
        columns = self.columns
        least = -(-self.groups * columns**2 // entries)
        even = (n for n in range(least, columns + 1) if columns % n == 0)
        blocks = next(even, columns)
        fits = self.groups * columns**2 <= entries * blocks and blocks <= _MOST_BLOCKS
        return replace(self, blocks=blocks) if fits else None

    @classmethod
    def of(cls, layer: Layer) -> "Matrix | None":
        """The view of a layer; None for those that are no ``W x`` per position."""
        match layer.step.operator.op_type:
            case "Conv":
                return cls._of_conv(layer)
            case "Gemm" if layer.index == 1 and not layer.step.operator.get("transA", 0):
                turned = not layer.step.operator.get("transB", 0)
                return cls(1, layer.values.shape, None, turned)
            case "MatMul":
                return cls._of_matmul(layer)
            case _:
                return None

    @classmethod
    def _of_matmul(cls, layer: Layer) -> "Matrix | None":
        """One matrix, or a stack of which the input has one for each."""
        shape = layer.values.shape
        if len(shape) < 2 or any(x.ndim < 2 for x in layer.inputs):
            return None
        groups, left = math.prod(shape[:-2]), layer.index == 0
        alike = all(x.shape[-len(shape) : -2] == shape[:-2] for x in layer.inputs)
        if groups > 1 and not alike:
            return None  # one input for all of them
        return cls(groups, shape, None, turned=not left, left=left)

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

    def parts(self, x: torch.Tensor, positions: torch.Tensor | None) -> list[torch.Tensor | None]:
        """The positions of a convolution in parts whose columns fit into memory; None is all."""
        most = _VALUES // self.columns
        if self.window is None or x.numel() * math.prod(self.window.kernel) <= _VALUES:
            return [positions]
        every = torch.arange(count_positions(x, self.window)) if positions is None else positions
        size = max(most // BLOCK * BLOCK or most, 1)  # sums of whole blocks are those of all
        return list(torch.split(every, size))

    def pairs(
        self, x: torch.Tensor, z: torch.Tensor, positions: torch.Tensor | None = None
    ) -> tuple[Array, Array]:
        """Inputs of both networks at the same positions; each ``(groups, positions, columns)``."""
        window = self.window
        if window is None:
            first, second = (self._positions(v) for v in (x, z))
        else:
            first, second = (patches(v, window, positions) for v in (x, z))
        return self._cut(first.numpy()), self._cut(second.numpy())

    def _positions(self, x: torch.Tensor) -> torch.Tensor:
        """The input of a product as ``(groups, positions, columns)``."""
        if self.left:
            x = x.mT
        stack = x.reshape(-1, self.groups, *x.shape[-2:])
        return stack.transpose(0, 1).reshape(self.groups, -1, x.shape[-1])
