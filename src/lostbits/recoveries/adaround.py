"""AdaRound: whether each weight is rounded up or down is learned at the layer's output.

References:
    Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020,
    arXiv:2004.10568: inputs of the quantized network, targets of the float one, the activation
    function in the loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.errors import RecoveryError
from lostbits.language import Message, say, verbatim
from lostbits.recovery import (
    Change,
    Context,
    Diagnosed,
    Effort,
    Inputs,
    Stage,
    Sweeping,
    learning_cost,
    median_left,
    swept,
)
from lostbits.rounding import (
    Gram,
    Reconstruction,
    RoundedWeight,
    adaround,
    confirmed,
    factored,
)
from lostbits.sweep.layer import Layer
from lostbits.sweep.layer_as_matrix import Matrix, enough_positions
from lostbits.sweep.layers import OpenJob, Solved, sweep

Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]
Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_SAMPLES = 4  # of a step
# With 256 positions a step a depthwise layer ends at 0.434 of nearest's error instead of 0.422; all
# 1,568 of a batch give 0.424, four times as slow.
_POSITIONS = 512
_ENTRIES = 1 << 25  # of second moments, at most: 256 MiB
_USUAL = 0.8  # part of the weights' error that stays after second-order rounding has been there


@final
@dataclass(frozen=True, kw_only=True)
class AdaRound(Sweeping):
    """Starts from the codes in use and learns better ones, layer by layer.

    Attributes:
        iterations: Steps for each layer.
        samples: Of a step, where a layer is learned from whole samples.
        positions: Of a step, where a part of a convolution's positions stands for all.
    """

    name: ClassVar[str] = "adaround"
    title: ClassVar[str] = "learn at every layer's output which weights to round up and which down"
    source: ClassVar[str] = "Nagel et al. 2020, arXiv:2004.10568"
    stage: ClassVar[Stage] = "weights"
    alone: ClassVar[bool] = True
    iterations: int = 500
    samples: int = _SAMPLES
    positions: int = _POSITIONS

    def cost(self, case: Case) -> float:
        """A step for each iteration of each layer."""
        return learning_cost(case, self.iterations, self.samples)

    def gain(self, diagnosed: Diagnosed) -> float:
        """A fifth of what weights cost."""
        return diagnosed.gain_db("weight", _USUAL)

    def change(self, case: Case, context: Context) -> Change:
        """One sweep over the layers."""
        effort, source, progress = context.effort, context.source, context.progress
        solver = _Solver(case, self, effort)
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
        return swept(self.name, solver.summary(), len(solver.losses), written, solver.skipped)


class _Learned(NamedTuple):
    """What became of a layer.

    Attributes:
        solved: None where it was passed over.
        loss: Before and after.
        reason: Why it was passed over.
    """

    solved: Solved | None = None
    loss: tuple[float, float] = (0.0, 0.0)
    reason: Message | None = None


@final
class _Solver:
    """Learns layers, from all samples at once."""

    whole = True

    def __init__(self, case: Case, settings: AdaRound, effort: Effort) -> None:
        self.case, self.settings = case, settings
        self.apart = effort.inputs is Inputs.FLOAT
        self.how = Reconstruction(
            iterations=settings.iterations, seed=effort.seed, deadline=effort.deadline
        )
        self.losses: list[tuple[float, float]] = []
        self.skipped: dict[str, Message] = {}

    def look(self, layer: Layer) -> _Learned:
        """The layer, learned; it is passed over where no gradient leads through it."""
        try:
            return self._learned(layer)
        except RecoveryError as error:
            return _Learned(reason=verbatim(str(error)))

    def _learned(self, layer: Layer) -> _Learned:
        start = self.case.written.get(layer.weight.tensor)
        weight = RoundedWeight.begun(layer.values, layer.affine, start)
        size = self.settings.samples, self.settings.positions
        stated = problem(layer, *size, seed=self.how.seed)
        if opaque := layer.opaque:
            return _Learned(reason=say("skipped.no_gradient", nodes=", ".join(opaque)))
        with torch.enable_grad():
            rounded = adaround(weight, *stated, self.how)
        if drawn(layer):
            rounded = confirmed(weight, rounded, *_whole(layer, len(layer.inputs[0])))
        values = weight.values(rounded.codes["weight"]).numpy()
        return _Learned(Solved(values), (rounded.loss_before, rounded.loss_after))

    def solve(self, layer: Layer, found: Sequence[_Learned], job: OpenJob) -> Solved | None:
        """Nobody else has seen anything."""
        (learned,) = found
        if learned.reason is not None:
            self.skipped[layer.weight.tensor] = learned.reason
        else:
            self.losses.append(learned.loss)
        return learned.solved

    def summary(self) -> Message:
        """How much of the error before is left."""
        share = median_left(self.losses)
        return say("ledger.adaround", layers=str(len(self.losses)), share=share)


def problem(
    layer: Layer, samples: int = _SAMPLES, positions: int = _POSITIONS, seed: int = 0
) -> tuple[Batches, Forward]:
    """What is to be reached at the layer's output, and how its weights get there.

    Args:
        layer: To be rounded.
        samples: Of a step, where whole ones are needed.
        positions: Of a step, where they are drawn.
        seed: Of the positions that are drawn.
    """
    matrix = Matrix.of(layer)
    if matrix is not None and drawn(layer):
        return _drawn(layer, matrix, positions, seed)
    if matrix is not None and layer.activation is None and not _too_wide(matrix):
        return _straight(layer, matrix)
    return _whole(layer, samples)


def _too_wide(matrix: Matrix) -> bool:
    """Whether second moments of its inputs take more memory than the layer's own outputs."""
    return matrix.groups * matrix.columns**2 > _ENTRIES


