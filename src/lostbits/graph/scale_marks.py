"""How single nodes depart from what a target does with the scale of their output.

A mark is metadata of the node, so that it stays with the network: through other forms of it, in
the folder that a recovery keeps, and in exported files. Placement reads it; nothing else differs.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import final

import onnx_ir as ir

from lostbits.graph.queries import constant, name_of, node_name

_KEY = "lostbits.output_scale"


@final
class Scaling(StrEnum):
    """What a node's output, or the operands of a Concat, have instead of what the target gives."""

    OWN = "own_scales"  # each operand of a Concat, and its output, has a scale of its own
    WIDE = "wide"  # the grid of the target's wide bits, for all that share the scale
    FLOAT = "float"  # computed from quantized operands, and not rounded afterwards
    SPLIT = "split"  # not computed at all: the operands of a Concat are outputs of the network
    PLAIN = "plain"  # a node that reads and gives float, whatever the target does with its kind
    BEFORE = "before"  # runs before the network, in float, on an input that is not rounded


_APART = frozenset({Scaling.OWN, Scaling.FLOAT, Scaling.SPLIT})
_UNROUNDED = frozenset({Scaling.FLOAT, Scaling.SPLIT})
_ON_HOST = frozenset({Scaling.SPLIT, Scaling.BEFORE})


def scaling(node: ir.Node | None) -> Scaling | None:
    """The mark of a node; None for none, and for what is no mark of ours."""
    word = None if node is None else node.metadata_props.get(_KEY)
    return Scaling(word) if word is not None and word in {*Scaling} else None


def apart(node: ir.Node) -> bool:
    """Whether the operands and the output of a node are kept from sharing a scale."""
    return scaling(node) in _APART


def runs_before(node: ir.Node | None) -> bool:
    """Whether a node belongs to the preprocessing, although the network has it."""
    return scaling(node) is Scaling.BEFORE


def plain(node: ir.Node) -> bool:
    """Whether a node is left in float, what it reads and what it gives."""
    return scaling(node) is Scaling.PLAIN


def unrounded(node: ir.Node | None) -> bool:
    """Whether the output of a node stays in float."""
    return scaling(node) in _UNROUNDED


def mark(node: ir.Node, how: Scaling) -> None:
    """Mark a node, instead of how it was marked."""
    node.metadata_props[_KEY] = str(how)


def with_marks(model: ir.Model, marks: Mapping[str, Scaling]) -> ir.Model:
    """A copy whose nodes of these names are marked.

    Args:
        model: Stays as it is.
        marks: By the name of the node.
    """
    copy = model.clone()
    for node in copy.graph:
        if node.name in marks:
            mark(node, marks[node_name(node)])
    return copy


def cut_at_marks(model: ir.Model) -> ir.Model:
    """A copy without the nodes that integer-only platforms leave to the host.

    The operands of a Concat that is marked as split are outputs, where its own output stood and in
    its order; what a node of the preprocessing makes is an input instead of what it reads.
    """
    copy = model.clone()
    for node in [node for node in copy.graph if scaling(node) is Scaling.SPLIT]:
        _end_before(copy.graph, node)
    for node in [node for node in copy.graph if runs_before(node)]:
        _begin_behind(copy.graph, node)
    return copy


def _end_before(graph: ir.Graph, node: ir.Node) -> None:
    operands = [v for v in node.inputs if v is not None]
    outputs = [
        part
        for output in graph.outputs
        for part in (operands if output is node.outputs[0] else [output])
    ]
    graph.outputs[:] = list({name_of(v): v for v in outputs}.values())
    graph.remove(node, safe=True)


def _begin_behind(graph: ir.Graph, node: ir.Node) -> None:
    old, made = node.inputs[0], node.outputs[0]
    assert old is not None
    value = ir.Value(name=made.name, shape=made.shape, type=made.type)
    made.replace_all_uses_with(value)
    graph.remove(node, safe=True)
    graph.inputs[list(graph.inputs).index(old)] = value


def host_lines(model: ir.Model) -> list[str]:
    """What is left to the host, as Python with NumPy, a statement each.

    Tensors are keys of ``feeds`` and ``outputs``, the dictionaries of the session.
    """
    return [_line(node) for node in model.graph if scaling(node) in _ON_HOST]


def _line(node: ir.Node) -> str:
    made, read = name_of(node.outputs[0]), [name_of(v) for v in node.inputs if v is not None]
    if not runs_before(node):
        parts = ", ".join(f"outputs[{name!r}]" for name in read)
        axis = node.attributes.get_int("axis", 0)
        return f"outputs[{made!r}] = np.concatenate([{parts}], axis={axis})"
    factors = constant(node.inputs[1])
    assert factors is not None
    numbers = ", ".join(f"{factor:.9g}" for factor in factors.ravel().tolist())
    array = f"np.array([{numbers}], np.float32).reshape({factors.shape})"
    return f"feeds[{made!r}] = feeds.pop({read[0]!r}) * {array}"
