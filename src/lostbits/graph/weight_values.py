"""How many numbers of a network are weights, and how many of them a plan leaves in float."""

from collections.abc import Set

import onnx_ir as ir

from lostbits.graph.queries import RECURRENT, is_float, name_of

# Their constants are operands: masks, positions, factors, whatever axes they have.
_POINTWISE = frozenset(
    {"Add", "Concat", "Div", "Equal", "Max", "Min", "Mul", "Pow", "PRelu", "Sub", "Where"}
)
_FEWEST_AXES = 2  # biases, and the gains of a normalization, have one


def weight_values(graph: ir.Graph, quantized: Set[str]) -> tuple[int, int]:
    """Numbers in all weights, and in those that are not among the tensors ``quantized``.

    A weight is a float constant of two axes or more that an op reads which is not pointwise: of
    linear and recurrent ops, of embeddings, and of ops of other domains.
    """
    sizes = {name_of(v): _size(v) for v in graph.initializers.values() if _is_weight(v)}
    return sum(sizes.values()), sum(n for name, n in sizes.items() if name not in quantized)


def _is_weight(value: ir.Value) -> bool:
    if not is_float(value) or len(value.shape or ()) < _FEWEST_AXES or value.is_graph_input():
        return False
    return any(_multiplies(use.node, use.idx) for use in value.uses())


def _multiplies(node: ir.Node, index: int) -> bool:
    """Whether this input is a weight: of a recurrent op the next two are, biases follow them."""
    return node.op_type not in _POINTWISE and (node.op_type not in RECURRENT or index in (1, 2))


def _size(value: ir.Value) -> int:
    return value.const_value.size if value.const_value is not None else 0
