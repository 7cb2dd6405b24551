"""Outlier channel splitting: the largest weights are halved, in two copies of their channel.

A range that a few weights chunk leaves the others a few levels. Where the channel that holds
the largest one is written twice and read in two halves, the function stays and the range shrinks.
The halves lie a quarter of a step to both sides of ``w / 2``, so that their codes add up to the
code that the whole weight would have on the new grid.

References:
    Zhao et al., 2019, arXiv:1901.09504, sections 3.2 and 3.3.
"""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.channels.duplicate import Duplication, outliers, split_all
from lostbits.channels.layer_pairs import Pair, find_chains
from lostbits.grid import affine_from_range
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage
from lostbits.target import Rule

Doubles = NDArray[np.float64]
_CLEAR = 0.98  # a range that shrinks less is not worth more channels
_ROUNDS = 4  # the step that the halves are moved by is that of the halves; settles at once


@final
@dataclass(frozen=True, kw_only=True)
class Splitting(Rewriting):
    """Splits the input channels with the largest weights of every layer that allows it.

    Attributes:
        expansion: Channels added to a layer, as a part of those it has; at least one.
    """

    name: ClassVar[str] = "splitting"
    title: ClassVar[str] = (
        "channels with the largest weights split in two (outlier channel splitting)"
    )
    source: ClassVar[str] = "Zhao et al. 2019, arXiv:1901.09504"
    stage: ClassVar[Stage] = "network"
    expansion: float = 0.02

    @property
    def keeps_function(self) -> bool:
        """Two halves add up to the whole."""
        return True

    def consider(self, case: Case) -> "_Split":
        """Channels of all chains; ranges of weights are those of the weights."""
        return _Split(case, self.expansion)


@final
class _Split:
    """What is split.

    Attributes:
        ratios: Squares of the steps, after over before, by site key of the weight.
        split: How many channels.
        skipped: Reasons, by tensor.
    """

    def __init__(self, case: Case, expansion: float) -> None:
        self.model = case.model
        chains = find_chains(case.model)
        self.duplication = Duplication(case.model, chains)
        self.skipped = dict(chains.skipped)
        self.ratios: dict[str, float] = {}
        self.split = 0
        for pair in chains.pairs:
            refusal = self.duplication.refusal(pair)
            if refusal:
                self.skipped[pair.second.weight] = refusal
            else:
                self._split(pair, ceil(expansion * pair.channels), case.target.weights)

    def _split(self, pair: Pair, count: int, rule: Rule) -> None:
        blocks = self.duplication.weights.blocks[pair.second.node]
        chosen = outliers(blocks, count)
        before = step = steps(blocks, rule)
        for _ in range(_ROUNDS):
            step = steps(split_all(blocks, chosen, step / 4), rule)
        ratio = float(np.square(step).sum() / np.square(before).sum())
        if not ratio < _CLEAR**2:
            self.skipped[pair.second.weight] = say("skipped.not_out")
            return
        for channel in chosen:
            self.duplication.add(pair, channel, step / 4)
        self.ratios[f"{pair.second.weight}:weight"] = ratio
        self.split += count

    def gain(self, diagnosed: Diagnosed) -> float:
        """What shorter steps of the split weights are worth, by their attribution."""
        return diagnosed.rounding_gain_db(self.ratios)

    def change(self) -> Change:
        """The network with the channels twice."""
        if not self.ratios:
            return Change(Splitting.name, say("ledger.splitting_none"), skipped=self.skipped)
        model = self.model.clone()
        self.duplication.store(model)
        steps = np.sqrt(list(self.ratios.values()))
        summary = say(
            "ledger.splitting",
            channels=str(self.split),
            weights=str(len(self.ratios)),
            share=f"{np.median(steps):.0%}",
            growth=f"{self.growth:.1%}",
        )
        return Change(Splitting.name, summary, model=model, skipped=self.skipped)

    @property
    def growth(self) -> float:
        """Weights added, as a part of those of all layers in chains."""
        weights = self.duplication.weights
        before, after = (sum(w.size for w in b.values()) for b in (weights.before, weights.blocks))
        return after / before - 1


def steps(blocks: Doubles, rule: Rule) -> Doubles:
    """Steps of a min-max grid over the weight, (outputs, 1) or (1, 1)."""
    axes = (0, 2, 3) if rule.per_channel else None
    lo, hi = blocks.min(axis=axes), blocks.max(axis=axes)
    scale = affine_from_range(lo, hi, rule.grid, symmetric=rule.symmetric).scale
    return scale.astype(np.float64).reshape(-1, 1)
