"""A Q/DQ graph in the arithmetic of OpenVINO's CPU kernels: integer sums, and float32 behind them.

References:
    OpenVINO, src/common/low_precision_transformations (Add, FakeQuantize) and
    src/plugins/intel_cpu/src/dnnl_postops_composer.cpp. What they leave open, the order in which
    float32 rounds, was found by comparing codes with 2026.4.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import constant, sole_consumer
from lostbits.kernels.onnxruntime import (
    SUMS,
    Writer,
    affine,
    coded,
    copied,
    linear_parts,
    over_channels,
    put_in_place,
)


def accumulated(model: ir.Model, floats: Collection[str] = frozenset()) -> tuple[ir.Model, int]:
    """A copy whose layers add integers and do the rest in float32, and how many those are.

    So does OpenVINO: sum, times one scale, plus a float bias. What follows is float until the next
    quantizer, which multiplies and shifts by numbers that come from the ends of the range. Integers
    that are added to floats are not dequantized: the floats are brought to their unit.

    Args:
        model: Q/DQ graph.
        floats: Names of nodes that the runtime left in float although it might not have.
    """
    return copied(model, lambda graph: put_into(graph, floats))


def put_into(graph: ir.Graph, floats: Collection[str]) -> int:
    """How many layers of a graph with types have become kernels; what they were is left unread."""
    layers = [n for n in graph if n.op_type in SUMS and n.name not in floats]
    sums = [n for n in graph if n.op_type == "Add"]  # not those of a bias, made below
    done = sum(_scaled(node) for node in layers)
    units = dict(filter(None, map(_in_codes, sums)))
    for node in [n for n in graph if n.op_type == "QuantizeLinear"]:
        _by_range(node, units)
    return done


def _scaled(node: ir.Node) -> bool:
    """Whether a linear layer was replaced by a sum of integers and its scale."""
    write = Writer(node)
    parts = linear_parts([None if v is None else coded(write, v) for v in node.inputs[:2]])
    total = None if parts is None else SUMS[node.op_type](write, node, *parts[:2])
    if parts is None or total is None:
        return False
    shape = over_channels(node, parts[1])
    scale = np.asarray(parts[0].scale.reshape(()) * parts[1].scale.ravel(), np.float32)
    real = write("Mul", write("Cast", total, to=ir.DataType.FLOAT), scale.reshape(shape))
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = write("Reshape", node.inputs[2], np.asarray(shape, np.int64))
        real = write("Add", real, bias)
    put_in_place(node.outputs[0], real)
    return True


def _in_codes(node: ir.Node) -> tuple[ir.Value, np.float32] | None:
    """A sum of codes and floats in the unit of the codes, and that unit; None for other sums.

    A quantizer behind it takes the unit over. Whatever else reads it gets it dequantized.
    """
    write, (here, there) = Writer(node), node.inputs
    if here is None or there is None:
        return None
    found = [coded(write, value) for value in (here, there)]
    codes, real = (found[0], there) if found[0] is not None else (found[1], here)
    if codes is None or None not in found or codes.scale.size > 1 or constant(real) is not None:
        return None
    unit, zero = (np.asarray(v, np.float32).reshape(()) for v in (codes.scale, codes.zero))
    moved = write("Sub", real, np.asarray(zero * unit, np.float32))
    steps = write("Mul", moved, np.asarray(np.float32(1) / unit, np.float32))
    total = write("Add", steps, write("Cast", codes.value, to=ir.DataType.FLOAT))
    kept = _rounded_next(node)
    put_in_place(node.outputs[0], total if kept else write("Mul", total, unit))
    return (total, np.float32(unit)) if kept else None


def _rounded_next(node: ir.Node) -> bool:
    """Whether a quantizer is all that reads the result, so that it can take another unit."""
    reader = sole_consumer(node.outputs[0])
    return reader is not None and reader.op_type == "QuantizeLinear"


def _by_range(quantizer: ir.Node, units: Mapping[ir.Value, np.float32]) -> None:
    """Round to a grid as OpenVINO does, to which it is a range and a number of levels."""
    value, result = quantizer.inputs[0], affine(quantizer, quantizer.outputs[0])
    if value is None or constant(value) is not None or result is None or result.scale.size > 1:
        return
    write, (first, last) = Writer(quantizer), result.ends
    ends = (np.float32(result.scale * (end - result.zero)) for end in result.ends)
    low, high = (np.float32(end / units.get(value, np.float32(1))) for end in ends)
    factor = np.float32(last - first) / np.float32(high - low)
    shift = np.float32(-low * np.float32(last - first)) / np.float32(high - low)
    wide = write("Mul", write("Cast", value, to=ir.DataType.DOUBLE), np.asarray(factor, np.float64))
    moved = write("Add", wide, np.asarray(shift, np.float64))  # rounds once: a fused multiply-add
    whole = write("Round", write("Cast", moved, to=ir.DataType.FLOAT))
    steps = write("Add", whole, np.asarray(first, np.float32))
    codes = write("Clip", steps, *(np.asarray(end, np.float32) for end in result.ends))
    put_in_place(quantizer.outputs[0], write("Cast", codes, to=result.value.dtype))
