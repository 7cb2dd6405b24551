"""Limits on activations, as part of the float network."""

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import add_initializer, constant, values_by_name

_FLOAT_MAX = float(np.finfo(np.float32).max)


def limit(graph: ir.Graph, tensor: str, lo: float | None, hi: float | None) -> bool:
    """Keep ``tensor`` within ``[lo, hi]``; None leaves an end open. False for an input.

    A Relu or a Clip that makes the tensor takes the limits up, since platforms fuse those; behind
    any other op a Clip follows. The tensor keeps its name.
    """
    value = values_by_name(graph)[tensor]
    node = value.producer()
    if node is None:
        return False
    if node.op_type in ("Relu", "Clip") and node.inputs[0] is not None:
        _tighten(graph, node, lo, hi)
    else:
        value.name = f"{tensor}__unlimited"
        clip = ir.node("Clip", [value], name=f"{tensor}__limit")
        _copy_type(value, clip.outputs[0])
        value.replace_all_uses_with(clip.outputs[0], replace_graph_outputs=True)
        clip.replace_input_with(0, value)
        graph.insert_after(node, clip)
        clip.outputs[0].name = tensor
        _tighten(graph, clip, lo, hi)
    return True


def _copy_type(source: ir.Value, value: ir.Value) -> None:
    value.type, value.shape = source.type, source.shape


def _tighten(graph: ir.Graph, node: ir.Node, lo: float | None, hi: float | None) -> None:
    """Narrow the bounds of a Relu or Clip; constants are new ones, because Clips share theirs."""
    low, high = _bounds(node)
    low = low if lo is None else max(low, lo)
    high = high if hi is None else min(high, hi)
    node.op_type = "Clip"
    node.resize_inputs(3)
    name = node.outputs[0].name
    for index, (end, bound) in enumerate((("lo", low), ("hi", high)), 1):
        made = add_initializer(graph, f"{name}__{end}", np.asarray(bound, np.float32))
        node.replace_input_with(index, made)


def _bounds(node: ir.Node) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, _FLOAT_MAX
    ends = [constant(v) for v in node.inputs[1:3]]
    ends += [None] * (2 - len(ends))
    low, high = (None if e is None else float(np.asarray(e).item()) for e in ends)
    return -_FLOAT_MAX if low is None else low, _FLOAT_MAX if high is None else high
