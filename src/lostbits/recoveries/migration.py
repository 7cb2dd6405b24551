"""SmoothQuant: activation outliers migrate into the weights that read them.

One scale must do for all channels of an activation, so a few with large values leave the others a
few levels. Dividing channel j by ``s_j = max|X_j|^a / max|W_j|^(1-a)`` and multiplying the weights
that read it shares the difficulty out between the two. The division costs nothing where what
writes the tensor takes it up: the linear layer before, or the gain of a normalization. Elsewhere,
where the platform computes the tensor in float, a Mul divides it for these layers alone.

How far to go depends on the layer: each takes the strength with the least forecast error of its
outputs.

References:
    Xiao et al., SmoothQuant, 2022, arXiv:2211.10438, equations 3 and 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.channels.divided import find_divisible
from lostbits.channels.layer_pairs import find_chains
from lostbits.channels.norm_gains import find_norms
from lostbits.channels.rounding_cost import Junction, rescaling_ratios
from lostbits.channels.smoothing import Operands, best_smoothing, power_of, smoothing
from lostbits.channels.weights import Weights, bound_channels, input_ranges, layers_of
from lostbits.language import Message, say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage

Doubles = NDArray[np.float64]
_NOTHING = 1e-3  # largest |log s| that is not worth a change


@final
@dataclass(frozen=True, kw_only=True)
class Migration(Rewriting):
    """Divides the channels of activations by what evens them out against their readers' weights.

    Attributes:
        strength: The exponent ``a``; 1 makes all channels of an activation equal, 0 those of the
            weights. None chooses one for each tensor.
    """

    name: ClassVar[str] = "migration"
    title: ClassVar[str] = "activation outliers moved into the weights that read them (SmoothQuant)"
    source: ClassVar[str] = "Xiao et al. 2022, arXiv:2211.10438"
    stage: ClassVar[Stage] = "network"
    strength: float | None = None

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

    def __init__(self, case: Case, strength: float | None) -> None:
        self.case = case
        chains, norms = find_chains(case.model), find_norms(case.model)
        chained = {layer.node: layer for layer in layers_of(chains.pairs)}
        behind = {reader.node: reader for norm in norms for reader in norm.readers}
        known = [*(n.tensor for n in norms), *(p.tensors[-1] for p in chains.pairs)]
        free = list(find_divisible(case.model, case.target.placement, case.sites, known))
        apart = {reader.node: reader for each in free for reader in each.readers}
        self.skipped = dict(chains.skipped)
        self.weights = Weights(case.model, {**apart, **behind, **chained}.values())
        self.channels = {key: seen.channels for key, seen in case.seen.items()}
        self.junctions: list[Junction] = []
        self.factors: list[Doubles] = []
        solved = [(n, self._solve(Junction(n.tensor, None, n.readers), strength)) for n in norms]
        self.norms = [(norm, f) for norm, f in solved if f is not None]
        linked = [(p, self._solve(Junction.of(p), strength)) for p in chains.pairs]
        self.pairs = [(pair, f) for pair, f in linked if f is not None]
        alone = [(d, self._solve(Junction(d.tensor, None, d.readers), strength)) for d in free]
        self.divided = [(d, f) for d, f in alone if f is not None and _matters(f)]

    def _solve(self, junction: Junction, strength: float | None) -> Doubles | None:
        """The factors, which the weights have taken up; None without statistics."""
        peaks = junction.peaks(self.channels)
        if peaks is None:
            self.skipped[junction.tensor] = say("skipped.statistics")
            return None
        readers = [self.weights.blocks[reader.node] for reader in junction.readers]
        ranges = np.max([input_ranges(w) for w in readers], axis=0)
        if strength is None:
            factors = best_smoothing(self._operands(junction, readers), peaks, ranges)
        else:
            factors = smoothing(peaks, ranges, strength)
        if junction.writer is not None:
            self.weights.divide(junction.writer, factors)
        for reader in junction.readers:
            self.weights.scale_columns(reader, factors)
        self.junctions.append(junction)
        self.factors.append(factors)
        return factors

    def _operands(self, junction: Junction, readers: Sequence[Doubles]) -> Operands:
        """What meets at the layers behind a junction."""
        rules, seen, reader = self.case.target, self.channels[junction.key], junction.readers[0]
        shape = (reader.outer, -1, reader.inner)
        return Operands(
            seen.lo.reshape(shape).min(axis=(0, 2)),
            seen.hi.reshape(shape).max(axis=(0, 2)),
            power_of(seen).reshape(shape).mean(axis=(0, 2)),
            readers,
            (2**rules.activations.grid.bits - 1, 2 ** (rules.weights.grid.bits - 1) - 1),
            symmetric=rules.activations.symmetric,
            per_row=rules.weights.per_channel,
        )

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
        for each, factors in self.divided:
            each.divide(model.graph, factors)
        summary = self._summary(f"{np.exp(largest):.3g}")
        return Change(Migration.name, summary, model=model, skipped=self.skipped)

    def _summary(self, most: str) -> Message:
        count, norms = str(sum(map(_matters, self.factors))), str(len(self.norms))
        folded = say("ledger.migration", count=count, norms=norms, most=most)
        if not self.divided:
            return folded
        sites = {s.tensor: s for s in self.case.sites if s.streams}
        values = self.case.values([sites[each.tensor] for each, _ in self.divided])
        muls = str(len(self.divided))
        return say("ledger.migration_muls", text=folded, muls=muls, values=f"{values:.0f}")


def _matters(factors: Doubles) -> bool:
    return float(np.abs(np.log(factors)).max()) >= _NOTHING
