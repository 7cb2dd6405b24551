"""Cross-layer equalization: neighbouring layers share out the ranges of their channels.

With one scale for a whole weight, a channel of small weights is left with a few levels. A factor
per channel, taken out of one layer and put into the next, changes no output; chosen as
``s = sqrt(r1 / r2)`` it gives both the same range ``sqrt(r1 r2)``. Pairs are swept over until
nothing moves; along a chain through a depthwise convolution all ranges become equal.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.1 and appendix A.
"""

from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.chains import Bound, find_chains
from lostbits.graph.equal_ranges import SETTLED, equal_ranges
from lostbits.graph.noise import Junction, rescaling_ratios
from lostbits.graph.rescale import Weights, bound_channels, drop_bound, layers_of, output_ranges
from lostbits.language import Message, say
from lostbits.recovery import ANEW, Change, Diagnosed, Effort, Stage
from lostbits.runtime.progress import Progress

Doubles = NDArray[np.float64]
_MARGIN = 0.9  # a bound counts as never met when calibration stays below this part of it


@final
class Equalization:
    """Rescales the channels between neighbouring layers until both have equal weight ranges.

    A bounded activation (ReLU6) becomes a Relu where calibration never comes near the bound, and
    gets one bound per channel elsewhere. The former is the same function on data like those of
    the calibration only, so nothing is promised unless ``drop_bounds`` is off.
    """

    name = "equalization"
    title = "channel ranges of neighbouring layers made equal (cross-layer equalization)"
    source = "Nagel et al. 2019, arXiv:1906.04721"
    stage: Stage = "network"
    passes = ANEW
    alone = False

    def __init__(self, *, drop_bounds: bool = True) -> None:
        self.drop_bounds = drop_bounds
        self.keeps_function = not drop_bounds

    def predict(self, case: Case, diagnosed: Diagnosed) -> float:
        """What less rounding error of the weights in chains is worth, by their attribution."""
        if case.target.weights.per_channel:
            return 0.0
        solution = _Solution(case)
        ratios = rescaling_ratios(
            [Junction.of(pair) for pair in solution.pairs],
            solution.factors,
            solution.weights,
            {key: seen.channels for key, seen in case.seen.items()},
        )
        return diagnosed.rounding_gain_db(ratios)

    def propose(
        self, case: Case, source: Source, diagnosed: Diagnosed, effort: Effort, progress: Progress
    ) -> Change:
        """Solve for the factors, and fold them in; needs no data but the ranges seen before."""
        solution = _Solution(case)
        if solution.largest < np.exp(SETTLED):
            why = "equal" if solution.pairs else "alone"
            return Change(self.name, say(f"ledger.equalization_{why}"), skipped=solution.skipped)
        model, dropped = case.model.clone(), 0
        solution.weights.store(model)
        for pair, factors in zip(solution.pairs, solution.factors, strict=True):
            if pair.bound is None:
                continue
            if self.drop_bounds and never_met(pair.bound, case):
                drop_bound(model.graph, pair.bound)
                dropped += 1
            else:
                bound_channels(model.graph, pair.bound, pair.bound.upper / factors)
        summary = solution.summary(dropped)
        return Change(self.name, summary, model=model, skipped=solution.skipped)


def never_met(bound: Bound, case: Case) -> bool:
    """Whether calibration has seen the Clip's output, and stayed below its bound by a margin."""
    seen = case.seen.get(f"{bound.tensor}:activation")
    highest = np.inf if seen is None else float(seen.whole.hi.max())
    return bound.rectifies and highest <= _MARGIN * bound.upper


@final
class _Solution:
    """The factors of every pair, and the weights with them."""

    def __init__(self, case: Case) -> None:
        chains = find_chains(case.model)
        self.pairs, self.skipped = chains.pairs, chains.skipped
        self.weights = Weights(case.model, layers_of(self.pairs))
        self.factors = equal_ranges(self.pairs, self.weights.before)
        for pair, factors in zip(self.pairs, self.factors, strict=True):
            self.weights.rescale(pair, factors)

    @property
    def largest(self) -> float:
        """The factor farthest from 1, or its inverse."""
        return max((float(np.exp(np.abs(np.log(f)).max())) for f in self.factors), default=1.0)

    def summary(self, dropped: int) -> Message:
        """How far the channels were apart, and how far they are now."""
        bounded = sum(p.bound is not None for p in self.pairs)
        sizes = np.concatenate([np.exp(np.abs(np.log(f))) for f in self.factors])
        spreads = [
            np.median([spread(blocks[p.first.node]) for p in self.pairs])
            for blocks in (self.weights.before, self.weights.blocks)
        ]
        bounds = say("ledger.equalization_bounds", all=str(bounded), dropped=str(dropped))
        return say(
            "ledger.equalization",
            pairs=str(len(self.pairs)),
            most=f"{sizes.max():.3g}",
            median=f"{np.median(sizes):.3g}",
            before=f"{spreads[0]:.3g}",
            after=f"{spreads[1]:.3g}",
            bounds=bounds if bounded else "",
        )


def spread(blocks: Doubles) -> float:
    """The widest output channel over the middle one, dead channels aside."""
    ranges = output_ranges(blocks)
    live = ranges[ranges > 0]
    return float(live.max() / np.median(live)) if live.size else 1.0
