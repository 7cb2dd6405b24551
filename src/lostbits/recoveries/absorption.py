"""High-bias absorption: what every value of a channel exceeds goes into the next layer's bias.

Where a channel never falls below ``c > 0`` before a Relu, the Relu does nothing to it, and
``W2 relu(x) + b2 = W2 relu(x - c) + (b2 + W2 c)``. The tensor in between spans less, so that its
grid has shorter steps. Nagel et al. take ``c`` three standard deviations below the mean that a
BatchNorm tells; here it is the least value that calibration has seen, ``c = max(0, min x)``. On
other data a channel may fall below, and a border of zeros is not shifted with the rest, which is
why layers that read one are skipped: the function is not promised to stay.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.1.3.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, Seen
from lostbits.channels.layer_pairs import Pair, find_chains
from lostbits.channels.through_ops import zero_pads
from lostbits.channels.weights import Weights, layers_of
from lostbits.graph.queries import constant, node_name
from lostbits.language import Message, say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage

Doubles = NDArray[np.float64]
_LEAST = 0.05  # part of the range that must be won, or the change is not worth the risk
_MARGIN = 0.9  # a channel that comes this near to its upper bound is left alone


@final
@dataclass(frozen=True, kw_only=True)
class Absorption(Rewriting):
    """Moves the least value of every channel behind the activation that it passes unchanged."""

    name: ClassVar[str] = "absorption"
    title: ClassVar[str] = "biases that lift a channel above zero absorbed by the next layer"
    source: ClassVar[str] = "Nagel et al. 2019, arXiv:1906.04721"
    stage: ClassVar[Stage] = "network"

    def consider(self, case: Case) -> "_Absorbed":
        """Two biases for every pair with such a channel."""
        return _Absorbed(case)


@final
class _Absorbed:
    """What can be absorbed, and the biases that it makes.

    Attributes:
        shifts: ``c`` of each pair that has any, (channels,).
        ratios: Ranges after over before, by site key.
        skipped: Reasons, by tensor.
    """

    def __init__(self, case: Case) -> None:
        self.model = case.model
        chains = find_chains(case.model)
        self.skipped = dict(chains.skipped)
        self.weights = Weights(case.model, layers_of(chains.pairs))
        self.shifts: list[Doubles] = []
        self.ratios: dict[str, float] = {}
        nodes = {node_name(n): n for n in case.model.graph}
        for pair in chains.pairs:
            found = _lookup(pair, nodes, case)
            if isinstance(found, Message):
                self.skipped[pair.tensors[0]] = found
            else:
                self._absorb(pair, *found)

    def gain(self, diagnosed: Diagnosed) -> float:
        """What shorter ranges of activations are worth, by their attribution."""
        ratios = {key: ratio**2 for key, ratio in self.ratios.items()}
        return diagnosed.rounding_gain_db(ratios)

    def change(self) -> Change:
        """The network with the biases."""
        if not self.shifts:
            none = say("ledger.absorption_none")
            return Change(Absorption.name, none, skipped=self.skipped)
        model = self.model.clone()
        self.weights.store(model)
        summary = say(
            "ledger.absorption",
            channels=str(sum(np.count_nonzero(c) for c in self.shifts)),
            pairs=str(len(self.shifts)),
            share=f"{np.median(list(self.ratios.values())):.0%}",
        )
        return Change(Absorption.name, summary, model=model, skipped=self.skipped)

    def _absorb(self, pair: Pair, key: str, seen: Seen) -> None:
        shift, after = _shift(pair, seen)
        before = float(seen.channels.hi.max())
        if not after < (1 - _LEAST) * before:
            self.skipped[pair.tensors[0]] = say("skipped.not_above")
            return
        self.shifts.append(shift)
        self.ratios[key] = after / before
        self.weights.shift(pair, shift)


def _shift(pair: Pair, seen: Seen) -> tuple[Doubles, float]:
    """``c`` of each channel, and the largest value afterwards."""
    lo, hi = seen.channels.lo, seen.channels.hi
    free = np.ones(hi.shape, bool) if pair.bound is None else hi < _MARGIN * pair.bound.upper
    shift = np.where(free, np.maximum(lo, 0.0), 0.0)
    return shift, float((hi - shift).max())


def _lookup(pair: Pair, nodes: dict[str, ir.Node], case: Case) -> tuple[str, Seen] | Message:
    """Statistics of the activation, or why its channels cannot be shifted exactly."""
    steps = [nodes[name] for name in pair.steps]
    if not steps or not _passes_positive(steps[0]):
        return say("skipped.no_relu")
    if pair.first.bias is None or pair.second.bias is None:
        return say("skipped.matmul_bias")
    padded = next((n for n in (*steps, nodes[pair.second.node]) if zero_pads(n)), None)
    if padded is not None:
        return say("skipped.border", op=padded.op_type)
    # The Relu changes nothing that stays above zero, so what follows it tells as much.
    for tensor in pair.tensors[:2]:
        seen = case.seen.get(f"{tensor}:activation")
        if seen is not None and seen.channels.hi.size == pair.channels:
            return f"{tensor}:activation", seen
    return say("skipped.statistics_activation")


def _passes_positive(node: ir.Node) -> bool:
    """Whether a positive output is the input, and every other input gives none."""
    if node.op_type == "LeakyRelu":
        return node.attributes.get_float("alpha", 0.01) >= 0
    if node.op_type == "PRelu":
        slopes = constant(node.inputs[1])
        return slopes is not None and bool((slopes.astype(np.float64) >= 0).all())
    return node.op_type in ("Relu", "Clip")
