"""A layer as matrices: rows of weights, columns of inputs, one matrix a group."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.rounding.unfold import Window, patches, sample_positions
from lostbits.runtime.layerwise import Layer
from lostbits.runtime.rules.window import Window as Geometry

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Matrix:
    """How a layer's weight and inputs become matrices, and back.

    Attributes:
        groups: Independent matrices.
        split: Weight to ``(groups, rows, columns)``.
        join: The inverse.
        window: Of a convolution; None for a matrix product.
    """

    groups: int
    split: Callable[[Array], Doubles]
    join: Callable[[Doubles], Array]
    window: Window | None

    @classmethod
    def of(cls, layer: Layer) -> "Matrix | None":
        """The view of a layer; None for those that are no ``W x`` per position."""
        match layer.step.operator.op_type:
            case "Conv":
                return cls._of_conv(layer)
            case "Gemm" if layer.index == 1 and not layer.step.operator.get("transA", 0):
                return cls._of_product(bool(layer.step.operator.get("transB", 0)))
            case "MatMul" if layer.index == 1 and layer.values.ndim == 2:
                return cls._of_product(False)
            case _:
                return None

    @classmethod
    def _of_conv(cls, layer: Layer) -> "Matrix":
        operator, shape = layer.step.operator, layer.values.shape
        groups = operator.get("group", 1)
        its = Geometry.of(operator, layer.inputs[0].shape[2:], shape[2:])
        window = Window(its.kernel, its.strides, its.dilations, its.begin + its.end, groups)
        return cls(
            groups,
            lambda w: w.reshape(groups, shape[0] // groups, -1).astype(np.float64),
            lambda m: m.reshape(shape).astype(np.float32),
            window,
        )

    @classmethod
    def _of_product(cls, transposed: bool) -> "Matrix":
        def turned(m: NDArray[np.floating]) -> NDArray[np.floating]:
            return m if transposed else m.T

        return cls(
            1,
            lambda w: turned(w)[None].astype(np.float64),
            lambda m: np.ascontiguousarray(turned(m[0])).astype(np.float32),
            None,
        )

    def pairs(
        self, x: torch.Tensor, z: torch.Tensor, most: int, generator: torch.Generator
    ) -> tuple[Array, Array]:
        """Inputs of both networks at the same positions, at most ``most`` drawn at random.

        Each of shape ``(groups, positions, columns)``.
        """
        if self.window is None:
            flat = [v.reshape(1, -1, v.shape[-1]) for v in (x, z)]
            return flat[0].numpy(), flat[1].numpy()
        chosen = sample_positions(x, self.window, most, generator)
        first, second = (patches(v, self.window, chosen).numpy() for v in (x, z))
        return first, second
