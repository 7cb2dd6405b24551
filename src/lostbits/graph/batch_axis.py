"""Which axis of an input counts samples, as far as the graph shows it."""

import onnx_ir as ir

from lostbits.graph.queries import RECURRENT

_NAMES = frozenset({"bs", "bsz", "bsize", "nbatch"})  # beside batch...; N may be points
_STATES = (0, 5, 6)  # inputs of a recurrent op that have a batch axis: data and states
_SECOND = 1  # where that is, if its layout is not another


def batch_axis(value: ir.Value) -> int:
    """The axis of a graph input that is named so, or that a recurrent op takes for it; else 0.

    A first axis of 1 is one of a batch, whatever is behind it.
    """
    if value.shape is None or not len(value.shape) or value.shape[0] == 1:
        return 0
    named = [i for i, d in enumerate(value.shape) if _is_named(d)]
    if named:
        return named[0]
    second = len(value.shape) > _SECOND and value.shape[_SECOND]
    free = second == 1 or isinstance(second, ir.SymbolicDim)
    return _SECOND if free and any(_takes_second(use.node, use.idx) for use in value.uses()) else 0


def _is_named(dim: object) -> bool:
    name = str(dim.value).lower() if isinstance(dim, ir.SymbolicDim) else ""
    return name in _NAMES or name.startswith("batch")


def _takes_second(node: ir.Node, index: int) -> bool:
    rows = node.attributes.get_int("layout", 0) == 0
    return node.op_type in RECURRENT and rows and index in _STATES
