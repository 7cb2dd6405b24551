"""Wishes about the scales at a Concat, which the graph takes up before its tensors are placed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from lostbits.errors import TargetError, close_match
from lostbits.graph.place import Placed
from lostbits.graph.queries import name_of, node_name
from lostbits.graph.scale_marks import Scaling, with_marks
from lostbits.plan.tensor_settings import Override
from lostbits.target import Target


def with_wishes(
    model: ir.Model, placed: Placed, target: Target, overrides: Sequence[Override]
) -> tuple[ir.Model, tuple[Override, ...]]:
    """The network with the marks that were wished for, and the wishes, those marked as such.

    ``float`` and the target's wide grid are marks where a Concat makes a tensor that has no site
    of its own, because its operands share one scale.

    Raises:
        TargetError: T005 for ``own_scales`` or ``split`` of what no Concat makes.
    """
    makers = {name_of(node.outputs[0]): node for node in model.graph if node.op_type == "Concat"}
    wishes = tuple(_at_concat(wish, placed, makers, target) for wish in overrides)
    marks = {
        node_name(_maker(wish, makers)): wish.scaling for wish in wishes if wish.scaling is not None
    }
    return (with_marks(model, marks) if marks else model), wishes


def _at_concat(
    wish: Override, placed: Placed, makers: Mapping[str, ir.Node], target: Target
) -> Override:
    if wish.tensor not in placed.inherited or wish.tensor not in makers:
        return wish
    if wish.as_float:
        return replace(wish, scaling=Scaling.FLOAT)
    wide = wish.bits is not None and wish.bits == target.wide_bits
    return replace(wish, scaling=Scaling.WIDE) if wide else wish


def _maker(wish: Override, makers: Mapping[str, ir.Node]) -> ir.Node:
    if wish.tensor not in makers:
        advice = close_match(wish.tensor, makers)
        raise TargetError("T005", f"--set {wish}", "no result of a Concat", advice=advice)
    return makers[wish.tensor]
