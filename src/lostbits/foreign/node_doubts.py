"""Doubts about nodes: what a quantized file lacks of the model, and pairs behind pairs."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from lostbits.errors import ReadError
from lostbits.foreign.graph_doubts import Entries, some
from lostbits.graph.queries import constant, name_of, node_name
from lostbits.language import say
from lostbits.reader import Entry, Parameters, doubt

_LIMITS = ("Clip", "Relu")


def doubts_of_nodes(
    parameters: Parameters, graph: ir.Graph | None, model: ir.Graph
) -> Iterator[ReadError]:
    """Limits of the model that the file has dropped, and tensors that it rounds twice.

    Args:
        parameters: Of the file.
        graph: The file, if it is a model.
        model: The float network.
    """
    if graph is None:
        return
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    for op in _LIMITS:
        yield from _dropped(op, entries, graph, model)
    yield from _twice(entries, graph)


def _dropped(op: str, entries: Entries, graph: ir.Graph, model: ir.Graph) -> Iterator[ReadError]:
    """Nodes that are gone although the grid in their place does not end where they do."""
    counts = [Counter(node.op_type for node in each)[op] for each in (graph, model)]
    if counts[0] >= counts[1]:
        return
    kept = {name for node in graph if node.op_type == op for name in _names(node)}
    gone = [node for node in model if node.op_type == op and not kept.intersection(_names(node))]
    open_ones = [(n, e) for n in gone for e in _place(n, entries) if _reaches_beyond(n, e)]
    if open_ones:
        node, entry = open_ones[0]
        names = some([e.tensor for _, e in open_ones])
        figures = {"count": str(len(open_ones)), "op": op, "names": names}
        figures |= {"low": f"{float(entry.affine.lo.min()):.4g}", "bound": f"{_least(node):g}"}
        yield doubt("I042", say("doubt.file"), figures, [e.tensor for _, e in open_ones])


def _names(node: ir.Node) -> tuple[str, str]:
    return node_name(node), name_of(node.outputs[0])


def _place(node: ir.Node, entries: Entries) -> list[Entry]:
    """What the file says of the tensor behind the node, else of the one before it."""
    ends = (*node.outputs[:1], *node.inputs[:1])
    found = (entries.get(name_of(value)) for value in ends if value is not None)
    return [entry for entry in found if entry is not None][:1]


def _least(node: ir.Node) -> float:
    """The low end of a Relu or Clip."""
    if node.op_type == "Relu":
        return 0.0
    low = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return -np.inf if low is None else float(low.min())


def _reaches_beyond(node: ir.Node, entry: Entry) -> bool:
    affine = entry.affine
    return bool((affine.lo < _least(node) - 0.5 * affine.scale).any())


def _twice(entries: Entries, graph: ir.Graph) -> Iterator[ReadError]:
    """A pair right behind another one, on another grid."""
    for node in graph:
        source = node.inputs[0] if node.op_type == "QuantizeLinear" else None
        before = None if source is None else source.producer()
        if before is None or before.op_type != "DequantizeLinear":
            continue
        first, second = (entries.get(name_of(value)) for value in _ends(before, node))
        if first is not None and second is not None and first.affine != second.affine:
            figures = {"one": _shown(first), "other": _shown(second)}
            where = say("doubt.tensor", name=repr(first.tensor))
            yield doubt("I043", where, figures, [first.tensor])


def _ends(first: ir.Node, second: ir.Node) -> tuple[ir.Value, ir.Value]:
    """Outputs of both dequantizers, the second of which may be missing."""
    behind = [u.node for u in second.outputs[0].uses() if u.node.op_type == "DequantizeLinear"]
    return first.outputs[0], (behind[0].outputs[0] if behind else second.outputs[0])


def _shown(entry: Entry) -> str:
    affine = entry.affine
    return f"{affine.grid.name} [{float(affine.lo.min()):.4g}, {float(affine.hi.max()):.4g}]"
