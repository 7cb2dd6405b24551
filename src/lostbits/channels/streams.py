"""Streams: tensors whose channels must have the same factors, and what takes these up.

A factor per channel passes through an op that commutes with it, and through an Add where both
operands have it. So the tensors that such ops connect have one vector of factors: a residual stream
with all its Adds is one, the tensor between two layers the least. Where a stream begins, rows of
linear layers or gains of a normalization take the factors up; where it ends, columns of linear
layers take them out, or a normalization of each channel by itself forgets them. If all its ends are
such, no output of the network changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.channels.layer_pairs import Bound, clip_bound
from lostbits.channels.linear import Linear, linear_of
from lostbits.channels.through_ops import Spot, through
from lostbits.channels.weights import Weights, bound_channels, write_constant
from lostbits.graph.queries import LINEAR, constant, data_inputs, name_of, node_name, rank
from lostbits.graph.site import Use
from lostbits.grid import along
from lostbits.language import Message

Exact = NDArray[np.float64]
_NORMS = ("BatchNormalization", "LayerNormalization", "InstanceNormalization")


class Norm(NamedTuple):
    """What InstanceNormalization reads, and adds to the variance of its channels."""

    tensor: str
    epsilon: float


@final
@dataclass
class Stream:
    """Tensors with one vector of factors.

    Attributes:
        channels: How many factors.
        writers: Layers whose rows take them up.
        readers: Layers whose columns take them out.
        terms: Constants that are multiplied by them: added ones, gains and offsets of norms.
        bounds: Clips that bound the channels, each of which gets a bound of its own.
        norms: Normalizations that divide each channel by its own deviation.
        tensors: Where each has its channels.
        held: Whether something reads or writes a tensor of it that no factor can pass.
    """

    channels: int
    writers: list[Linear] = field(default_factory=list)
    readers: list[Linear] = field(default_factory=list)
    terms: list[tuple[Use, Spot]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    norms: list[Norm] = field(default_factory=list)
    tensors: dict[str, Spot] = field(default_factory=dict)
    held: bool = False

    @property
    def free(self) -> bool:
        """Whether factors change no output."""
        taken_out = bool(self.readers or self.norms)
        return not self.held and taken_out and bool(self.writers or self.terms)

    def absorb(self, other: "Stream") -> None:
        """Take in all that another one holds."""
        self.writers += other.writers
        self.readers += other.readers
        self.terms += other.terms
        self.bounds += other.bounds
        self.norms += other.norms
        self.tensors |= other.tensors
        self.held |= other.held

    def spread(self, tensor: str, factors: Exact) -> Exact:
        """Factors of every channel of a tensor, of which a factor may cover several."""
        return self.tensors[tensor].spread(factors)


def find_streams(model: ir.Model) -> list[Stream]:
    """Streams of the normalised ``model`` that factors may be put on, in topological order."""
    walk = _Walk(model.graph)
    for node in model.graph:
        walk.advance(node)
    walk.hold_ends()
    found = {id(stream): stream for stream in walk.of.values()}
    return [stream for stream in found.values() if stream.free]


def rescaled(model: ir.Model, pairs: list[tuple[Stream, Exact]]) -> ir.Model:
    """A clone of ``model`` with each stream's tensors times its factors; same outputs."""
    copy = model.clone()
    weights = Weights(copy, layers_of([stream for stream, _ in pairs]))
    for stream, factors in pairs:
        for layer in stream.writers:
            weights.divide(layer, 1 / factors)
        for layer in stream.readers:
            weights.scale_columns(layer, 1 / factors)
    weights.store(copy)
    for stream, factors in pairs:
        _rescale_terms(copy.graph, stream, factors)
        for bound in stream.bounds if (factors != 1).any() else ():
            bound_channels(copy.graph, bound, bound.upper * factors)
    return copy


def layers_of(streams: Sequence[Stream]) -> list[Linear]:
    """Every layer once; how its columns lie is known from the stream that it reads."""
    layers = {layer.node: layer for stream in streams for layer in stream.writers}
    return list((layers | {r.node: r for s in streams for r in s.readers}).values())


