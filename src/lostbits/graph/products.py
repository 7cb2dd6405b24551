"""How many products of weights and values, or of two values, a network computes."""

import math
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from lostbits.graph.queries import LINEAR, constant, name_of

Shapes = Mapping[str, Sequence[int]]


def products(graph: ir.Graph) -> int:
    """Products of one sample, in layers with constant weights; axes of unknown size count as 1."""
    layers = [node for node in graph if node.op_type in LINEAR and _has_weights(node)]
    shapes = {name_of(v): size for n in layers for v in measures(n) if (size := _known(v))}
    told = (n for n in layers if all(name_of(v) in shapes for v in measures(n)))
    return sum(products_of(node, shapes) for node in told)


def measures(node: ir.Node) -> Iterator[ir.Value]:
    """Values whose shapes tell how much a linear layer or matrix product multiplies."""
    first = node.inputs[0]
    if first is not None and constant(first) is None:
        yield first
    yield node.outputs[0]


def products_of(node: ir.Node, shapes: Shapes) -> int:
    """Products of a linear layer or matrix product: each of its outputs is a sum of so many.

    Args:
        node: The layer.
        shapes: Of what it ``measures``, by name.
    """
    first, second, made = node.inputs[0], node.inputs[1], shapes[name_of(node.outputs[0])]
    weight = constant(second)
    if node.op_type in ("Conv", "ConvTranspose") and weight is not None:
        of = shapes[name_of(first)] if node.op_type == "ConvTranspose" and first else made
        return math.prod(of) * math.prod(weight.shape[1:])
    array = constant(first)
    operand = array.shape if array is not None else shapes[name_of(first)] if first else ()
    transposed = node.op_type == "Gemm" and bool(node.attributes.get_int("transA", 0))
    return math.prod(made) * operand[0 if transposed else -1] if operand else 0


def _has_weights(node: ir.Node) -> bool:
    return sum(constant(value) is not None for value in node.inputs[:2]) == 1


def _known(value: ir.Value) -> tuple[int, ...]:
    """The shape, as far as it is known; none of a value of unknown rank."""
    return tuple(size if isinstance(size, int) else 1 for size in value.shape or ())
