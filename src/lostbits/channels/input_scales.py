"""Inputs of a network whose channels linear layers can rescale.

``W x = (W s)(x / s)``: where only linear layers read an input, its channels can be divided before
the network, and the first weights take the inverse up. The function stays; what is quantized is
the divided input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.channels.linear import Doubles, Linear, linear_of
from lostbits.channels.smoothing import smoothing
from lostbits.channels.weights import Weights, input_ranges
from lostbits.graph.queries import LINEAR, add_initializer, name_of, node_name, rank
from lostbits.graph.scale_marks import Scaling, mark
from lostbits.grid import along
from lostbits.statistics import Histogram

UNLIKE = 8.0  # times that the widest channel is wider than the narrowest: three bits
_STRENGTH = 0.5


@final
@dataclass(frozen=True)
class ScaledInput:
    """An input, with what its channels are divided by.

    Attributes:
        tensor: The input.
        axis: Of its channels.
        factors: Of each channel; powers of two, which float divides by without an error.
        readers: Every layer that reads it.
    """

    tensor: str
    axis: int
    factors: Doubles
    readers: tuple[Linear, ...]

    def store(self, model: ir.Model) -> str:
        """Divide the input of ``model``, which is a clone, by a Mul; the tensor behind it."""
        graph = model.graph
        weights = Weights(model, self.readers)
        for layer in self.readers:
            weights.scale_columns(layer, self.factors)
        weights.store(model)
        value = next(v for v in graph.inputs if v.name == self.tensor)
        name = f"{self.tensor}__scaled"
        inverse = along((1 / self.factors).astype(np.float32), rank(value) or 0, self.axis)
        factors = add_initializer(graph, f"{name}__factors", inverse)
        node = ir.node("Mul", [value, factors], name=name)
        made = node.outputs[0]
        made.name, made.type, made.shape = name, value.type, value.shape
        for use in list(value.uses()):
            if use.node is not node:
                use.node.replace_input_with(use.idx, made)
        mark(node, Scaling.BEFORE)
        graph.insert_before(graph[0], node)
        return name


def scaled_inputs(model: ir.Model, channels: Mapping[str, Histogram]) -> list[ScaledInput]:
    """Inputs whose channels are unlike, and can be made more alike.

    Args:
        model: The float network.
        channels: Statistics per channel, by tensor.
    """
    found = (_scaled(model, value, channels.get(name_of(value))) for value in model.graph.inputs)
    return [each for each in found if each is not None]


def _scaled(model: ir.Model, value: ir.Value, seen: Histogram | None) -> ScaledInput | None:
    readers = [_reader(use.node, use.idx) for use in value.uses()]
    layers = tuple(layer for layer in readers if layer is not None)
    if seen is None or len(layers) < len(readers) or not layers or value.is_graph_output():
        return None
    axes = {1 if layer.op.startswith("Conv") else (rank(value) or 0) - 1 for layer in layers}
    live = seen.absmax[seen.absmax > 0]
    alike = live.size < 2 or live.max() < UNLIKE * live.min()
    if alike or len(axes) > 1 or any(layer.columns != seen.absmax.size for layer in layers):
        return None
    blocks = Weights(model, layers).blocks
    weights = np.max([input_ranges(blocks[layer.node]) for layer in layers], axis=0)
    exact = smoothing(seen.absmax, weights, _STRENGTH)
    factors = np.exp2(np.rint(np.log2(exact)))
    return ScaledInput(name_of(value), axes.pop(), factors, layers)


def _reader(node: ir.Node, index: int) -> Linear | None:
    layer = linear_of(node) if node.op_type in LINEAR and index == 0 and node_name(node) else None
    return layer if isinstance(layer, Linear) else None
