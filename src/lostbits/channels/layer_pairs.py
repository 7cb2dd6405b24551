"""Chains of linear layers through which positive factors per channel can be passed.

A pair of layers is joined when one tensor after another has a single reader and every op between
them commutes with ``x[c] -> s[c] x[c]`` for ``s > 0``: ``W2 f(W1 x) = (W2 s) f((W1 / s) x)``. Where
layers are no neighbours in this sense, the reason is kept: a tool that does nothing, silently,
because a bound is an initializer is of no use.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, final

import numpy as np
import onnx_ir as ir

from lostbits.channels.linear import Linear, linear_of
from lostbits.channels.through_ops import HOMOGENEOUS, Spot, through
from lostbits.graph.queries import LINEAR, constant, name_of, node_name, rank, sole_consumer
from lostbits.language import Message, say

Kind = Literal["none", "homogeneous", "bounded"]


@final
@dataclass(frozen=True)
class Bound:
    """A Clip from zero (or from nowhere) up to a positive bound.

    Attributes:
        node: Name of the Clip.
        tensor: What it writes.
        upper: The bound.
        rectifies: Whether its lower bound is zero.
        spot: Where its output has the channels.
    """

    node: str
    tensor: str
    upper: float
    rectifies: bool
    spot: Spot


@final
@dataclass(frozen=True)
class Pair:
    """Two linear layers, one behind the other.

    Attributes:
        first, second: The layers; the columns of the second are those of these channels.
        channels: How many pass from one to the other.
        steps: Names of the nodes between them.
        tensors: What passes: the output of the first layer, then that of each step.
        kind: Activation in between: none, one that commutes with positive factors, or a bounded
            one, whose bound must be rescaled too.
        bound: Of a bounded activation.
    """

    first: Linear
    second: Linear
    channels: int
    steps: tuple[str, ...]
    tensors: tuple[str, ...]
    kind: Kind
    bound: Bound | None


@final
@dataclass(frozen=True)
class Chains:
    """All pairs of a model in topological order; neighbouring ones share a layer.

    Attributes:
        pairs: As found.
        skipped: Outputs and weights of layers that are followed by no partner, with reasons.
    """

    pairs: tuple[Pair, ...]
    skipped: dict[str, Message]


def find_chains(model: ir.Model) -> Chains:
    """Every pair of neighbouring layers in the normalised ``model``; the model is not changed."""
    pairs, skipped = [], {}
    for node in model.graph:
        if node.op_type in LINEAR:
            layer = linear_of(node)
            if isinstance(layer, Message):
                skipped[name_of(node.outputs[0])] = layer
                continue
            found = _follow(model.graph, node, layer)
            if isinstance(found, Message):
                skipped[layer.output] = found
            else:
                pairs.append(found)
    return Chains(tuple(pairs), skipped)


@final
@dataclass
class _Path:
    """The way from one layer to the next, as far as it has been walked."""

    spot: Spot
    value: ir.Value
    steps: list[str] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    bound: Bound | None = None

    def advance(self, node: ir.Node) -> Message | None:
        """Past ``node``; why not, if it is in the way."""
        if node.inputs[0] is not self.value:
            return say("skipped.parameter", op=node.op_type)
        spot = through(node, self.spot)
        if isinstance(spot, Message):
            return spot
        refusal = self._activate(node) if node.op_type in HOMOGENEOUS | {"Clip"} else None
        self.spot, self.value = spot, node.outputs[0]
        self.steps.append(node_name(node))
        self.tensors.append(name_of(self.value))
        return refusal

    def _activate(self, node: ir.Node) -> Message | None:
        if node.op_type != "Clip":
            self.activations.append(node.op_type)
            return None
        bound = clip_bound(node, self.spot)
        if isinstance(bound, Message):
            return bound
        if self.bound is not None:
            return say("skipped.two_clips")
        self.activations.append(node.op_type)
        self.bound = bound
        return None


def clip_bound(node: ir.Node, spot: Spot) -> Bound | Message | None:
    """The bound of a Clip, None for one without an upper end; why factors cannot pass it."""
    lower, upper = _end(node, 1, -np.inf), _end(node, 2, np.inf)
    if lower is None or upper is None:
        return say("skipped.clip_computed")
    if lower not in (0.0, -np.inf) or upper <= 0:
        return say("skipped.clip_from", lower=f"{lower:g}", upper=f"{upper:g}")
    if not np.isfinite(upper):
        return None
    return Bound(node_name(node), name_of(node.outputs[0]), upper, lower == 0.0, spot)


def _end(node: ir.Node, index: int, missing: float) -> float | None:
    """An end of a Clip, ``missing`` where it has none; None when it is computed."""
    value = node.inputs[index] if index < len(node.inputs) else None
    array = constant(value)
    if array is None:
        return missing if value is None else None
    end = float(np.asarray(array, np.float64).reshape(-1)[0])
    # Some exporters write the largest float for an open end.
    return end if abs(end) < np.finfo(np.float32).max else missing


def _follow(graph: ir.Graph, node: ir.Node, layer: Linear) -> Pair | Message:
    """The pair that begins with ``layer``, or why there is none."""
    value = next(o for n in _heads(node) for o in n.outputs if o.name == layer.output)
    axes = rank(value)
    if axes is None:
        return say("skipped.rank")
    spot = Spot(1 if layer.op.startswith("Conv") else axes - 1)
    path = _Path(spot, value, tensors=[layer.output])
    while (reader := sole_consumer(path.value)) is not None and reader.op_type not in LINEAR:
        refusal = path.advance(reader)
        if refusal:
            return refusal
    return _why_split(path.value) if reader is None else _joined(path, layer, reader)


def _heads(node: ir.Node) -> Iterator[ir.Node]:
    """The node of a layer and the one behind it, which may add its bias."""
    yield node
    reader = sole_consumer(node.outputs[0])
    if reader is not None:
        yield reader


def _why_split(value: ir.Value) -> Message:
    if value.is_graph_output():
        return say("skipped.output")
    readers = [use.node.op_type for use in value.uses()]
    return say("skipped.readers", count=str(len(readers)), ops=", ".join(sorted(readers)))


def _joined(path: _Path, first: Linear, reader: ir.Node) -> Pair | Message:
    """The pair whose second layer is ``reader``."""
    if reader.inputs[0] is not path.value:
        return say("skipped.parameter", op=reader.op_type)
    second = linear_of(reader)
    if isinstance(second, Message):
        return say("skipped.behind", op=reader.op_type, why=second)
    convolution = second.op.startswith("Conv")
    axis = 1 if convolution else (rank(path.value) or 0) - 1
    if path.spot.axis != axis or (convolution and not path.spot.alone):
        return say("skipped.axis", op=second.op)
    second = replace(second, outer=path.spot.outer, inner=path.spot.inner)
    if second.columns != first.outputs * path.spot.outer * path.spot.inner:
        return say(
            "skipped.inputs",
            op=second.op,
            inputs=str(second.columns),
            channels=str(first.outputs),
        )
    plain: Kind = "homogeneous" if path.activations else "none"
    kind: Kind = plain if path.bound is None else "bounded"
    tensors, steps = tuple(path.tensors), tuple(path.steps)
    return Pair(first, second, first.outputs, steps, tensors, kind, path.bound)
