"""Weights that make up for the error that the layer's inputs bring with them."""

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gptq_sweep import damped

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
    return drawn(weights, gram, drift(weights, gram, cross), damping)


def drift(weights: Floats, gram: Floats, cross: Floats) -> Floats:
    """What the error of the inputs asks of the weights; ``(groups, columns, rows)``."""
    return (weights @ (cross - gram)).transpose(0, 2, 1)


def drawn(weights: Floats, gram: Floats, drift: Floats, damping: float) -> Floats:
    """``corrected_target`` for a drift that is known; at infinity the weights themselves.

    One solve a damping; an eigendecomposition would serve them all at once, but costs as much as
    thirty of them (measured at 1,152 columns).
    """
    if np.isinf(damping):
        return weights
    # T = W + W (C - G) inv(G + d I), solved for the transposed: G is symmetric.
    change = np.linalg.solve(damped(gram, max(damping, 1e-9)), drift)
    return weights + np.asarray(change).transpose(0, 2, 1)
