"""SmoothQuant: activation outliers migrate into the weights that read them.

One scale must do for all channels of an activation, so a few with large values leave the others a
few levels. Dividing channel j by ``s_j = max|X_j|^a / max|W_j|^(1-a)`` and multiplying the weights
that read it shares the difficulty out between the two. The division costs nothing where what
writes the tensor takes it up: the linear layer before, or the gain of a normalization.

References:
    Xiao et al., SmoothQuant, 2022, arXiv:2211.10438, equations 3 and 4.
"""

from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.chains import find_chains
from lostbits.graph.noise import Junction, rescaling_ratios
from lostbits.graph.norms import find_norms
from lostbits.graph.rescale import Weights, bound_channels, input_ranges, layers_of
from lostbits.language import say
from lostbits.recovery import ANEW, Change, Diagnosed, Effort, Stage
from lostbits.runtime.progress import Progress

Doubles = NDArray[np.float64]
_MOST = 8 * np.log(2)  # a channel beyond would have all 8 bits of a grid to itself
_NOTHING = 1e-3  # largest |log s| that is not worth a change


@final
class Migration:
    """Divides the channels of activations by what evens them out against their readers' weights.

    Args:
        strength: The exponent ``a``; 1 makes all channels of an activation equal, 0 those of the
            weights.
    """

    name = "migration"
    title = "activation outliers moved into the weights that read them (SmoothQuant)"
    source = "Xiao et al. 2022, arXiv:2211.10438"
    stage: Stage = "network"
    keeps_function = True
    passes = ANEW
    alone = False

    def __init__(self, *, strength: float = 0.5) -> None:
        self.strength = strength

    def predict(self, case: Case, diagnosed: Diagnosed) -> float:
        """What less rounding error of activations and weights is worth, by their attribution."""
        return diagnosed.rounding_gain_db(_Solution(case, self.strength).ratios(case))

    def propose(
        self, case: Case, source: Source, diagnosed: Diagnosed, effort: Effort, progress: Progress
    ) -> Change:
        """Fold the factors in; needs no data but the ranges seen before."""
        solution = _Solution(case, self.strength)
        largest = max((float(np.abs(np.log(f)).max()) for f in solution.factors), default=0.0)
        if largest < _NOTHING:
            return Change(self.name, say("ledger.migration_none"), skipped=solution.skipped)
        model = case.model.clone()
        solution.weights.store(model)
        for pair, factors in solution.pairs:
            if pair.bound is not None:
                bound_channels(model.graph, pair.bound, pair.bound.upper / factors)
        for norm, factors in solution.norms:
            norm.divide(model.graph, factors)
        summary = say(
            "ledger.migration",
            count=str(len(solution.factors)),
            norms=str(len(solution.norms)),
            most=f"{np.exp(largest):.3g}",
        )
        return Change(self.name, summary, model=model, skipped=solution.skipped)


@final
class _Solution:
    """The factors of every tensor that a layer or a normalization can divide, and the weights."""

    def __init__(self, case: Case, strength: float) -> None:
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

    def ratios(self, case: Case) -> dict[str, float]:
        """Rounding error after over before, by site key."""
        per_row = case.target.weights.per_channel
        return rescaling_ratios(
            self.junctions, self.factors, self.weights, self.channels, per_row=per_row
        )


def smoothing(peaks: Doubles, ranges: Doubles, strength: float) -> Doubles:
    """``max|X_j|^a / max|W_j|^(1-a)``, with a geometric mean of 1: a common factor does nothing.

    Channels that are dead in the data or in the weights stay.

    >>> smoothing(np.array([1.0, 16.0]), np.array([1.0, 1.0]), 0.5)
    array([0.5, 2. ])
    """
    live = (peaks > 0) & (ranges > 0)
    logs = np.zeros(peaks.shape)
    logs[live] = strength * np.log(peaks[live]) - (1 - strength) * np.log(ranges[live])
    logs[live] -= logs[live].mean() if live.any() else 0.0
    return np.asarray(np.exp(np.clip(logs, -_MOST, _MOST)))
