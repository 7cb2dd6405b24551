"""Bias correction: each layer's bias takes up the mean error of its outputs.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.2; the empirical form
    of appendix D: layer by layer, with everything before quantized and corrected.
"""

from collections.abc import Sequence
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.data import Source
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Effort, Stage, left
from lostbits.runtime.layer import Layer
from lostbits.runtime.layerwise import Crew, sweep
from lostbits.runtime.progress import Progress


@final
class BiasCorrection:
    """Takes the mean error of every output channel to zero on the calibration samples."""

    name = "bias_correction"
    title = "biases take up the mean error of every output channel"
    source = "Nagel et al. 2019, arXiv:1906.04721"
    stage: Stage = "weights"
    keeps_function = False
    passes = 15.0
    alone = False

    def predict(self, case: Case, diagnosed: Diagnosed) -> float:
        """The constant part of the error of an average layer, weighted by the layer's error."""
        return left(1 - diagnosed.constant_share)

    def propose(
        self, case: Case, source: Source, diagnosed: Diagnosed, effort: Effort, progress: Progress
    ) -> Change:
        """One sweep over the layers, weights as they are."""
        written = sweep(case, source, _Keep(), pool=effort.pool, progress=progress)
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

    def solve(self, layer: Layer, found: Sequence[None], crew: Crew) -> None:
        """As the plan rounds them."""
