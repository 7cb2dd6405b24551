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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.recovery import (
    STEP,
    Change,
    Context,
    Diagnosed,
    Stage,
    Sweeping,
    median_left,
    sweep_cost,
    swept,
)
from lostbits.rounding import Gram, Problem, RowGrid, ScaleSearch, Settings, Solution
from lostbits.rounding.ridge import DAMPINGS
from lostbits.sweep.layer import Layer
from lostbits.sweep.layer_as_matrix import Matrix, enough_positions
from lostbits.sweep.layers import OpenJob, Solved, sweep
from lostbits.sweep.shards import Ask
from lostbits.sweep.token_weights import token_weights
from lostbits.sweep.twin_networks import BATCH, unread_weights

Doubles = NDArray[np.float64]
# Every fourth batch of a layer's inputs judges the others; of fewer than four batches of tokens,
# the last quarter of each.
_HELD_OUT = 4
_FEW = 8  # positions a column, below which the samples do not tell how the inputs vary
_HARDLY = 2  # below which they tell next to nothing
_FEW_BITS = 5
_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # of the damping, where few positions leave it open
# Solutions of a layer, with all ridges and dampings; a product in BLAS, in operations.
_SOLUTIONS, _PRODUCT = 8, 0.25
_MEANLESS = "InstanceNormalization"  # its output does not depend on the means of its channels
_ENTRIES = 1 << 25  # of second moments: 256 MiB, of which ten are alive at once
_USUAL = 0.2  # part of the weights' error that stays, by experience on mobile networks


@final
@dataclass(frozen=True, kw_only=True)
class SecondOrder(Sweeping):
    """Rounds every layer against the second moments of its inputs, and corrects its bias.

    Attributes:
        positions: Most positions of a layer's input that its moments look at.
    """

    name: ClassVar[str] = "second_order"
    title: ClassVar[str] = (
        "round weights for the layer's output (Gram matrix, error feedback), correct biases"
    )
    source: ClassVar[str] = "Frantar et al. 2022, arXiv:2208.11580, arXiv:2210.17323"
    stage: ClassVar[Stage] = "weights"
    least_part: ClassVar[float] = 0.4
    positions: int = 16384

    def cost(self, case: Case) -> float:
        """One sweep, and the solutions: a product of weights and Gram matrix for each."""
        passed = {site.key for site, _ in unread_weights(case)}
        weights = (s for s in case.sites if s.role == "weight" and s.key not in passed)
        sites = [s for s in weights if s.key in case.seen]
        sizes = [(case.seen[s.key].whole.size, case.seen[s.key].channels.hi.size) for s in sites]
        products = sum(size**2 / rows for size, rows in sizes)
        return sweep_cost(case) + _SOLUTIONS * (len(sizes) * STEP + products * _PRODUCT)

    def gain(self, diagnosed: Diagnosed) -> float:
        """All but a fifth of what weights cost."""
        return diagnosed.gain_db("weight", _USUAL)

    def change(self, case: Case, context: Context) -> Change:
        """One sweep over the layers."""
        solver = _Solver(case, self.positions, context.effort.seed)
        effort, source, progress = context.effort, context.source, context.progress
        cache = effort.kept(case, source, self)
        written = sweep(
            case,
            source,
            solver,
            pool=effort.pool,
            cache=cache,
            progress=progress,
            deadline=effort.deadline,
        )
        return swept(self.name, solver.summary(), len(solver.errors), written, solver.skipped)


class _Moments(NamedTuple):
    """Second moments of a layer's inputs on some samples.

    Attributes:
        matrix: The layer's view as a matrix.
        rest, held: Of the samples to learn from, and of those to judge by; None without any.
    """

    matrix: Matrix
    rest: Gram | None
    held: Gram | None


