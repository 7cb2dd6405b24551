"""Block reconstruction: the rounding of a block's weights and the ranges of its activations.

Learned together at the exit of the block, with activations quantized and dropped at random.

References:
    Li et al., BRECQ, ICLR 2021, arXiv:2102.05426 (blocks); Wei et al., QDrop, ICLR 2022,
    arXiv:2203.05740 (dropping); Esser et al., 2020, arXiv:1902.08153 (scales); Nagel et al.,
    2020, arXiv:2004.10568 (rounding).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.errors import RecoveryError
from lostbits.graph.site import Site
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
from lostbits.rounding import LearnedScale, Reconstruction, RoundedWeight, adaround_block
from lostbits.runtime.simulation import fake_quantize
from lostbits.sweep.blocks import Block, Entry, Reconstructed, sweep_blocks

_USUAL = 0.6  # part of what weights and activations cost that stays, by experience
_SAMPLES = 8  # of a step: fewer make its gradient too noisy for scales
_VALUES = 1 << 22  # at either end of a block in a step: so many positions are no noisy gradient
_QUANTIZERS = 2  # steps of kernels for each layer: those of its weight, those of its activation
_CHECKS = 5  # of the loss with hard rounding: each costs a pass over all samples


@final
@dataclass(frozen=True, kw_only=True)
class BlockReconstruction(Sweeping):
    """Starts from the codes and ranges in use.

    Attributes:
        iterations: Steps for each block.
        samples: Of a step.
    """

    name: ClassVar[str] = "reconstruction"
    title: ClassVar[str] = "learn rounding and activation ranges block by block"
    source: ClassVar[str] = "Li et al. 2021, arXiv:2102.05426; Wei et al. 2022, arXiv:2203.05740"
    stage: ClassVar[Stage] = "weights"
    alone: ClassVar[bool] = True
    iterations: int = 500
    samples: int = _SAMPLES

    def cost(self, case: Case) -> float:
        """A step through each block for each iteration; quantizers of activations learn too."""
        return learning_cost(case, self.iterations, self.samples, _QUANTIZERS)

    def gain(self, diagnosed: Diagnosed) -> float:
        """Two fifths of what weights cost."""
        return diagnosed.gain_db("weight", _USUAL)

    def change(self, case: Case, context: Context) -> Change:
        """One sweep over the blocks."""
        effort, source, progress = context.effort, context.source, context.progress
        solver = _Solver(case, self, effort)
        cache = effort.kept(case, source, self)
        pool = effort.pool if effort.inputs is Inputs.FLOAT else None
        written = sweep_blocks(
            case,
            source,
            solver,
            pool=pool,
            cache=cache,
            progress=progress,
            deadline=effort.deadline,
        )
        return swept(self.name, solver.summary(), len(solver.losses), written, solver.skipped)


@final
class _Solver:
    """Learns block after block."""

    def __init__(self, case: Case, settings: BlockReconstruction, effort: Effort) -> None:
        self.case, self.samples = case, settings.samples
        self.how = Reconstruction(
            iterations=settings.iterations,
            checks=_CHECKS,
            seed=effort.seed,
            deadline=effort.deadline,
        )
        self.losses: list[tuple[float, float]] = []
        self.moved: list[float] = []
        self.skipped: dict[str, Message] = {}

    def take(self, solved: Reconstructed) -> None:
        """Remember what became of a block, for the summary."""
        self.losses += [] if solved.loss is None else [solved.loss]
        self.moved += solved.moved
        self.skipped |= solved.skipped

    def look(self, block: Block) -> Reconstructed:
        """Learn one block, unless no gradient passes it or its loss is no number."""
        names = [site.tensor for site in block.weights.values()]
        if opaque := block.opaque:
            reason = say("skipped.no_gradient", nodes=", ".join(opaque))
            return Reconstructed(skipped=dict.fromkeys(names, reason))
        try:
            return self._learned(block)
        except RecoveryError as error:
            return Reconstructed(skipped=dict.fromkeys(names, verbatim(str(error))))

    def _learned(self, block: Block) -> Reconstructed:
        scales, skipped = self._scales(block)
        weights = {key: self._weight(block, site) for key, site in block.weights.items()}

        def quantize(site: Site, x: torch.Tensor) -> torch.Tensor:
            if site.key in scales:
                return scales[site.key](x)
            affine = block.networks.plan.get(site.key)
            return x if affine is None else fake_quantize(x, affine)

        def forward(entry: Entry, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
            return block.forward(entry, values, quantize)

        others = [scale.shift for scale in scales.values()]
        with torch.enable_grad():
            rounded = adaround_block(
                weights, _batches(block, self.samples), forward, self.how, others
            )
        grids = zip(scales.items(), rounded.others, strict=True)
        return Reconstructed(
            {key: weights[key].values(codes).numpy() for key, codes in rounded.codes.items()},
            {key: scale.learned(shift) for (key, scale), shift in grids},
            (rounded.loss_before, rounded.loss_after),
            tuple(float(shift) for shift in rounded.others),
            skipped,
        )

    def _weight(self, block: Block, site: Site) -> RoundedWeight:
        networks = block.networks
        values = networks.executor.constants[site.tensor].numpy()
        start = networks.written.constants.get(site.tensor)
        return RoundedWeight.begun(values, networks.plan[site.key], start)

    def _scales(self, block: Block) -> tuple[dict[str, LearnedScale], dict[str, Message]]:
        """Of the activations that nothing outside of the block depends on; and why of no others."""
        found, skipped = {}, {}
        for key, site in block.activations.items():
            affine = block.networks.plan.get(key)
            if affine is None:
                continue
            if reason := self._reason_to_keep(block, site):
                skipped[f"range of {site.tensor}"] = reason
            else:
                found[key] = LearnedScale(affine, seed=self.how.seed)
        return found, skipped

    def _reason_to_keep(self, block: Block, site: Site) -> Message | None:
        inside = {step.name for step in block.segment.steps}
        if not all(use.node in inside for use in site.uses):
            return say("skipped.other_block")
        if sum(other.group == site.group for other in self.case.sites) > 1:
            return say("skipped.shared_scale")
        if block.networks.plan[site.key].axis is not None:
            return say("skipped.per_channel")
        return say("skipped.powers") if self.case.target.activations.power_of_two else None

    def summary(self) -> Message:
        """How much of the error before is left, and how far ranges moved."""
        widest = max((abs(m) for m in self.moved), default=0.0)
        return say(
            "ledger.reconstruction",
            blocks=str(len(self.losses)),
            share=median_left(self.losses),
            ranges=str(len(self.moved)),
            most=f"{np.expm1(widest):.0%}",
        )


def _batches(block: Block, samples: int) -> list[tuple[Entry, torch.Tensor]]:
    """Pairs of what enters and leaves in a step: of large feature maps fewer samples do."""
    pairs: list[tuple[Entry, torch.Tensor]] = []
    for entry, target in zip(block.inputs, block.targets, strict=True):
        most = max(entry.x.numel(), target.numel()) // max(len(target), 1)
        each = max(min(samples, _VALUES // max(most, 1)), 1)
        entries = entry.split(each)
        targets = torch.split(target, len(target) if len(entries) == 1 else each)
        pairs += zip(entries, targets, strict=True)
    return pairs