def drawn(layer: Layer) -> bool:
    """Whether a part of the positions stands for all: in convolutions with activation function."""
    return layer.activation is not None and layer.step.operator.op_type == "Conv"


def _whole(layer: Layer, samples: int) -> tuple[Batches, Forward]:
    """Small batches: one step of Adam costs what its batch costs, and noise does no harm."""
    weight = torch.from_numpy(layer.values)
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for x, z in zip(layer.inputs, layer.quantized_inputs, strict=True):
        target = layer.activated(x, weight)
        pairs += zip(torch.split(z, samples), torch.split(target, samples), strict=True)
    return pairs, layer.activated


def _drawn(layer: Layer, matrix: Matrix, positions: int, seed: int) -> tuple[Batches, Forward]:
    """Positions of all samples, mixed: neighbours are alike, and more of them teach little."""
    weight, generator = torch.from_numpy(layer.values), torch.Generator().manual_seed(seed)

    def forward(columns: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return layer.bent(matrix.product(weight, columns))

    most = -(-enough_positions(layer.values[0].size) // len(layer.inputs))
    batches = []
    for x, z in zip(layer.inputs, layer.quantized_inputs, strict=True):
        for part in _parts(matrix.sample(x, most, generator), positions):
            floats, quantized = (
                torch.from_numpy(v).mT.contiguous() for v in matrix.pairs(x, z, part)
            )
            batches.append((quantized, forward(floats, weight)))
    return batches, forward


def _parts(drawn: torch.Tensor | None, positions: int) -> list[torch.Tensor | None]:
    """Positions of a step, from all over those drawn, which ascend; None, for all, stays one."""
    if drawn is None:
        return [None]
    count = max(len(drawn) // positions, 1)
    return [drawn[first::count] for first in range(count)]


def _straight(layer: Layer, matrix: Matrix) -> tuple[Batches, Forward]:
    """All positions in one batch as wide as the layer; its bias is the same on both sides."""
    weights = matrix.split(layer.values)
    moments = Gram(matrix.groups, weights.shape[-1], paired=True)
    for x, z in zip(layer.inputs, layer.quantized_inputs, strict=True):
        floats, quantized = matrix.pairs(x, z)
        moments.update(quantized, floats)
    root, target = (torch.from_numpy(m.astype(np.float32)) for m in factored(weights, moments))
    return [(root, target)], lambda x, w: matrix.rows(w) @ x
