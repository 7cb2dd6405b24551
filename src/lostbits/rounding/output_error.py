"""The squared error of a layer's output, without its inputs: ``e G e^T``."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def quadratic_error(rounded: Floats, target: Floats, gram: Floats) -> Floats:
    """``(q - t) G (q - t)^T`` of every row: the error of its output, summed over the samples.

    Args:
        rounded: Weights that the codes stand for, shape ``(groups, rows, columns)``.
        target: What they should be, the same shape.
        gram: ``sum x x^T``, shape ``(groups, columns, columns)``.

    Returns:
        Shape ``(groups, rows)``, in squared units of the output; not divided by the samples.
    """
    error = rounded - target
    # Not below zero: only noise could take it there, and ratios of errors are formed from it.
    error_power: Floats = np.einsum("grc,grc->gr", error @ gram, error)
    return np.maximum(error_power, 0.0)


def noise_level(rounded: Floats, target: Floats, gram: Floats) -> Floats:
    """Bound on what float64 may add to ``quadratic_error``; the same shape.

    ``|G_ij| <= sqrt(G_ii G_jj)``, so ``|e| |G| |e|^T`` is at most ``(sum |e_j| sqrt(G_jj))^2``:
    its product with the columns and the machine epsilon covers any order of summation.
    """
    width = np.sqrt(np.maximum(np.diagonal(gram, axis1=1, axis2=2), 0.0))
    reach = (np.abs(rounded - target) @ width[..., None])[..., 0]
    return np.asarray(4 * gram.shape[-1] * np.finfo(np.float64).eps * reach**2)
