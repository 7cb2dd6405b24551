"""Factors of channels, of both signs, in front of a quantizer: OpenVINO computes them wrongly.

OpenVINO 2026.4 moves such a factor behind the pair, where the ends of the range change places for
channels with a negative one. Measured: a Mul, a Div or a BatchNormalization without a shift, alone
or with a Relu or Clip behind it, in front of a pair that a linear layer reads. With a shift, with
factors of one sign, and where no linear layer reads the pair, it computes them rightly.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import LINEAR, constant, name_of, reached

_LIMITS = ("Clip", "Relu")
_MOVES = frozenset({"Concat", "MaxPool", "Pad", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def signed_before_quantizers(graph: ir.Graph) -> list[str]:
    """Tensors of a Q/DQ graph that such factors, or limits behind them, give to a pair."""
    signed = signed_tensors(graph)
    values = (v for node in graph for v in node.outputs if v.name in signed)
    return [name_of(v) for v in values if any(_is_read(u.node) for u in v.uses())]


def signed_tensors(graph: ir.Graph) -> frozenset[str]:
    """Names of what factors of both signs give, and of what a limit makes of that."""
    found = set[str]()
    for node in graph:
        source = node.inputs[0] if node.inputs else None
        limits = node.op_type in _LIMITS and source is not None and source.name in found
        if limits or _is_signed(node):
            found |= {name_of(v) for v in node.outputs}
    return frozenset(found)


def _is_read(node: ir.Node) -> bool:
    """Whether a reader is a quantizer whose pair a linear layer reads."""
    if node.op_type != "QuantizeLinear":
        return False
    backs = (use.node for use in node.outputs[0].uses())
    return any(_reaches_product(v) for back in backs for v in back.outputs)


def _reaches_product(value: ir.Value) -> bool:
    """Whether a linear layer reads a value, or what only moves it."""
    return any(
        use.node.op_type in LINEAR for each in reached([value], _moved) for use in each.uses()
    )


def _moved(value: ir.Value) -> Iterator[ir.Value]:
    movers = (use.node for use in value.uses() if use.node.op_type in _MOVES)
    return (moved for node in movers for moved in node.outputs)


def _is_signed(node: ir.Node) -> bool:
    return any(bool((f > 0).any() and (f < 0).any()) for f in _factors(node))


def _factors(node: ir.Node) -> Iterator[NDArray[np.float64]]:
    """Constants of several numbers that a node multiplies or divides by, and does nothing else."""
    if node.op_type == "BatchNormalization":
        values = [] if _shifts(node) else [node.inputs[1]]
    elif node.op_type in ("Div", "Mul"):
        values = list(node.inputs[1:] if node.op_type == "Div" else node.inputs)
    else:
        return
    known = (constant(value) for value in values)
    yield from (k.astype(np.float64) for k in known if k is not None and k.size > 1)


@np.errstate(all="ignore")  # a variance below zero makes no number, which counts as a shift
def _shifts(node: ir.Node) -> bool:
    """Whether a BatchNormalization adds something."""
    known = [constant(value) for value in node.inputs[1:5]]
    values = [k.astype(np.float64) for k in known if k is not None]
    if len(values) < len(known):
        return True
    scale, bias, mean, variance = values
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return bool((bias - mean * factor).any())
