"""Factors per channel, moved between neighbouring layers without changing the function."""

from collections.abc import Iterable
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.channels.layer_pairs import Bound, Pair
from lostbits.channels.linear import Doubles, Linear
from lostbits.graph.queries import add_initializer, constant, name_of, node_name, rank
from lostbits.grid import along

Exact = NDArray[np.float64]


def output_ranges(blocks: Doubles) -> Exact:
    """Largest ``|w|`` of each output channel."""
    most: Exact = np.abs(blocks).max(axis=(2, 3))
    return most.reshape(-1)


def input_ranges(blocks: Doubles) -> Exact:
    """Largest ``|w|`` of each input channel."""
    most: Exact = np.abs(blocks).max(axis=(1, 3))
    return most.reshape(-1)


def scale_outputs(blocks: Doubles, factors: Exact) -> Doubles:
    """Each output channel times its factor."""
    return blocks * factors.reshape(blocks.shape[0], -1, 1, 1)


def scale_inputs(blocks: Doubles, factors: Exact) -> Doubles:
    """Each input channel times its factor."""
    return blocks * factors.reshape(blocks.shape[0], 1, -1, 1)


def layers_of(pairs: Iterable[Pair]) -> tuple[Linear, ...]:
    """Every layer once; its columns are known from the pair that it is the second of."""
    layers: dict[str, Linear] = {}
    for pair in pairs:
        layers.setdefault(pair.first.node, pair.first)
        layers[pair.second.node] = pair.second
    return tuple(layers.values())


@final
class Weights:
    """Layers in double precision, to be changed and written back.

    Attributes:
        before: Weights by node, ``(groups, outputs, inputs, taps)``.
        blocks: The same, as they are changed.
        biases: By node, with the outputs along the last axis; zeros where there is none yet.
    """

    def __init__(self, model: ir.Model, layers: Iterable[Linear]) -> None:
        self._layers = {layer.node: layer for layer in layers}
        self._nodes = {node_name(n): n for n in model.graph}
        self.before = {n: self._read(layer) for n, layer in self._layers.items()}
        self.blocks = dict(self.before)
        self.biases = {n: self._bias(layer) for n, layer in self._layers.items()}
        self._biases_before = dict(self.biases)

    def _read(self, layer: Linear) -> Doubles:
        array = constant(self._nodes[layer.node].inputs[1])
        assert array is not None
        return layer.split(array)

    def _bias(self, layer: Linear) -> Exact:
        zeros = np.zeros(layer.outputs)
        if layer.bias is None:
            return zeros
        inputs = self._nodes[layer.bias.node].inputs
        array = constant(inputs[layer.bias.index]) if layer.bias.index < len(inputs) else None
        return zeros if array is None else zeros + array.astype(np.float64)

    def rescale(self, pair: Pair, factors: Exact) -> None:
        """``W1 / s``, ``b1 / s``, ``W2 s``; the bound of a Clip between them is not here."""
        self.divide(pair.first, factors)
        self.scale_columns(pair.second, factors)

    def divide(self, layer: Linear, factors: Exact) -> None:
        """``W / s``, ``b / s``: what the layer writes is divided by ``s``."""
        self.blocks[layer.node] = scale_outputs(self.blocks[layer.node], 1 / factors)
        self.biases[layer.node] = self.biases[layer.node] / factors

    def scale_columns(self, layer: Linear, factors: Exact) -> None:
        """``W s``."""
        self.blocks[layer.node] = scale_inputs(self.blocks[layer.node], factors)

    def shift(self, pair: Pair, amounts: Exact) -> None:
        """``b1 - c``, ``b2 + (sum over taps of W2) c``."""
        first, second = pair.first.node, pair.second.node
        taps = self.blocks[second].sum(axis=3)
        columns = amounts.reshape(taps.shape[0], 1, -1)
        self.biases[first] = self.biases[first] - amounts
        self.biases[second] = self.biases[second] + (taps * columns).sum(axis=2).reshape(-1)

    def store(self, model: ir.Model) -> None:
        """Write what has changed into ``model``, which is a clone of the one read from."""
        nodes = {node_name(n): n for n in model.graph}
        for name, layer in self._layers.items():
            if self.blocks[name] is not self.before[name]:
                write_constant(model.graph, nodes[name], 1, layer.join(self.blocks[name]))
            bias = self.biases[name]
            if layer.bias is not None and not np.array_equal(bias, self._biases_before[name]):
                node = nodes[layer.bias.node]
                write_constant(model.graph, node, layer.bias.index, bias.astype(np.float32))


def write_constant(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[np.float32]) -> None:
    """Give ``node`` another constant: under its old name, or a new one if others read the old."""
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
        old.const_value = ir.tensor(array, name=name_of(old))
        old.shape = ir.Shape(array.shape)
        return
    name = (
        f"{name_of(node.outputs[0])}.bias" if old is None else f"{name_of(old)}.{node_name(node)}"
    )
    value = add_initializer(graph, name, array)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def drop_bound(graph: ir.Graph, bound: Bound) -> None:
    """The Clip becomes a Relu."""
    clip = _node(graph, bound.node)
    clip.op_type = "Relu"
    clip.resize_inputs(1)


def bound_channels(graph: ir.Graph, bound: Bound, uppers: Exact) -> None:
    """Each channel gets a bound of its own; the Clip's output keeps its name and its readers.

    ONNX's Clip takes a single bound, so a Min with all of them follows. The Clip stays, at the
    largest: the grid of its output need not cover what the Min cuts off anyway.
    """
    clip, most = _node(graph, bound.node), float(uppers.max())
    write_constant(graph, clip, 2, np.asarray(most, np.float32))
    if float(uppers.min()) < most:
        _append_min(graph, clip, bound, uppers)


def _append_min(graph: ir.Graph, clip: ir.Node, bound: Bound, uppers: Exact) -> None:
    name, value = bound.tensor, clip.outputs[0]
    spread = bound.spot.spread(uppers).astype(np.float32)
    axes = rank(value)
    assert axes is not None  # the pair's walk has needed it
    limit = add_initializer(graph, f"{name}__bounds", along(spread, axes, bound.spot.axis))
    least = ir.node("Min", [value, limit], name=f"{bound.node}__bounds")
    made = least.outputs[0]
    made.type, made.shape = value.type, value.shape
    value.replace_all_uses_with(made, replace_graph_outputs=True)
    least.replace_input_with(0, value)
    value.name, made.name = f"{name}__clipped", name
    graph.insert_after(clip, least)


def _node(graph: ir.Graph, name: str) -> ir.Node:
    return next(node for node in graph if node.name == name)
