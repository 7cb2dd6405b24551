"""Second-order rounding: codes that leave the least error at the layer's output.

For every layer ``sum |W x - Q z|^2`` is minimised over codes Q, with x the float inputs and z those
of the quantized network. The minimum over real weights is a ridge regression of ``W x`` on z; codes
near it are found by error feedback and coordinate descent. How far the regression may move the
weights, and how much the Gram matrix is damped, is what samples held out inside the layer decide:
with 64 photographs the classifier sees 64 positions for 1,280 inputs, and a regression free to do
so would learn them by heart.

References:
    Frantar et al., 2022, arXiv:2208.11580 and arXiv:2210.17323. Nagel et al., 2019,
    arXiv:1906.04721 (bias correction).
"""

from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.grid import Affine
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Effort, Stage, median_left, swept
from lostbits.rounding import Gram, RowGrid, ScaleSearch, Settings, round_rows, search_scale
from lostbits.rounding.ridge import choose_damping, regressed
from lostbits.runtime.layerwise import Layer, Solved, sweep
from lostbits.runtime.matrix import Matrix
from lostbits.runtime.progress import Progress

Doubles = NDArray[np.float64]
_HELD_OUT = 4  # every fourth batch of a layer's inputs judges the others
_FEW = 8  # positions a column, below which the samples do not tell how the inputs vary
_LEAST_POSITIONS, _ENOUGH = 4096, 64  # of a layer in all, and for each column
_FEW_BITS = 5
_USUAL = 0.2  # part of the weights' error that stays, by experience on mobile networks


@final
class SecondOrder:
    """Rounds every layer against the second moments of its inputs, and corrects its bias."""

    name = "second_order"
    title = "round weights for the layer's output (Gram matrix, error feedback), correct biases"
    source = "Frantar et al. 2022, arXiv:2208.11580, arXiv:2210.17323"
    stage: Stage = "weights"
    keeps_function = False
    passes = 80.0

    def predict(self, case: Case, diagnosed: Diagnosed) -> float:
        """All but a fifth of what weights cost."""
        return diagnosed.gain_db("weight", _USUAL)

    def propose(
        self, case: Case, source: Source, diagnosed: Diagnosed, effort: Effort, progress: Progress
    ) -> Change:
        """One sweep over the layers."""
        solver = _Solver(case, effort)
        cache = effort.kept(case, source, self.name)
        written = sweep(case, source, solver, cache=cache, progress=progress)
        return swept(self.name, solver.summary(), len(solver.errors), written, solver.skipped)


@final
class _Solver:
    """Solves layer after layer and remembers what became of them."""

    def __init__(self, case: Case, effort: Effort) -> None:
        self.case, self.effort = case, effort
        self.generator = torch.Generator().manual_seed(effort.seed)
        self.errors: list[tuple[float, float]] = []
        self.skipped: dict[str, str] = {}

    def __call__(self, layer: Layer) -> Solved | None:
        matrix = Matrix.of(layer)
        if matrix is None:
            self.skipped[layer.weight.tensor] = say(
                "skipped.no_rows", op=layer.step.operator.op_type
            )
            return None
        weights = matrix.split(layer.values)
        rest, held = self._moments(layer, matrix, weights.shape[-1])
        values, grid = self._solve(weights, rest, held, layer.affine)
        return Solved(matrix.join(values), _rescaled(layer.affine, grid))

    def _moments(self, layer: Layer, matrix: Matrix, columns: int) -> tuple[Gram, Gram]:
        """Second moments of the samples to learn from, and of those to judge by."""
        pair = tuple(Gram(matrix.groups, columns, paired=True) for _ in range(2))
        enough = min(self.effort.positions, max(_LEAST_POSITIONS, _ENOUGH * columns))
        most = max(enough // len(layer.inputs), 1)
        for number, both in enumerate(zip(layer.inputs, layer.quantized_inputs, strict=True)):
            x, z = matrix.pairs(*both, matrix.sample(both[0], most, self.generator))
            pair[number % _HELD_OUT == _HELD_OUT - 1].update(z, x)
        return pair[0], pair[1]

    def _solve(
        self, weights: Doubles, rest: Gram, held: Gram, affine: Affine
    ) -> tuple[Doubles, RowGrid]:
        every = Gram(*rest.total.shape, paired=True).merge(rest).merge(held).centred()
        rest, held = rest.centred(), held.centred()  # the bias takes care of the means
        target = regressed(weights, every, choose_damping(weights, rest, held))
        grid = self._grid(target, every, RowGrid.of(affine, *weights.shape[:2]), affine)
        settings = Settings(damping=self._damping(target, rest, held, grid))
        solution = round_rows(weights, every.gram, grid, target=target, settings=settings)
        self.errors.append((float(solution.nearest.sum()), float(solution.error.sum())))
        return grid.values(solution.codes), grid

    def _grid(self, target: Doubles, every: Gram, grid: RowGrid, affine: Affine) -> RowGrid:
        """With few bits clipping the tails of the weights pays; with many the search finds none."""
        if affine.grid.bits > _FEW_BITS or self.case.target.weights.power_of_two:
            return grid
        return search_scale(target, every.gram, grid, ScaleSearch(per_row=affine.axis is not None))

    def _damping(self, target: Doubles, rest: Gram, held: Gram, grid: RowGrid) -> float:
        """The usual one where positions abound, else the best on the held-out samples."""
        if not held.count or rest.count >= _FEW * target.shape[-1]:
            return Settings().damping
        errors = {}
        for damping in (0.01, 0.1, 1.0):
            quick = Settings(damping=damping, passes=0, restarts=0)
            codes = round_rows(target, rest.gram, grid, settings=quick).codes
            off = grid.values(codes) - target
            errors[damping] = float(((off @ held.gram) * off).sum())
        return min(errors, key=errors.__getitem__)

    def summary(self) -> str:
        """How much of nearest rounding's error the layers have left."""
        share = median_left(self.errors)
        return say("ledger.second_order", count=str(len(self.errors)), share=share)


def _rescaled(affine: Affine, grid: RowGrid) -> Affine | None:
    """The layer's grid with the scales of the rows; None if they are as they were."""
    rows = grid.scale.astype(np.float32).ravel()
    scale = rows[:1].reshape(affine.scale.shape) if affine.axis is None else rows
    return None if np.array_equal(scale, affine.scale) else replace(affine, scale=scale)
