"""Whether a quantized graph is whole: what a node reads is there, and quantizers have scales."""

from collections.abc import Iterable

import onnx_ir as ir

from lostbits.errors import ReadError
from lostbits.reader import damaged
from lostbits.readers.integer_ops import OPS, layout

_QUANTIZERS = frozenset({"DequantizeLinear", "QuantizeLinear"})


def whole(model: ir.Model) -> ir.Model:
    """The model, if that is so.

    Raises:
        ReadError: I002.
    """
    graph = model.graph
    for node in graph:
        lacking = [v.name for v in node.inputs if v is not None and not _is_made(v)]
        if lacking:
            raise _broken(node, f"reads {lacking[0]!r}, which nothing in the file makes")
        missing = [i for i in _needed(node) if i >= len(node.inputs) or node.inputs[i] is None]
        if missing or not node.outputs:
            raise _broken(node, f"has no input {missing[0]}" if missing else "has no output")
    for value in graph.outputs:
        if not _is_made(value):
            raise damaged(f"nothing in the file makes the output {value.name!r}")
    return model


def _is_made(value: ir.Value) -> bool:
    return value.producer() is not None or value.is_graph_input() or value.const_value is not None


def _needed(node: ir.Node) -> Iterable[int]:
    """Inputs without which a quantizer or an integer op says nothing; zero points may lack."""
    if node.op_type in _QUANTIZERS:
        return (0, 1)
    if node.op_type not in OPS:
        return ()
    places = layout(node)
    return (*(i for value, scale, _ in places.operands for i in (value, scale)), places.output[0])


def _broken(node: ir.Node, found: str) -> ReadError:
    return damaged(f"{node.op_type} {found}", f"node {node.name!r}")
