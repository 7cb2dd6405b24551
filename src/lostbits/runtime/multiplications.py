"""How many multiplications the linear layers of a network and its matrix products take."""

import math
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from lostbits.data import Batch
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import LINEAR, constant, name_of, node_name
from lostbits.runtime.session import Session

Shapes = Mapping[str, Sequence[int]]


def multiplications(model: ir.Model, part: Batch) -> dict[str, int]:
    """Multiply-accumulates by the name of each linear layer and matrix product, for a batch.

    Args:
        model: The float network; run once, because shapes may hang on the samples.
        part: The batch.
    """
    nodes = [node for node in model.graph if node.op_type in LINEAR]
    inputs = {name_of(v) for v in model.graph.inputs}
    needed = {name_of(v) for node in nodes for v in _values(node)} - inputs
    found = Session(with_outputs(model, sorted(needed))).run(part.feeds) if needed else {}
    shapes = {name: array.shape for name, array in {**part.feeds, **found}.items()}
    return {node_name(node): _of(node, shapes) for node in nodes}


def _values(node: ir.Node) -> Iterator[ir.Value]:
    """What tells how much a node multiplies: its result, and its first operand."""
    first = node.inputs[0]
    if first is not None and constant(first) is None:
        yield first
    yield node.outputs[0]


def _of(node: ir.Node, shapes: Shapes) -> int:
    """Those of one node: each output is a sum of so many products."""
    first, second, made = node.inputs[0], node.inputs[1], shapes[name_of(node.outputs[0])]
    weight = constant(second)
    if node.op_type in ("Conv", "ConvTranspose") and weight is not None:
        of = shapes[name_of(first)] if node.op_type == "ConvTranspose" and first else made
        return math.prod(of) * math.prod(weight.shape[1:])
    array = constant(first)
    operand = array.shape if array is not None else shapes[name_of(first)] if first else ()
    transposed = node.op_type == "Gemm" and bool(node.attributes.get_int("transA", 0))
    return math.prod(made) * operand[0 if transposed else -1] if operand else 0
