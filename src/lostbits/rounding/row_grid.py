"""The grid of every row of a grouped weight matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Affine

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class RowGrid:
    """One scale and zero point per row, as float64 copies of what the device will use.

    Attributes:
        scale: Shape ``(groups, rows)``, positive; units of the weight per code.
        zero_point: The same shape, whole numbers; the code that stands for 0.0.
        qmin, qmax: Ends of the grid.
    """

    scale: Floats
    zero_point: Floats
    qmin: int
    qmax: int

    @classmethod
    def of(cls, affine: Affine, groups: int, rows: int) -> "RowGrid":
        """Rows in the order of ``weight.reshape(groups, rows, -1)``; ``affine.axis`` is theirs.

        In a stack of matrices, rows of one number share a scale.

        Raises:
            ValueError: when there is neither one scale nor one for each of groups * rows, or rows.
        """
        if affine.scale.size not in (1, rows, groups * rows):
            raise ValueError(f"RowGrid.of: {affine.scale.size} scales for {groups} x {rows} rows")

        def spread(values: NDArray[Any]) -> Floats:
            each = values.reshape((groups, rows) if values.size == groups * rows else (1, -1))
            return np.broadcast_to(each, (groups, rows)).astype(np.float64)

        ends = affine.grid.qmin, affine.grid.qmax
        return cls(spread(affine.scale), spread(affine.zero_point), *ends)

    def repeated(self, times: int) -> "RowGrid":
        """Every group so many times, one after the other."""
        scale, zero = (np.repeat(v, times, axis=0) for v in (self.scale, self.zero_point))
        return RowGrid(scale, zero, self.qmin, self.qmax)

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """First and last number of steps from zero, each ``(groups, rows)``."""
        return self.qmin - self.zero_point, self.qmax - self.zero_point

    def nearest(self, weights: Floats) -> Codes:
        """Codes of ``weights`` (groups, rows, columns), each rounded by itself, half to even."""
        return self.codes(np.rint(weights / self.scale[..., None]))

    def codes(self, steps: Floats) -> Codes:
        """Codes that lie ``steps`` from the zero point, limited to the grid."""
        codes = np.clip(steps + self.zero_point[..., None], self.qmin, self.qmax)
        return codes.astype(np.int64)

    def steps(self, codes: Codes) -> Floats:
        """Distance of the codes from the zero point."""
        return codes - self.zero_point[..., None]

    def values(self, codes: Codes) -> Floats:
        """Weights that the codes (groups, rows, columns) stand for."""
        return self.steps(codes) * self.scale[..., None]

    def part(self, part: tuple[slice, slice]) -> "RowGrid":
        """Of some groups and some of their rows."""
        return replace(self, scale=self.scale[part], zero_point=self.zero_point[part])

    @classmethod
    def joined(cls, parts: Sequence["RowGrid"], axis: int) -> "RowGrid":
        """The inverse of ``part``, for parts that follow each other along an axis."""
        scale = np.concatenate([p.scale for p in parts], axis)
        zero_point = np.concatenate([p.zero_point for p in parts], axis)
        return replace(parts[0], scale=scale, zero_point=zero_point)

    def shrunk(self, fraction: Floats | float) -> "RowGrid":
        """The grid over ``fraction`` of the range; the zero point keeps its code.

        The new scale is one of float32, which is what a device can be given.
        """
        return replace(self, scale=(self.scale * fraction).astype(np.float32).astype(np.float64))
