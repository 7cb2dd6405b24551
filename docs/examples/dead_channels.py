"""A recovery: weights that only ever multiply zeros are set to zero."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
import onnx_ir as ir

from lostbits.case import Case, constant_of
from lostbits.graph.site import Site
from lostbits.grid import Array
from lostbits.language import verbatim
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage


@final
@dataclass(frozen=True)
class DeadChannels(Rewriting):
    """Clears the weights of convolutions whose input channel was zero on every sample.

    Such weights compute nothing, but their size may set the scale of all the others. On data that
    wake the channel the function changes, hence nothing is promised.
    """

    name: ClassVar[str] = "dead_channels"
    title: ClassVar[str] = "weights behind channels that are always zero are cleared"
    source: ClassVar[str] = "own"
    stage: ClassVar[Stage] = "network"

    def consider(self, case: Case) -> "_Cleared":
        """Needs nothing but the weights, and what calibration has seen."""
        return _Cleared(case)


@final
@dataclass(frozen=True)
class _Cleared:
    """The answer for one case."""

    case: Case

    @cached_property
    def weights(self) -> dict[Site, Array]:
        """Found once, for the gain and for the change."""
        return _cleared(self.case)

    def gain(self, diagnosed: Diagnosed) -> float:
        """What shorter steps of those weights are worth, by their attribution."""
        ratios = {}
        for site, cleared in self.weights.items():
            before = np.ptp(constant_of(self.case.model, site))
            ratios[site.key] = float(np.ptp(cleared) / before) ** 2  # errors go with the step
        return diagnosed.rounding_gain_db(ratios)

    def change(self) -> Change:
        """A copy of the network with the cleared weights; the case stays as it is."""
        name = DeadChannels.name
        if not self.weights:
            return Change(name, verbatim("no channel is always zero"))
        model = self.case.model.clone()
        for site, weight in self.weights.items():
            tensor = ir.tensor(weight, name=site.tensor)
            model.graph.initializers[site.tensor].const_value = tensor
        summary = verbatim(f"cleared channels of {len(self.weights)} weights")
        return Change(name, summary, model=model)


def _cleared(case: Case) -> dict[Site, Array]:
    """The new weights, by site, of convolutions with a dead input channel."""
    found = {}
    weights = {s.node: s for s in case.sites if s.role == "weight"}
    for node in case.model.graph:
        site = weights.get(str(node.name))
        seen = case.seen.get(f"{node.inputs[0].name}:activation") if node.inputs[0] else None
        if node.op_type != "Conv" or site is None or seen is None:
            continue
        dead = (seen.channels.lo == 0) & (seen.channels.hi == 0)
        weight = constant_of(case.model, site).copy()
        depthwise = node.attributes.get_int("group", 1) == dead.size == len(weight)
        if depthwise:
            weight[dead] = 0
        elif weight.shape[1] == dead.size:
            weight[:, dead] = 0
        if dead.any():
            found[site] = weight
    return found
