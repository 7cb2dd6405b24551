"""Weights and biases that suit the arithmetic of the target's kernels.

Nothing is tried where sums are as wide as they need, or no arithmetic is told.

References:
    ONNX Runtime, Quantize ONNX Models: reduce_range and U8U8 for processors without VNNI.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import ClassVar, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, constant_of
from lostbits.graph.integer_layers import integer_layers, result_of
from lostbits.graph.queries import node_name
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.kernels.reaches import LayerReach, layer_reaches
from lostbits.language import say
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage, left
from lostbits.runtime.simulation import quantized_model

_STAYS = 0.5  # of what sums cost, where their weights get coarser; by experience
_FEWEST_BITS = 4  # that a weight keeps
_SOURCE = "ONNX Runtime documentation, Quantize ONNX Models (reduce_range, U8U8)"


@final
@dataclass(frozen=True, kw_only=True)
class UnsignedWeights(Rewriting):
    """Unsigned codes for weights whose pairs of products can leave int16; the numbers stay."""

    name: ClassVar[str] = "unsigned_weights"
    title: ClassVar[str] = "unsigned weights where pairs of products leave int16"
    source: ClassVar[str] = _SOURCE
    stage: ClassVar[Stage] = "ranges"

    def consider(self, case: Case) -> "_Codes":
        """Every layer whose codes allow such a pair."""
        wishes = {
            s: Override(s.tensor, unsigned=True) for s, r in _leaving(case) if r.kind == "pairs"
        }
        return _Codes(self.name, case, wishes, 0.0)


@final
@dataclass(frozen=True, kw_only=True)
class FewerBits(Rewriting):
    """Weights of fewer bits, so that sums stay in the range of the kernel."""

    name: ClassVar[str] = "fewer_bits"
    title: ClassVar[str] = "fewer bits for weights whose sums leave the kernel's range"
    source: ClassVar[str] = _SOURCE
    stage: ClassVar[Stage] = "ranges"

    def consider(self, case: Case) -> "_Codes":
        """As many bits less as the codes ask, for any data."""
        wishes = {}
        for site, found in _leaving(case):
            bits = case.plan[site.key].grid.bits
            fewer = bits - ceil(log2(found.reach.packed / found.reach.limit))
            wishes[site] = Override(site.tensor, bits=max(fewer, _FEWEST_BITS))
        return _Codes(self.name, case, wishes, _STAYS)


@final
@dataclass(frozen=True, kw_only=True)
class HalfStep(Rewriting):
    """Half a step of the result in every bias, where kernels cut off towards minus infinity."""

    name: ClassVar[str] = "half_step"
    title: ClassVar[str] = "half a step in the biases, where kernels cut off instead of rounding"
    source: ClassVar[str] = "floor(x + 1/2) rounds to nearest"
    stage: ClassVar[Stage] = "ranges"

    def consider(self, case: Case) -> "_Shifted":
        """Every layer with a bias and a quantized result."""
        return _Shifted(case)


def _leaving(case: Case) -> Iterator[tuple[Site, LayerReach]]:
    """Weights of layers whose sums can leave their range, by their codes."""
    own = case.target.arithmetic
    if own is None:
        return
    sites = {use.node: s for s in case.sites if s.role == "weight" for use in s.uses}
    for name, found in layer_reaches(quantized_model(case), own).items():
        if name in sites and found.reach.leaves:
            yield sites[name], found


def _lost(diagnosed: Diagnosed) -> float:
    """Part of the output error that kernels add."""
    entries = diagnosed.network.attributions
    found = sum(a.share for a in entries if a.cause == "accumulate")
    return min(max(found, 0.0), 1.0)


@final
@dataclass(frozen=True)
class _Codes:
    """Answers for one case: other codes of weights.

    Attributes:
        method: Whose.
        case: The case.
        wishes: By the site of the weight.
        stays: Part of what kernels add that is expected to stay.
    """

    method: str
    case: Case
    wishes: Mapping[Site, Override]
    stays: float

    def gain(self, diagnosed: Diagnosed) -> float:
        """What kernels add, if any weight is concerned."""
        return left(1 - (1 - self.stays) * _lost(diagnosed)) if self.wishes else 0.0

    def change(self) -> Change:
        """The new grids; rounding that an earlier recovery chose stays where it is on them."""
        plan: dict[str, Affine | None] = {}
        for site, wish in self.wishes.items():
            plan |= replanned(self.case, [site], wish)
        count = str(len(self.wishes))
        return Change(self.method, say(f"ledger.{self.method}", count=count), plan=plan)


@final
@dataclass(frozen=True)
class _Shifted:
    """Answers for one case: biases moved by half a step."""

    case: Case

    def gain(self, diagnosed: Diagnosed) -> float:
        """What kernels add, if they cut off."""
        return left(1 - (1 - _STAYS) * _lost(diagnosed)) if self._cuts_off else 0.0

    @property
    def _cuts_off(self) -> bool:
        own = self.case.target.arithmetic
        fixed = own is not None and own.requantization != "none" and own.fitted is None
        return fixed and own is not None and own.rounding == "floor" and not own.twice

    def change(self) -> Change:
        """The biases."""
        found = dict(self._biases()) if self._cuts_off else {}
        return Change(HalfStep.name, say("ledger.half_step", count=str(len(found))), found)

    def _biases(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        case = self.case
        weights = {use.node: s for s in case.sites if s.role == "weight" for use in s.uses}
        biases = {s.scales[1]: s for s in case.placed.biases if s.scales is not None}
        for node in integer_layers(case.model.graph, case.sites):
            weight = weights.get(node_name(node))
            bias = None if weight is None else biases.get(weight.key)
            step = self._step(node)
            if bias is not None and step is not None and bias.tensor not in case.written:
                floats = constant_of(case.model, bias)
                yield bias.tensor, (floats + step / 2).astype(np.float32)

    def _step(self, node: ir.Node) -> float | None:
        """Of the grid that a layer's kernel gives."""
        tensor = result_of(node, self.case.placed.fused)
        sites = (s for s in self.case.sites if s.streams and s.tensor == tensor)
        affine = next((self.case.plan[s.key] for s in sites), None)
        return float(affine.scale) if affine is not None and affine.axis is None else None
