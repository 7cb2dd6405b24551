"""Input channels of unlike size, divided before the network.

Metres beside centimetres in one input have one scale, and the centimetres get a code or two. The
channels are divided by constants in the preprocessing, or in float in front of the network, and
the first weights take the inverse up: an exact rewrite, by powers of two.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

from lostbits.case import Case
from lostbits.channels.input_scales import ScaledInput
from lostbits.channels.rounding_cost import Junction, rescaling_ratios
from lostbits.channels.weights import Weights
from lostbits.diagnoses.scale_remedies import inputs_of
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage

# Where the platform has no float in front of the network, the user has to divide: not for little.
_WORTH_ASKING = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class InputScaling(Rewriting):
    """Divides the channels of inputs that linear layers read; their weights take it up."""

    name: ClassVar[str] = "input_scaling"
    title: ClassVar[str] = "channels of an input made alike before the network"
    source: ClassVar[str] = "Xiao et al. 2022, arXiv:2211.10438, equation 4, for an input"
    stage: ClassVar[Stage] = "scales"

    @property
    def keeps_function(self) -> bool:
        """A factor that is taken out is put in."""
        return True

    def consider(self, case: Case) -> "_Solution":
        """Factors from the ranges seen before."""
        return _Solution(case)


@final
@dataclass(frozen=True)
class _Solution:
    """Answers for one case."""

    case: Case

    @cached_property
    def inputs(self) -> list[ScaledInput]:
        """Those that can be divided."""
        return inputs_of(self.case)

    def gain(self, diagnosed: Diagnosed) -> float:
        """What less rounding error of inputs and weights is worth, by their attribution."""
        gain = diagnosed.rounding_gain_db(self._ratios())
        host = self.case.target.placement.mode == "tensors"
        return 0.0 if host and gain < _WORTH_ASKING else gain

    def _ratios(self) -> dict[str, float]:
        layers = {layer.node: layer for each in self.inputs for layer in each.readers}
        weights = Weights(self.case.model, layers.values())
        for each in self.inputs:
            for layer in each.readers:
                weights.scale_columns(layer, each.factors)
        return rescaling_ratios(
            [Junction(each.tensor, None, each.readers) for each in self.inputs],
            [each.factors for each in self.inputs],
            weights,
            {key: seen.channels for key, seen in self.case.seen.items()},
            per_row=self.case.target.weights.per_channel,
        )

    def change(self) -> Change:
        """The network with a division in front."""
        if not self.inputs:
            return Change(InputScaling.name, say("ledger.input_scaling_none"))
        model = self.case.model.clone()
        for each in self.inputs:
            each.store(model)
        most = max(float(each.factors.max() / each.factors.min()) for each in self.inputs)
        named = ", ".join(each.tensor for each in self.inputs)
        summary = say("ledger.input_scaling", tensors=named, most=f"{most:.4g}")
        return Change(InputScaling.name, summary, model=model)
