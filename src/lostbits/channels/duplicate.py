"""A second copy of a channel: written by one layer twice, and read as two parts by the next."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.channels.layer_pairs import Chains, Pair
from lostbits.channels.linear import Doubles, Linear
from lostbits.channels.through_ops import HOMOGENEOUS
from lostbits.channels.weights import Weights, layers_of
from lostbits.graph.queries import constant, node_name
from lostbits.language import Message, say

# Ops that take any number of channels. Reshape names it, and Resize may.
_ANY_WIDTH = frozenset(
    {
        "AveragePool",
        "Clip",
        "Flatten",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "Pad",
        "ReduceMax",
        "ReduceMean",
        "Transpose",
    }
    | HOMOGENEOUS
)


@final
class Duplication:
    """The layers of a model's chains, with channels to be added to them.

    A depthwise layer that writes the channel needs a second copy of what it reads as well, and so
    on up the chain.

    Attributes:
        weights: Of the layers.
    """

    def __init__(self, model: ir.Model, chains: Chains) -> None:
        self._nodes: Mapping[str, ir.Node] = {node_name(n): n for n in model.graph}
        self._before = {pair.second.node: pair for pair in chains.pairs}
        self.weights = Weights(model, layers_of(chains.pairs))
        self._wider: dict[str, Pair] = {}

    def refusal(self, pair: Pair) -> Message | None:
        """Why the pair cannot take more channels, or nothing."""
        if pair.second.groups > 1:
            return say("skipped.groups", op=pair.second.op, groups=str(pair.second.groups))
        pairs = self._upwards(pair)
        if pairs is None:
            return say("skipped.groups_before", op=pair.first.op)
        fixed = (name for p in pairs for name in p.steps if not self._any_width(name))
        reasons = (say("skipped.width", op=self._nodes[name].op_type) for name in fixed)
        return next(reasons, None)

    def _upwards(self, pair: Pair) -> list[Pair] | None:
        """The pair, and those before it that a depthwise layer widens too."""
        pairs = [pair]
        while pairs[-1].first.groups > 1:
            first = pairs[-1].first
            before = self._before.get(first.node)
            if before is None or not first.groups == first.columns == first.outputs:
                return None
            pairs.append(before)
        return pairs

    def _any_width(self, name: str) -> bool:
        node = self._nodes[name]
        slopes = constant(node.inputs[1]) if node.op_type == "PRelu" else None
        if node.op_type == "PRelu" and (slopes is None or slopes.size > 1):
            return False
        return node.op_type in _ANY_WIDTH

    def add(self, pair: Pair, channel: int, offset: Doubles | float) -> None:
        """Split a column of the second layer into ``w / 2 - offset`` and ``w / 2 + offset``."""
        for above in self._upwards(pair) or ():
            self._copy_output(above.first, channel)
            self._wider[above.second.node] = above
        second = pair.second.node
        self.weights.blocks[second] = halved(self.weights.blocks[second], channel, offset)

    def _copy_output(self, layer: Linear, channel: int) -> None:
        blocks, bias = self.weights.blocks[layer.node], self.weights.biases[layer.node]
        axis = 0 if layer.groups > 1 else 1
        copy = np.take(blocks, [channel], axis=axis)
        self.weights.blocks[layer.node] = np.concatenate([blocks, copy], axis=axis)
        self.weights.biases[layer.node] = np.append(bias, bias[..., [channel]], axis=-1)

    def store(self, model: ir.Model) -> None:
        """Write all of it into ``model``, a clone of the one read from."""
        self.weights.store(model)
        nodes = {node_name(n): n for n in model.graph}
        tensors = {t for pair in self._wider.values() for t in pair.tensors}
        for pair in self._wider.values():
            if pair.first.groups > 1:
                groups = len(self.weights.blocks[pair.first.node])
                nodes[pair.first.node].attributes["group"] = ir.AttrInt64("group", groups)
            nodes[pair.first.node].outputs[0].shape = None
        for output in (o for node in model.graph for o in node.outputs if o.name in tensors):
            output.shape = None
        common.ShapeInferencePass(check_type=False, strict_mode=False)(model)


def halved(blocks: Doubles, channel: int, offset: Doubles | float) -> Doubles:
    """Blocks with one more input channel; the two parts of the old one add up to it exactly.

    Args:
        blocks: ``(1, outputs, inputs, taps)``.
        channel: To be split.
        offset: Added to one half and taken from the other; broadcasts to ``(outputs, taps)``. A
            quarter of a step makes both halves round to what the whole would round to:
            ``round(u / 2 - 1/4) + round(u / 2 + 1/4) = round(u)``. A zero stays two zeros.
    """
    column = blocks[0, :, channel]
    move = np.where(column != 0, offset, 0.0)
    parts = blocks.copy()
    parts[0, :, channel] = column / 2 - move
    return np.concatenate([parts, (column / 2 + move)[None, :, None]], axis=2)


def outliers(blocks: Doubles, count: int) -> list[int]:
    """The channels to be split one after another: always that of the largest ``|w|``."""
    chosen: list[int] = []
    for _ in range(count):
        largest = np.abs(blocks).max(axis=(0, 1, 3))
        chosen.append(int(largest.argmax()))
        blocks = halved(blocks, chosen[-1], 0.0)
    return chosen


def split_all(blocks: Doubles, chosen: Sequence[int], offset: Doubles | float) -> Doubles:
    """All of ``chosen`` split."""
    for channel in chosen:
        blocks = halved(blocks, channel, offset)
    return blocks
