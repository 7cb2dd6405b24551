"""Factors of all channels at once, chosen by what rounding costs at the output.

Cross-layer equalization makes weights equal and looks at nothing else: activations pay for it. Here
the factors of all linear paths, residual streams included, are those with the least noise of
activations and weights together, as noise gains predict it. The float network stays what it is: a
bounded activation gets a bound of its own for each channel, or no factor.

References:
    Nagel et al., 2019, arXiv:1906.04721 (factors between neighbouring layers). Kingma and Ba, 2014,
    arXiv:1412.6980 (the search).
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.channels.streams import Stream, find_streams, rescaled
from lostbits.language import say
from lostbits.plan.factor_noise import STEPS, FactorNoise
from lostbits.recovery import STEP, Change, Context, Diagnosed, Stage, Sweeping, left, walk_cost

_LEFT = 0.1  # part of the weights' noise that second-order rounding leaves
# Part of the error of each role that stays, said before anything is solved. Of weights less may:
# where they have one scale, channels of unlike size cost most of it.
_STAYS = {"activation": 0.8, "weight": 0.4}
_LOOKED_AT, _PASSES = 16, 14  # samples, and passes of each, with gains of weights
_A_WEIGHT = 2.5  # operations that a step takes for a weight, forward and backward
_STEADY = 1e3  # variances in epsilons: factors change an output by a part of 5e-4 at most
_LEAST = 0.05  # dB: less is not worth another form of the network


@final
@dataclass(frozen=True, kw_only=True)
class JointFactors(Sweeping):
    """Rescales the channels of all linear paths and residual streams for the least noise.

    Attributes:
        left: Part of the weights' rounding noise that later rounding is expected to leave.
    """

    name: ClassVar[str] = "joint_factors"
    title: ClassVar[str] = "channel factors of all layers and residual streams by noise gains"
    source: ClassVar[str] = "Nagel et al. 2019, arXiv:1906.04721; the objective is our own"
    stage: ClassVar[Stage] = "network"
    left: float = _LEFT

    @property
    def keeps_function(self) -> bool:
        """Factors that are put in are taken out, and every bound moves with them."""
        return True

    def cost(self, case: Case) -> float:
        """Noise gains of few samples, and a search that looks at all weights in every step."""
        weights = [s.key for s in case.sites if s.role == "weight" and s.key in case.seen]
        sizes = [case.seen[key].whole.size for key in weights]
        search = STEPS * (len(sizes) * STEP + _A_WEIGHT * sum(sizes))
        return _PASSES * walk_cost(case, min(_LOOKED_AT, case.samples)) + search

    def gain(self, diagnosed: Diagnosed) -> float:
        """By parts of what activations and weights cost; the solution says it better."""
        won = sum((1 - stays) * diagnosed.share(role) for role, stays in _STAYS.items())
        return left(1 - min(won, 1 - min(_STAYS.values())))

    def change(self, case: Case, context: Context) -> Change:
        """The factors folded in, with what they are predicted to win."""
        streams = [s for s in find_streams(case.model) if self._allowed(case, s)]
        if not streams:
            return Change(self.name, say("ledger.factors_none"))
        gains = context.gains(case, weights=True)
        if gains.opaque:
            return Change(
                self.name, say("ledger.factors_opaque", nodes=", ".join(gains.opaque[:3]))
            )
        found = FactorNoise(case, gains, streams, self.left).least(context.effort.deadline)
        if found.gain_db < _LEAST:
            return Change(self.name, say("ledger.factors_none"), predicted_gain_db=found.gain_db)
        pairs = [(s, _grown(s, f)) for s, f in zip(streams, found.each, strict=True)]
        most = max(float(np.exp(np.abs(np.log(f)).max())) for f in found.each)
        bounds = sum(bool(np.ptp(f)) * len(s.bounds) for s, f in pairs)
        summary = say(
            "ledger.factors",
            count=str(len(streams)),
            most=f"{most:.3g}",
            bounds=str(bounds),
        )
        model = rescaled(case.model, pairs)
        return Change(self.name, summary, model=model, predicted_gain_db=found.gain_db)

    @staticmethod
    def _allowed(case: Case, stream: Stream) -> bool:
        """Bounds by channel cost a node each: weights of one scale are worth it, others not.

        A normalization forgets factors as far as what it adds to the variance is nothing beside it.
        """
        if stream.bounds and case.target.weights.per_channel:
            return False
        return all(_variance(case, norm.tensor) >= _STEADY * norm.epsilon for norm in stream.norms)


def _variance(case: Case, tensor: str) -> float:
    """The least of a tensor's channels; 0 where nothing is known of them."""
    keys = (site.key for site in case.sites if site.tensor == tensor and site.streams)
    found = [case.seen[key].channels.variances for key in keys if key in case.seen]
    return min((float(v.min(initial=np.inf)) for v in found), default=0.0)


def _grown(stream: Stream, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors of at least one before a normalization, whose epsilon then matters less."""
    return factors / factors.min() if stream.norms else factors
