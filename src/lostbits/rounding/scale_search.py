"""The scale at which a weight is best rounded: for few bits, clipping the tails pays."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.rounding.gptq import Settings, round_rows
from lostbits.rounding.output_error import quadratic_error
from lostbits.rounding.row_grid import Codes, RowGrid

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True)
class ScaleSearch:
    """Which scales to try.

    Attributes:
        fractions: Of the scale given.
        finalists: How many of them are judged after error feedback; the rest by plain rounding.
        per_row: One fraction for each row, else one for the whole tensor.
        damping: As in ``Settings``.
    """

    fractions: tuple[float, ...] = tuple(np.linspace(1.0, 0.4, 31).tolist())
    finalists: int = 4
    per_row: bool = True
    damping: float = 0.01


def search_scale(
    target: Floats, gram: Floats, grid: RowGrid, search: ScaleSearch | None = None
) -> RowGrid:
    """The grid, shrunk to the fractions whose sweep leaves the least error at the output.

    The scale given is always among the finalists: the result is never above it, as measured
    after one sweep.

    Args:
        target: Weights, or what they should become, ``(groups, rows, columns)``.
        gram: ``sum x x^T``, ``(groups, columns, columns)``.
        grid: Usually from the extremes of each row.
        search: Which scales to try.
    """
    search = search or ScaleSearch()
    tried = np.asarray(search.fractions)
    plain = [_nearest_error(target, gram, grid.shrunk(f)) for f in search.fractions]
    order = np.argsort(_judged(np.stack(plain), search), axis=0, kind="stable")
    finalists = [np.ones_like(grid.scale), *tried[order[: search.finalists]]]
    swept = [_swept_error(target, gram, grid.shrunk(f), search.damping) for f in finalists]
    best = _judged(np.stack(swept), search).argmin(axis=0)
    return grid.shrunk(np.take_along_axis(np.stack(finalists), best[None], axis=0)[0])


def _judged(errors: Floats, search: ScaleSearch) -> Floats:
    """Errors ``(fractions, groups, rows)``, those of one tensor summed when it has one scale."""
    if search.per_row:
        return errors
    return np.broadcast_to(errors.sum(axis=(1, 2), keepdims=True), errors.shape)


def _nearest_error(target: Floats, gram: Floats, grid: RowGrid) -> Floats:
    return quadratic_error(grid.values(grid.nearest(target)), target, gram)


def _swept_error(target: Floats, gram: Floats, grid: RowGrid, damping: float) -> Floats:
    settings = Settings(damping=damping, passes=0, restarts=0)
    return round_rows(target, gram, grid, settings=settings).error


def refit_scale(target: Floats, gram: Floats, grid: RowGrid, codes: Codes) -> RowGrid:
    """The grid whose scales suit the codes: the least squares of each row, codes held.

    ``(s q - t) G (s q - t)^T`` is least at ``s = q G t^T / q G q^T``. Rows whose codes are all
    zero, or point the other way, keep their scale.

    Args:
        target: Weights, or what they should become, ``(groups, rows, columns)``.
        gram: ``sum x x^T``, ``(groups, columns, columns)``.
        grid: That the codes lie on.
        codes: Of the same shape as ``target``.
    """
    steps = grid.steps(codes)
    seen = steps @ gram
    wanted, own = (seen * target).sum(axis=-1), (seen * steps).sum(axis=-1)
    fit = (wanted > 0) & (own > 0)
    scale = np.divide(wanted, own, out=grid.scale.copy(), where=fit)
    return replace(grid, scale=scale.astype(np.float32).astype(np.float64))
