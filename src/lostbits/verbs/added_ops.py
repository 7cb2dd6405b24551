"""What a recovery has added to the network, and where the target runs it."""

from collections import Counter

import onnx_ir as ir

from lostbits.case import Case
from lostbits.results.recovery import AddedOps
from lostbits.target import Target


def added_ops(before: ir.Model, best: Case) -> list[AddedOps]:
    """Types of nodes of which there are more than before, with how many, most first."""
    more = _counted(best.model) - _counted(before)
    return [AddedOps(op, n, _in_float(op, best.target)) for op, n in more.most_common()]


def _counted(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def _in_float(op: str, target: Target) -> bool:
    rules = target.placement
    moved = rules.passes_through | rules.fused_activations
    return rules.mode != "tensors" and op not in rules.ops and op not in moved
