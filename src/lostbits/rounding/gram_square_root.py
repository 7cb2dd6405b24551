"""As few positions as columns, with the error of all: for layers without an activation function.

``sum |W x - Q z|^2`` over all positions is, but for a constant, ``|Q R - Y|^2`` where ``R R^T`` is
the Gram matrix of the inputs z and ``Y R^T = W sum x z^T``. Learning Q step by step then
multiplies with R, whose width is the rank of the Gram matrix, instead of with the data.
"""

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gram import Gram

Floats = NDArray[np.float64]
_NOTHING = 1e-12  # part of the largest eigenvalue below which a direction was never seen


def factored(weights: Floats, moments: Gram) -> tuple[Floats, Floats]:
    """``R`` and ``Y``, shapes ``(groups, columns, columns)`` and ``(groups, rows, columns)``.

    Args:
        weights: Float weights W, shape ``(groups, rows, columns)``.
        moments: Of the quantized inputs z, paired with the float ones.
    """
    values, vectors = np.linalg.eigh(moments.gram)
    root = np.sqrt(np.maximum(values, 0.0))
    seen = values > _NOTHING * values[:, -1:]
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=seen)
    target = weights @ moments.cross @ vectors * inverse[:, None]
    return vectors * root[:, None], target
