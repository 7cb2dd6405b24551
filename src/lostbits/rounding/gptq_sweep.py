"""One sweep over the columns with error feedback.

References:
    Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers, 2022, arXiv:2210.17323.

Arrays are laid out ``(groups, columns, rows)`` here, so that one column of all rows is contiguous,
and weights are counted in steps of their row's grid: a row's scale multiplies its error and moves
no optimum.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLOCK = 64  # columns whose feedback is added singly; what lies before comes in one product


class Wanted(NamedTuple):
    """Where the steps would lie without a grid, and the grid's ends.

    Attributes:
        steps: Shape ``(groups, columns, rows)``.
        low, high: Shape ``(groups, rows)``.
    """

    steps: Floats
    low: Floats
    high: Floats

    def limit(self, column: Floats) -> Floats:
        """Whole steps on the grid nearest to one column, ``(groups, rows)``."""
        return np.minimum(np.maximum(np.rint(column), self.low), self.high)


def damped(gram: Floats, damping: float) -> Floats:
    """``G + damping * mean(diag G) * I``; inputs that were never seen get a diagonal of 1."""
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    ridge = diagonal + damping * diagonal.mean(axis=1, keepdims=True)
    result = gram.copy()
    columns = np.arange(gram.shape[-1])
    result[:, columns, columns] = np.where(ridge > 0, ridge, 1.0)
    return result


def feedback(gram: Floats) -> Floats:
    """Unit lower triangles: how the errors of earlier columns move the later ones.

    With ``G = L^T L``, ``e G e^T = sum_j (L_jj e_j + sum_{k<j} L_jk e_k)^2``, and later columns can
    still bring their own terms to zero. So the best place for column j is
    ``-sum_{k<j} (L_jk / L_jj) e_k``: the ratios returned. It is GPTQ's update, whose factor of
    ``inv(G)`` is ``inv(L)``; this one needs no inverse, which helps when G is ill-conditioned.
    """
    flipped = gram[:, ::-1, ::-1]
    factor = _cholesky(flipped)[:, ::-1, ::-1].transpose(0, 2, 1)
    return np.ascontiguousarray(factor / np.diagonal(factor, axis1=1, axis2=2)[..., None])


def _cholesky(gram: Floats) -> Floats:
    """Lower factors; a Gram of few samples is singular, and gets as much damping as it needs.

    As much as its own diagonal, where noise of float32 is a good part of what it holds.
    """
    for damping in (0.0, *10.0 ** np.arange(-12, 1)):
        try:
            factors = np.linalg.cholesky(damped(gram, damping) if damping else gram)
        except np.linalg.LinAlgError:
            continue
        return factors.astype(np.float64, copy=False)
    raise ValueError("a Gram matrix has eigenvalues far below zero: it is not of the form X^T X")


def sweep(wanted: Wanted, ratios: Floats, jitter: Floats | None = None) -> Floats:
    """Round column after column, each moved by the errors of those before it.

    Args:
        wanted: The rows and their grids.
        ratios: From ``feedback``.
        jitter: Added before rounding, shape of ``wanted.steps``: another of the near ties.

    Returns:
        Whole steps, shape ``(groups, columns, rows)``.
    """
    steps = np.empty_like(wanted.steps)
    error = np.empty_like(wanted.steps)
    columns = steps.shape[1]
    for first in range(0, columns, _BLOCK):
        last = min(first + _BLOCK, columns)
        pulled = wanted.steps[:, first:last] - ratios[:, first:last, :first] @ error[:, :first]
        for j in range(first, last):
            near = ratios[:, j, None, first:j] @ error[:, first:j]
            place = pulled[:, j - first] - near[:, 0]
            steps[:, j] = wanted.limit(place if jitter is None else place + jitter[:, j])
            error[:, j] = steps[:, j] - wanted.steps[:, j]
    return steps


def by_weight(gram: Floats) -> NDArray[np.intp]:
    """Columns of each group, the largest diagonal first, shape ``(groups, columns)``.

    Errors of the inputs that matter most are then made while all others can still make up for
    them.
    """
    return np.argsort(-np.diagonal(gram, axis1=1, axis2=2), axis=1, kind="stable")
