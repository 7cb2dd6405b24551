"""Weights that make up for the error that the layer's inputs bring with them."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.sweep import damped

Floats = NDArray[np.float64]


def corrected_target(weights: Floats, gram: Floats, cross: Floats, damping: float = 0.01) -> Floats:
    """Real weights whose output on the quantized inputs is nearest to the float output.

    ``sum |W x - T x^|^2`` is least at ``T G = W C``, with ``G = sum x^ x^T`` and
    ``C = sum x x^T`` (x^ the quantized inputs on the right of both). Then
    ``sum |W x - Q x^|^2`` is ``(Q - T) G (Q - T)^T`` plus what no weights can undo.

    Args:
        weights: Shape ``(groups, rows, columns)``.
        gram: Of the quantized inputs, ``(groups, columns, columns)``.
        cross: Float inputs by quantized inputs, the same shape.
        damping: Relative to the mean diagonal. It draws T towards W, not towards zero: inputs
            that were hardly seen keep their weights.
    """
    return next(corrected_targets(weights, gram, cross, [damping]))


def corrected_targets(
    weights: Floats, gram: Floats, cross: Floats, dampings: Iterable[float]
) -> Iterator[Floats]:
    """``corrected_target`` for several dampings; at infinity the weights themselves.

    One solve a damping; an eigendecomposition would serve them all at once, but costs as much as
    thirty of them (measured at 1,152 columns).
    """
    # T = W + W (C - G) inv(G + d I), solved for the transposed: G is symmetric.
    excess = (weights @ (cross - gram)).transpose(0, 2, 1)
    for damping in dampings:
        if np.isinf(damping):
            yield weights
        else:
            change = np.linalg.solve(damped(gram, max(damping, 1e-9)), excess)
            yield weights + np.asarray(change).transpose(0, 2, 1)
