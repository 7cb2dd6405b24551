"""The squared error of a grid on a density that is constant inside each bin.

With ``u = x / s`` and ``n`` the code of x, counted from zero and limited to the grid, that error
has the antiderivative ``s^3 (n/12 + (u - n)^3 / 3)``, round and clip alike, so no bin is ever too
coarse for the step. Summed by parts, each edge is visited once, weighted by how far the density
falls there.
"""

import numpy as np
from numpy.typing import NDArray

from lostbits.statistics.jit import compiled, compiled_sums

Floats = NDArray[np.float64]


@compiled_sums
def add_error(
    edges: Floats, falls: Floats, low: Floats, high: Floats, step: Floats, sums: Floats
) -> None:
    """Add the squared error of each grid on each row to ``sums``.

    Args:
        edges: Of the bins, shape (rows, edges).
        falls: By how much the density falls there, of the same shape.
        low: Low ends of the grids, shape (grids, rows) or (grids, 1).
        high: High ends.
        step: Steps.
        sums: Shape (grids, rows); added to.
    """
    for i, row in np.ndindex(sums.shape):
        s, first, last = _codes(low[i], high[i], step[i], row)
        total = 0.0
        for k in range(edges.shape[1]):
            u = edges[row, k] / s
            n = min(max(np.rint(u), first), last)
            total += falls[row, k] * (n + 4 * (u - n) ** 3)
        sums[i, row] += total * s**3 / 12


@compiled_sums
def add_clip(
    edges: Floats, falls: Floats, low: Floats, high: Floats, step: Floats, sums: Floats
) -> None:
    """The same for the part beyond the ends, whose antiderivative is ``(x - end)^3 / 3``.

    Ends in float32 lie beside their codes; the little that is would be much beside a small rest.
    """
    for i, row in np.ndindex(sums.shape):
        s, first, last = _codes(low[i], high[i], step[i], row)
        lowest, highest = first * s, last * s
        total = 0.0
        for k in range(edges.shape[1]):
            x = edges[row, k]
            total += falls[row, k] * (x - min(max(x, lowest), highest)) ** 3
        sums[i, row] += total / 3


@compiled
def _codes(low: Floats, high: Floats, step: Floats, row: int) -> tuple[float, float, float]:
    """Step of a row's grid, or of the one that is that of all, and its first and last code."""
    at = min(row, step.size - 1)
    return step[at], np.rint(low[at] / step[at]), np.rint(high[at] / step[at])
