"""Tensors that a Mul can divide per channel in front of the layers that read them.

What writes a tensor can take factors up only where nothing else reads it. In a transformer the
residual does, or GELU stands between. Where the platform computes such tensors in float, one more
Mul by constants is fused into the same kernel: ``W x = (W s)(x / s)`` for the layers alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.channels.linear import Doubles, Linear, linear_of
from lostbits.graph.activations import nodes_in_float
from lostbits.graph.queries import (
    add_initializer,
    constant,
    node_name,
    rank,
    values_by_name,
)
from lostbits.graph.scale_marks import Scaling, mark
from lostbits.graph.site import Site
from lostbits.target import Placement

_MOVES = frozenset({"Reshape", "Squeeze", "Transpose", "Unsqueeze"})


@final
@dataclass(frozen=True)
class Divisible:
    """A tensor in float that linear layers read along its last axis.

    Attributes:
        tensor: Which.
        readers: The layers.
    """

    tensor: str
    readers: tuple[Linear, ...]

    def divide(self, graph: ir.Graph, factors: Doubles) -> None:
        """Put the Mul in front of the layers; everything else reads the tensor as it was."""
        value, layers = values_by_name(graph)[self.tensor], {r.node for r in self.readers}
        name = f"{self.tensor}__divided"
        inverse = add_initializer(graph, f"{name}__factors", (1 / factors).astype(np.float32))
        node = ir.node("Mul", [value, inverse], name=name)
        made = node.outputs[0]
        made.name, made.type, made.shape = name, value.type, value.shape
        for use in list(value.uses()):
            if node_name(use.node) in layers and use.idx == 0:
                use.node.replace_input_with(0, made)
        mark(node, Scaling.PLAIN)
        graph.insert_before(next(n for n in graph if n.name in layers), node)


def find_divisible(
    model: ir.Model, rules: Placement, sites: Iterable[Site], known: Iterable[str]
) -> Iterator[Divisible]:
    """Those of the sites, in their order, that are not ``known`` to take factors for nothing."""
    if not rules.in_float:
        return
    floats, without = nodes_in_float(model.graph, rules), set(known)
    nodes = {node_name(node): node for node in model.graph}
    values = values_by_name(model.graph)
    for site in sites:
        value = values.get(site.tensor)
        if value is None or not site.streams or site.tensor in without:
            continue
        if site.axis == (rank(value) or 0) - 1 and _is_float(value, floats):
            found = [linear_of(nodes[u.node]) for u in site.uses if _reads(nodes, u.node, u.index)]
            layers = tuple(layer for layer in found if isinstance(layer, Linear))
            if layers and len({layer.columns for layer in layers}) == 1:
                yield Divisible(site.tensor, layers)


def _reads(nodes: dict[str, ir.Node], name: str, index: int) -> bool:
    """Whether a product with constant weights reads it along the last axis."""
    node = nodes.get(name)
    if node is None or index or node.op_type not in {"Gemm", "MatMul"}:
        return False
    weight = constant(node.inputs[1])
    return weight is not None and weight.ndim == 2


def _is_float(value: ir.Value, floats: frozenset[str]) -> bool:
    """Whether it comes from an op in float, or from a product of activations, maybe moved."""
    node = value.producer()
    while node is not None and node.op_type in _MOVES and node_name(node) not in floats:
        source = node.inputs[0]
        node = None if source is None else source.producer()
    if node is None or not rank(value):
        return False
    product = node.op_type == "MatMul" and constant(node.inputs[1]) is None
    return product or node_name(node) in floats
