"""Where the ops of QOperator models keep scales and zero points, by position of their inputs."""

from collections.abc import Iterator
from typing import NamedTuple, final

import onnx_ir as ir


@final
class Layout(NamedTuple):
    """Positions of one op.

    Attributes:
        operands: Value, scale and zero point of each operand.
        output: Scale and zero point of the result.
        bias: Position of an int32 bias, whose scale is the product of the operands'.
    """

    operands: tuple[tuple[int, int, int], ...]
    output: tuple[int, int]
    bias: int | None = None


_TWO = ((0, 1, 2), (3, 4, 5))
_UNARY = Layout(((0, 1, 2),), (3, 4))
_LAYOUTS = {
    "QLinearConv": Layout(_TWO, (6, 7), 8),
    "QGemm": Layout(_TWO, (7, 8), 6),
    "QLinearMatMul": Layout(_TWO, (6, 7)),
    "QLinearAdd": Layout(_TWO, (6, 7)),
    "QLinearMul": Layout(_TWO, (6, 7)),
    "QLinearAveragePool": _UNARY,
    "QLinearGlobalAveragePool": _UNARY,
    "QLinearLeakyRelu": _UNARY,
    "QLinearSigmoid": _UNARY,
    "QLinearSoftmax": _UNARY,
}
_CONCAT = "QLinearConcat"
OPS = frozenset({*_LAYOUTS, _CONCAT})


def layout(node: ir.Node) -> Layout:
    """Of a node whose op is in ``OPS``; a Concat has as many operands as it has inputs."""
    if node.op_type != _CONCAT:
        return _LAYOUTS[node.op_type]
    return Layout(tuple((i, i + 1, i + 2) for i in range(2, len(node.inputs), 3)), (0, 1))


def weight_axis(node: ir.Node, scale_size: int) -> int | None:
    """Channel axis of the second operand; None for a single scale."""
    if scale_size == 1:
        return None
    if node.op_type == "QGemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    rank = len(node.inputs[3].shape or ()) if node.inputs[3] is not None else 0
    return 0 if node.op_type == "QLinearConv" else max(rank - 1, 0)


def present(node: ir.Node, positions: tuple[int, ...]) -> Iterator[ir.Value]:
    """The inputs at these positions that the node has."""
    for position in positions:
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is not None:
            yield value
