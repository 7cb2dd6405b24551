"""SmoothQuant: activation outliers migrate into the weights that read them.

One scale must do for all channels of an activation, so a few with large values leave the others a
few levels. Dividing channel j by ``s_j = max|X_j|^a / max|W_j|^(1-a)`` and multiplying the weights
that read it shares the difficulty out between the two. The division costs nothing where what
writes the tensor takes it up: the linear layer before, or the gain of a normalization.

References:
    Xiao et al., SmoothQuant, 2022, arXiv:2211.10438, equations 3 and 4.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.channels.layer_pairs import find_chains
from lostbits.channels.norm_gains import find_norms
from lostbits.channels.rounding_cost import Junction, rescaling_ratios
from lostbits.channels.smoothing import smoothing
from lostbits.channels.weights import Weights, bound_channels, input_ranges, layers_of
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage

Doubles = NDArray[np.float64]
_NOTHING = 1e-3  # largest |log s| that is not worth a change


@final
@dataclass(frozen=True, kw_only=True)
class Migration(Rewriting):
    """Divides the channels of activations by what evens them out against their readers' weights.

    Attributes:
        strength: The exponent ``a``; 1 makes all channels of an activation equal, 0 those of the
            weights.
    """

    name: ClassVar[str] = "migration"
    title: ClassVar[str] = "activation outliers moved into the weights that read them (SmoothQuant)"
    source: ClassVar[str] = "Xiao et al. 2022, arXiv:2211.10438"
    stage: ClassVar[Stage] = "network"
    strength: float = 0.5

    @property
    def keeps_function(self) -> bool:
        """A factor that is taken out is put in."""
        return True

    def consider(self, case: Case) -> "_Solution":
        """Factors for all chains and normalizations, from the ranges seen before."""
        return _Solution(case, self.strength)


@final
class _Solution:
    """The factors of every tensor that a layer or a normalization can divide, and the weights."""

    def __init__(self, case: Case, strength: float) -> None:
        self.case = case
        chains, norms = find_chains(case.model), find_norms(case.model)
        chained = {layer.node: layer for layer in layers_of(chains.pairs)}
        behind = {reader.node: reader for norm in norms for reader in norm.readers}
        self.skipped = dict(chains.skipped)
        self.weights = Weights(case.model, {**behind, **chained}.values())
        self.channels = {key: seen.channels for key, seen in case.seen.items()}
        self.junctions: list[Junction] = []
        self.factors: list[Doubles] = []
        solved = [(n, self._solve(Junction(n.tensor, None, n.readers), strength)) for n in norms]
        self.norms = [(norm, f) for norm, f in solved if f is not None]
        linked = [(p, self._solve(Junction.of(p), strength)) for p in chains.pairs]
        self.pairs = [(pair, f) for pair, f in linked if f is not None]

    def _solve(self, junction: Junction, strength: float) -> Doubles | None:
        """The factors, which the weights have taken up; None without statistics."""
        peaks = junction.peaks(self.channels)
        if peaks is None:
            self.skipped[junction.tensor] = say("skipped.statistics")
            return None
        readers = [self.weights.blocks[reader.node] for reader in junction.readers]
        factors = smoothing(peaks, np.max([input_ranges(w) for w in readers], axis=0), strength)
        if junction.writer is not None:
            self.weights.divide(junction.writer, factors)
        for reader in junction.readers:
            self.weights.scale_columns(reader, factors)
        self.junctions.append(junction)
        self.factors.append(factors)
        return factors

    def gain(self, diagnosed: Diagnosed) -> float:
        """What less rounding error of activations and weights is worth, by their attribution."""
        per_row = self.case.target.weights.per_channel
        ratios = rescaling_ratios(
            self.junctions, self.factors, self.weights, self.channels, per_row=per_row
        )
        return diagnosed.rounding_gain_db(ratios)

    def change(self) -> Change:
        """The factors folded in."""
        largest = max((float(np.abs(np.log(f)).max()) for f in self.factors), default=0.0)
        if largest < _NOTHING:
            return Change(Migration.name, say("ledger.migration_none"), skipped=self.skipped)
        model = self.case.model.clone()
        self.weights.store(model)
        for pair, factors in self.pairs:
            if pair.bound is not None:
                bound_channels(model.graph, pair.bound, pair.bound.upper / factors)
        for norm, factors in self.norms:
            norm.divide(model.graph, factors)
        summary = say(
            "ledger.migration",
            count=str(len(self.factors)),
            norms=str(len(self.norms)),
            most=f"{np.exp(largest):.3g}",
        )
        return Change(Migration.name, summary, model=model, skipped=self.skipped)
