"""Normalizations with constant gains, whose channels can be rescaled before linear layers.

``x gamma + beta`` divided by ``s`` is ``x (gamma / s) + beta / s``: a normalization takes factors
like a linear layer does, without weights that its own inputs would have to be rounded against.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.channels.linear import Doubles, Linear, linear_of
from lostbits.channels.weights import write_constant
from lostbits.graph.queries import LINEAR, constant, name_of, node_name, rank, sole_consumer
from lostbits.graph.site import Use

_VECTORS = ("BatchNormalization", "LayerNormalization")  # their constants have one axis only


@final
@dataclass(frozen=True)
class Norm:
    """A tensor that constants scale and shift per channel, and that only linear layers read.

    Attributes:
        tensor: Which.
        gains: The constants, to be divided by the same factors.
        behind: How many axes the constants have behind that of the channels.
        readers: The layers.
    """

    tensor: str
    gains: tuple[Use, ...]
    behind: int
    readers: tuple[Linear, ...]

    def divide(self, graph: ir.Graph, factors: Doubles) -> None:
        """Divide the channels of the tensor, and nothing else."""
        nodes = {node_name(n): n for n in graph}
        for use in self.gains:
            array = constant(nodes[use.node].inputs[use.index])
            assert array is not None
            shape = (1,) * (self.behind + 1 - array.ndim) + array.shape
            along = factors.reshape(-1, *[1] * self.behind)
            exact = array.astype(np.float64).reshape(shape) / along
            scaled = np.ascontiguousarray(exact, np.float32)
            write_constant(graph, nodes[use.node], use.index, scaled)


def find_norms(model: ir.Model) -> tuple[Norm, ...]:
    """Those of the normalised ``model``, in topological order."""
    found = (_norm(node) for node in model.graph)
    return tuple(norm for norm in found if norm is not None)


def _norm(node: ir.Node) -> Norm | None:
    value, gains = node.outputs[0] if node.outputs else None, tuple(_gains(node))
    axes = None if value is None else rank(value)
    if value is None or axes is None or not gains or value.is_graph_output():
        return None
    readers = [_reader(use.node, use.idx) for use in value.uses()]
    layers = [r for r in readers if r is not None]
    over = {1 if r.op.startswith("Conv") else axes - 1 for r in layers}
    columns = {r.columns for r in layers}
    if len(layers) < len(readers) or len(over) != 1 or len(columns) != 1:
        return None
    behind = axes - 1 - over.pop()
    if node.op_type in _VECTORS:
        if behind != (0 if node.op_type == "LayerNormalization" else axes - 2):
            return None
        behind = 0
    return Norm(name_of(value), gains, behind, tuple(layers))


def _gains(node: ir.Node) -> Iterator[Use]:
    """Where the constants are read that scale and shift what ``node`` writes."""
    if node.op_type in _VECTORS:
        both = [i for i in (1, 2) if i < len(node.inputs) and node.inputs[i] is not None]
        if all(_vector(node, index) for index in both):
            yield from (Use(node_name(node), index) for index in both)
    elif node.op_type == "Mul":
        yield from _factor(node)
    elif node.op_type == "Add":
        scaled = [v.producer() for v in node.inputs if v is not None]
        before = next((p for p in scaled if p is not None and p.op_type == "Mul"), None)
        if before is not None and sole_consumer(before.outputs[0]) is node:
            factor, term = list(_factor(before)), list(_factor(node))
            yield from (*factor, *term) if factor and term else ()


def _vector(node: ir.Node, index: int) -> bool:
    """Whether the constant has one value a channel, and no axis more."""
    array = constant(node.inputs[index])
    return array is not None and array.ndim == 1


def _factor(node: ir.Node) -> Iterator[Use]:
    """The operand of a Mul or Add that is constant, where exactly one is."""
    known = [i for i, v in enumerate(node.inputs) if constant(v) is not None]
    if len(known) == 1:
        yield Use(node_name(node), known[0])


def _reader(node: ir.Node, index: int) -> Linear | None:
    """The linear layer that reads the tensor as data."""
    layer = linear_of(node) if node.op_type in LINEAR and index == 0 else "no layer"
    return layer if isinstance(layer, Linear) else None
