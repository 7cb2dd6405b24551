"""Cross-layer equalization: neighbouring layers share out the ranges of their channels.

With one scale for a whole weight, a channel of small weights is left with a few levels. A factor
per channel, taken out of one layer and put into the next, changes no output; chosen as
``s = sqrt(r1 / r2)`` it gives both the same range ``sqrt(r1 r2)``. Pairs are swept over until
nothing moves; along a chain through a depthwise convolution all ranges become equal.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.1 and appendix A.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.channels.equal_ranges import SETTLED, equal_ranges
from lostbits.channels.layer_pairs import Bound, find_chains
from lostbits.channels.rounding_cost import Junction, rescaling_ratios
from lostbits.channels.weights import Weights, bound_channels, drop_bound, layers_of, output_ranges
from lostbits.language import Message, say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage

Doubles = NDArray[np.float64]
_MARGIN = 0.9  # a bound counts as never met when calibration stays below this part of it


@final
@dataclass(frozen=True, kw_only=True)
class Equalization(Rewriting):
    """Rescales the channels between neighbouring layers until both have equal weight ranges.

    A bounded activation (ReLU6) becomes a Relu where calibration never comes near the bound, and
    gets one bound per channel elsewhere. The former is the same function on data like those of
    the calibration only, so nothing is promised unless ``drop_bounds`` is off.

    Attributes:
        drop_bounds: Whether a bound that calibration never comes near may go.
    """

    name: ClassVar[str] = "equalization"
    title: ClassVar[str] = (
        "channel ranges of neighbouring layers made equal (cross-layer equalization)"
    )
    source: ClassVar[str] = "Nagel et al. 2019, arXiv:1906.04721"
    stage: ClassVar[Stage] = "network"
    drop_bounds: bool = True

    @property
    def keeps_function(self) -> bool:
        """Only with all bounds."""
        return not self.drop_bounds

    def consider(self, case: Case) -> "_Equalized":
        """Factors for all chains; needs no data but the ranges seen before."""
        return _Equalized(case, self.drop_bounds)


@final
@dataclass(frozen=True)
class _Equalized:
    """Answers for one case."""

    case: Case
    drop_bounds: bool

    @cached_property
    def solution(self) -> "_Solution":
        """Solved when it is first needed: scales per channel have nothing to win by it."""
        return _Solution(self.case)

    def gain(self, diagnosed: Diagnosed) -> float:
        """What less rounding error of the weights in chains is worth, by their attribution."""
        if self.case.target.weights.per_channel:
            return 0.0
        ratios = rescaling_ratios(
            [Junction.of(pair) for pair in self.solution.pairs],
            self.solution.factors,
            self.solution.weights,
            {key: seen.channels for key, seen in self.case.seen.items()},
        )
        return diagnosed.rounding_gain_db(ratios)

    def change(self) -> Change:
        """The factors folded in."""
        solution, name = self.solution, Equalization.name
        if solution.largest < np.exp(SETTLED):
            why = "equal" if solution.pairs else "alone"
            return Change(name, say(f"ledger.equalization_{why}"), skipped=solution.skipped)
        model = self.case.model.clone()
        solution.weights.store(model)
        summary = solution.summary(self._bounds_moved(model.graph))
        return Change(name, summary, model=model, skipped=solution.skipped)

    def _bounds_moved(self, graph: ir.Graph) -> int:
        """Give every bounded activation its new bounds; how many bounds were dropped instead."""
        dropped = 0
        for pair, factors in zip(self.solution.pairs, self.solution.factors, strict=True):
            if pair.bound is None:
                continue
            if self.drop_bounds and never_met(pair.bound, self.case):
                drop_bound(graph, pair.bound)
                dropped += 1
            else:
                bound_channels(graph, pair.bound, pair.bound.upper / factors)
        return dropped


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
        bounds = say("ledger.equalization_bounds", all=str(bounded), kept=str(bounded - dropped))
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