def _weighed(layer: Layer, x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both inputs, each token by its weight."""
    weights = token_weights(layer, x)
    if weights is None:
        return x, z
    root = weights.sqrt()[..., None]
    return x * root, z * root


def _cuts(
    x: torch.Tensor, matrix: Matrix, samples: int, *, judges: bool
) -> list[tuple[slice, bool]]:
    """Parts of a batch along its first axis, and whether they judge.

    Without any that do, second moments of a few hundred positions for as many columns would be
    learned by heart. Convolutions see many positions of a sample, and are not cut.
    """
    first = x.shape[0] - x.shape[0] // _HELD_OUT
    stacked = matrix.window is None and (matrix.left or matrix.groups > 1)
    tokens = matrix.window is None and x.ndim > 2
    whole = not tokens or (stacked and x.ndim <= len(matrix.shape))
    if samples > (_HELD_OUT - 1) * BATCH or first == x.shape[0] or whole:
        return [(slice(None), judges)]
    return [(slice(0, first), False), (slice(first, None), True)]


def _nothing(matrix: Matrix, columns: int) -> Gram:
    return Gram(matrix.groups * matrix.blocks, columns, paired=True)


def _summed(found: Sequence[_Moments], columns: int) -> tuple[Gram, Gram]:
    """In the order of the shards."""
    rest, held = (_nothing(found[0].matrix, columns) for _ in range(2))
    for one in found:
        for total, more in ((rest, one.rest), (held, one.held)):
            if more is not None:
                total.merge(more)
    return rest, held


@final
class _Solver:
    """Solves layer after layer and remembers what became of them."""

    whole = False
    apart = False

    def __init__(self, case: Case, positions: int, seed: int) -> None:
        self.powers = case.target.weights.power_of_two
        self.biased = {s.scales[1] for s in case.placed.biases if s.scales is not None}
        self.positions, self.seed = positions, seed
        self.errors: list[tuple[float, float]] = []
        self.skipped: dict[str, Message] = {}

    def look(self, layer: Layer) -> _Moments | Message:
        """Why there are none of a layer that is no ``W x``, or has too many columns."""
        whole = Matrix.of(layer)
        matrix = whole and whole.fitting(_ENTRIES)
        if matrix is None:
            no_rows = say("skipped.no_rows", op=layer.step.operator.op_type)
            return no_rows if whole is None else say("skipped.too_wide")
        columns = matrix.columns // matrix.blocks
        rest, held = (_nothing(matrix, columns) for _ in range(2))
        enough = min(self.positions, enough_positions(columns))
        batches = zip(layer.parts, layer.inputs, layer.quantized_inputs, strict=True)
        for number, (part, floats, quantized) in enumerate(batches, layer.shard.number):
            most = max(enough * part.size // layer.shard.total, 1)
            random = self._random(layer, part)
            judges = number % _HELD_OUT == _HELD_OUT - 1
            pair = _weighed(layer, floats, quantized)
            for cut, judging in _cuts(floats, matrix, layer.shard.total, judges=judges):
                first, second = (values[cut] for values in pair)
                positions = matrix.sample(first, most, random)
                for some in matrix.parts(first, positions):
                    x, z = matrix.pairs(first, second, some)
                    (held if judging else rest).update(z, x)
        return _Moments(matrix, *(one if one.count else None for one in (rest, held)))

    def _random(self, layer: Layer, part: Batch) -> torch.Generator:
        """The same for a batch of a layer, whatever was drawn before and by whom."""
        first = layer.shard.samples.start + part.first
        (seed,) = np.random.SeedSequence([self.seed, layer.number, first]).generate_state(1)
        return torch.Generator().manual_seed(int(seed))

    def solve(
        self, layer: Layer, found: Sequence[_Moments | Message], job: OpenJob
    ) -> Solved | None:
        """From the moments of all shards, added in their order."""
        known = [moments for moments in found if isinstance(moments, _Moments)]
        if not known:
            self.skipped[layer.weight.tensor] = next(m for m in found if isinstance(m, Message))
            return None
        matrix = known[0].matrix
        if matrix.blocks > 1:
            self.skipped[layer.weight.tensor] = say("skipped.in_blocks", count=str(matrix.blocks))
        weights = matrix.split(layer.values)
        rest, held = _summed(known, weights.shape[-1])
        rows = weights.shape[1]
        grid = RowGrid.of(layer.affine, matrix.groups, rows).repeated(matrix.blocks)
        search = self._search(layer.affine, matrix, rows)
        problem = Problem(weights, rest, held, grid, search, self._free_of_means(layer))
        values, grid = self._solve(problem, job)
        affine = None if search is None else _rescaled(layer.affine, grid)
        return Solved(matrix.join(values), affine)

    def _free_of_means(self, layer: Layer) -> bool:
        """Whether a bias takes up the mean of the error, or the next node takes it away."""
        if layer.weight.key in self.biased:
            return True
        readers = [s for s in layer.executor.steps if layer.step.outputs[0] in s.inputs]
        return bool(readers) and all(s.operator.op_type == _MEANLESS for s in readers)

    def _search(self, affine: Affine, matrix: Matrix, rows: int) -> ScaleSearch | None:
        """With few bits clipping the tails of the weights pays; with many the search finds none.

        Nor is there one where rows of several matrices share a scale.
        """
        shared = affine.axis is not None and affine.scale.size != matrix.groups * rows
        if affine.grid.bits > _FEW_BITS or self.powers or shared or matrix.blocks > 1:
            return None
        return ScaleSearch(per_row=affine.axis is not None)

    def _solve(self, problem: Problem, job: OpenJob) -> tuple[Doubles, RowGrid]:
        job.broadcast("problem", problem)
        ridge = self._ridge(problem, job)
        cuts = problem.parts
        grids = self._grids(problem, ridge, job)
        pieces = list(zip(cuts, grids, strict=True))
        damping = self._damping(problem, ridge, grids, job)
        tasks = [Ask("solution", ridge, damping, *piece) for piece in pieces]
        found: list[tuple[RowGrid, Solution]] = list(job.map(tasks))
        grids = [grid for grid, _ in found]
        nearest, left = (
            sum(float(part.sum()) for part in parts)
            for parts in zip(*((s.nearest, s.error) for _, s in found), strict=True)
        )
        self.errors.append((nearest, left))
        values = [grid.values(s.codes) for grid, s in found]
        return np.concatenate(values, problem.axis), problem.joined(grids)

    @staticmethod
    def _ridge(problem: Problem, job: OpenJob) -> float:
        """The strength with the least error on held-out samples; infinite where there are none."""
        if not problem.held.count:
            return np.inf
        errors = job.map([Ask("ridge_error", strength) for strength in DAMPINGS])
        return DAMPINGS[int(np.argmin(list(errors)))]

    @staticmethod
    def _grids(problem: Problem, ridge: float, job: OpenJob) -> list[RowGrid]:
        """A search for each row is one for each part; one scale for all is looked for at once."""
        cuts = problem.parts
        if problem.search is None:
            return problem.grids(ridge, cuts)
        together = [[cut] for cut in cuts] if problem.search.per_row else [cuts]
        found = job.map([Ask("grids", ridge, one) for one in together])
        return [grid for several in found for grid in several]

    @staticmethod
    def _damping(problem: Problem, ridge: float, grids: Sequence[RowGrid], job: OpenJob) -> float:
        """The usual one where positions abound, else the best on the held-out samples.

        Where none are held out, as much as so few positions leave unknown.
        """
        share = problem.rest.count / problem.weights.shape[-1]
        if share >= _FEW:
            return Settings().damping
        if not problem.held.count:
            return _STRENGTHS[-1] if share < _HARDLY else _STRENGTHS[1]
        errors = job.map([Ask("damping_error", ridge, d, grids) for d in _STRENGTHS])
        return _STRENGTHS[int(np.argmin(list(errors)))]

    def summary(self) -> Message:
        """How much of nearest rounding's error the layers have left."""
        share = median_left(self.errors)
        return say("ledger.second_order", count=str(len(self.errors)), share=share)


def _rescaled(affine: Affine, grid: RowGrid) -> Affine | None:
    """The layer's grid with the scales of the rows; None if they are as they were."""
    rows = grid.scale.astype(np.float32).ravel()
    scale = rows[:1].reshape(affine.scale.shape) if affine.axis is None else rows
    return None if np.array_equal(scale, affine.scale) else replace(affine, scale=scale)
