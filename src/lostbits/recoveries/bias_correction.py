"""Bias correction: each layer's bias takes up the mean error of its outputs.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.2; the empirical form
    of appendix D: layer by layer, with everything before quantized and corrected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lostbits.case import Case
from lostbits.language import say
from lostbits.recovery import Change, Context, Diagnosed, Stage, Sweeping, left, sweep_cost
from lostbits.sweep.layer import Layer
from lostbits.sweep.layers import OpenJob, sweep


@final
@dataclass(frozen=True, kw_only=True)
class BiasCorrection(Sweeping):
    """Takes the mean error of every output channel to zero on the calibration samples."""

    name: ClassVar[str] = "bias_correction"
    title: ClassVar[str] = "biases take up the mean error of every output channel"
    source: ClassVar[str] = "Nagel et al. 2019, arXiv:1906.04721"
    stage: ClassVar[Stage] = "weights"

    def cost(self, case: Case) -> float:
        """One sweep."""
        return sweep_cost(case)

    def gain(self, diagnosed: Diagnosed) -> float:
        """The constant part of the error of an average layer, weighted by the layer's error."""
        return left(1 - diagnosed.constant_share)

    def change(self, case: Case, context: Context) -> Change:
        """One sweep over the layers, weights as they are."""
        effort, progress = context.effort, context.progress
        written = sweep(
            case,
            context.source,
            _Keep(),
            pool=effort.pool,
            progress=progress,
            deadline=effort.deadline,
        )
        known = case.written
        biases = sum(
            tensor not in known or not np.array_equal(values, known[tensor])
            for tensor, values in written.constants.items()
        )
        return Change(
            self.name,
            say("ledger.bias_correction", count=str(biases)),
            written.constants,
            skipped=written.skipped,
        )


@final
class _Keep:
    """Leaves all weights as they are."""

    whole = False
    apart = False

    def look(self, layer: Layer) -> None:
        """Nothing."""

    def solve(self, layer: Layer, found: Sequence[None], job: OpenJob) -> None:
        """As the plan rounds them."""