def _rescale_terms(graph: ir.Graph, stream: Stream, factors: Exact) -> None:
    nodes = {node_name(node): node for node in graph}
    for use, spot in stream.terms:
        node = nodes[use.node]
        array = constant(node.inputs[use.index])
        assert array is not None
        spread = spot.spread(factors)
        axes = rank(node.outputs[0]) or 0
        shaped = spread if node.op_type in _NORMS else along(spread, axes, spot.axis)
        exact = np.ascontiguousarray(array.astype(np.float64) * shaped, np.float32)
        write_constant(graph, node, use.index, exact)


@final
class _Walk:
    """Streams as far as the graph has been walked; tensors without one have factors of 1."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.of: dict[str, Stream] = {}
        self.nodes = set(graph)

    def advance(self, node: ir.Node) -> None:
        """Past one node."""
        if node.outputs and node.outputs[0].name in self.of:  # the Add of a MatMul's bias
            return
        if node.op_type in LINEAR:
            self._linear(node)
        elif node.op_type in _NORMS:
            self._norm(node)
        elif node.op_type in ("Add", "Sub", "Sum", "Mul", "Div"):
            self._pointwise(node)
        else:
            self._pass(node)

    def hold_ends(self) -> None:
        """Outputs of the graph, and what a subgraph reads, stay as they are."""
        for value in self._values():
            inside = any(use.node not in self.nodes for use in value.uses())
            if value.name in self.of and (value.is_graph_output() or inside):
                self.of[name_of(value)].held = True

    def _values(self) -> Iterator[ir.Value]:
        return (value for node in self.graph for value in node.outputs if value.name)

    def _begin(self, name: str, channels: int, spot: Spot) -> Stream:
        stream = self.of[name] = Stream(channels)
        stream.tensors[name] = spot
        return stream

    def _continue(self, value: ir.Value, stream: Stream, spot: Spot) -> None:
        self.of[name_of(value)] = stream
        stream.tensors[name_of(value)] = spot

    def _hold(self, node: ir.Node) -> None:
        for value in node.inputs:
            if value is not None and value.name in self.of:
                self.of[name_of(value)].held = True

    def _linear(self, node: ir.Node) -> None:
        layer = linear_of(node) if len(node.inputs) > 1 else None
        x, axes = node.inputs[0], rank(node.outputs[0])
        if not isinstance(layer, Linear) or axes is None:
            self._hold(node)
            return
        if x is not None and x.name in self.of:
            self._read(self.of[name_of(x)], name_of(x), layer, rank(x))
        spot = Spot(1 if layer.op.startswith("Conv") else axes - 1)
        stream = self._begin(layer.output, layer.outputs, spot)
        stream.writers.append(layer)
        self._continue(node.outputs[0], stream, spot)

    def _read(self, stream: Stream, tensor: str, layer: Linear, axes: int | None) -> None:
        """The layer's columns, or a hold where they are not the stream's channels."""
        spot, convolution = stream.tensors[tensor], layer.op.startswith("Conv")
        axis = 1 if convolution else (axes or 0) - 1
        whole = stream.channels * spot.outer * spot.inner
        if spot.axis != axis or (convolution and not spot.alone) or layer.columns != whole:
            stream.held = True
        else:
            stream.readers.append(replace(layer, outer=spot.outer, inner=spot.inner))

    def _norm(self, node: ir.Node) -> None:
        """It takes factors up by its gains, and gives none of those before it on."""
        self._forget(node)
        gains = [(i, constant(node.inputs[i])) for i in (1, 2) if i < len(node.inputs)]
        known = [(i, a) for i, a in gains if a is not None and a.ndim == 1]
        axes = rank(node.outputs[0])
        if not known or len(known) < len(gains) or axes is None:
            return
        spot = Spot(axes - 1 if node.op_type == "LayerNormalization" else 1)
        stream = self._begin(name_of(node.outputs[0]), known[0][1].size, spot)
        stream.terms += [(Use(node_name(node), i), Spot(0)) for i, _ in known]

    def _forget(self, node: ir.Node) -> None:
        """A channel that is divided by its own deviation has lost its factor, any other op not."""
        tensor = "" if node.inputs[0] is None else name_of(node.inputs[0])
        stream = self.of.get(tensor)
        if node.op_type != "InstanceNormalization" or stream is None:
            self._hold(node)
        elif stream.tensors[tensor] == Spot(1):
            stream.norms.append(Norm(tensor, node.attributes.get_float("epsilon", 1e-5)))
        else:
            stream.held = True

    def _pointwise(self, node: ir.Node) -> None:
        """Both operands of an Add have one stream; a constant one is a term of it, or a gain."""
        constants = [i for i, v in enumerate(node.inputs) if constant(v) is not None]
        if len(constants) == 1 and len(node.inputs) == 2:
            self._with_constant(node, constants[0])
            return
        found = [self.of.get(v.name or "") for v in node.inputs if v is not None]
        spots = {s.tensors[name_of(v)] for s, v in zip(found, node.inputs, strict=True) if s and v}
        ranks = {rank(v) for v in (*node.inputs, node.outputs[0]) if v is not None}
        sizes = {s.channels for s in found if s}
        added = node.op_type in ("Add", "Sub", "Sum")
        if not added or None in found or any(len(s) != 1 for s in (spots, ranks, sizes)):
            self._hold(node)
            return
        streams = [s for s in found if s is not None]
        for other in streams[1:]:
            self._join(streams[0], other)
        self._continue(node.outputs[0], streams[0], spots.pop())

    def _join(self, stream: Stream, other: Stream) -> None:
        if stream is not other:
            stream.absorb(other)
            for name in other.tensors:
                self.of[name] = stream

    def _with_constant(self, node: ir.Node, index: int) -> None:
        value, array = node.inputs[1 - index], constant(node.inputs[index])
        axes = rank(node.outputs[0])
        assert value is not None and array is not None
        stream = self.of.get(name_of(value))
        usual = axes is not None and rank(value) == axes and array.dtype == np.float32
        if not usual or axes is None or (node.op_type == "Div" and index == 0):
            self._hold(node)
        elif node.op_type in ("Mul", "Div"):
            self._scaled(node, index, stream, array)
        elif stream is not None and node.op_type in ("Add", "Sub"):
            spot = stream.tensors[name_of(value)]
            stream.terms.append((Use(node_name(node), index), spot))
            self._continue(node.outputs[0], stream, spot)

    def _scaled(
        self, node: ir.Node, index: int, stream: Stream | None, array: NDArray[np.generic]
    ) -> None:
        """Through a Mul; where nothing comes with factors, one by a vector may begin a stream."""
        axes, wide = rank(node.outputs[0]) or 0, [n for n in array.shape if n > 1]
        if stream is not None and not stream.held:
            spot = stream.tensors[name_of(node.inputs[1 - index])]  # type: ignore[arg-type]
            self._continue(node.outputs[0], stream, spot)
            return
        self._hold(node)
        if node.op_type == "Mul" and len(wide) == 1:
            axis = axes - array.ndim + array.shape.index(wide[0])
            begun = self._begin(name_of(node.outputs[0]), wide[0], Spot(axis))
            begun.terms.append((Use(node_name(node), index), Spot(axis)))

    def _pass(self, node: ir.Node) -> None:
        """Through an op that commutes with factors; anything else holds what it reads."""
        x = node.inputs[0] if node.inputs else None
        stream = None if x is None else self.of.get(x.name or "")
        others = [v for i, v in data_inputs(node) if i and constant(v) is None]
        if x is None or stream is None or others:
            self._hold(node)
            return
        spot = through(node, stream.tensors[name_of(x)])
        bound = (
            clip_bound(node, spot) if node.op_type == "Clip" and isinstance(spot, Spot) else None
        )
        if isinstance(spot, Message) or isinstance(bound, Message):
            self._hold(node)
            return
        stream.bounds += [] if bound is None else [bound]
        self._continue(node.outputs[0], stream, spot)
