"""A Q/DQ graph in the arithmetic of Qualcomm's HTP: integer sums, and short multipliers.

The HTP has no float unit to requantize with. It adds the zero point of the output, in the unit of
the sum, to the bias; drops the low bits of the sum, so that 3 or 4 bits below one code are left;
and multiplies by a factor of 14 fractional bits.

References:
    None is public. Every step was found by fitting it to the codes that onnxruntime-qnn 2.7 gives
    on x86-64; see benchmarks/runtimes.py.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.kernels.onnxruntime import (
    SUMS,
    Codes,
    Inputs,
    Kernel,
    Writer,
    affine,
    copied,
    linear_parts,
    over_channels,
    put_in_place,
    replaced,
)

_FACTOR_BITS = 14
_GUARD_BITS = 4  # below one code, at most, when the sum is cut off
_LONG_BITS = 15  # of the factors of depthwise convolutions with strides
_LEAST_RATIO = 2.0**-16  # that such a factor can be; with a smaller one, a layer is as any other
_SUM_BITS = 13  # of the factors of an Add whose sum lies between 1 and 2
_STEP = 256  # of the constant of an Add
_Doubles = NDArray[np.float64]


def in_fixed_point(model: ir.Model, floats: Collection[str] = frozenset()) -> tuple[ir.Model, int]:
    """A copy whose layers between quantizers compute as the HTP does, and how many those are.

    Args:
        model: Q/DQ graph.
        floats: Names of nodes that the runtime left in float although it might not have.
    """
    return copied(model, lambda graph: put_into(graph, floats))


def put_into(graph: ir.Graph, floats: Collection[str]) -> int:
    """How many layers of a graph with types have become kernels; what they were is left unread."""
    done = replaced(graph, floats, _KERNELS)
    for node in [n for n in graph if n.op_type == "QuantizeLinear"]:
        if node.inputs[0] is not None and node.inputs[0].is_graph_input():
            _entered(node)
    return done


def _entered(quantizer: ir.Node) -> None:
    """Inputs are divided in float16, and ties rounded away from zero."""
    value, result = quantizer.inputs[0], affine(quantizer, quantizer.outputs[0])
    if value is None or result is None or result.scale.size > 1:
        return
    write = Writer(quantizer)
    wide = write("Cast", value, to=ir.DataType.DOUBLE)
    quotient = write("Div", wide, result.scale.astype(np.float64).reshape(()))
    short = write("Cast", write("Cast", quotient, to=ir.DataType.FLOAT16), to=ir.DataType.DOUBLE)
    size = write("Floor", write("Add", write("Abs", short), np.asarray(0.5)))
    steps = write("Mul", write("Sign", short), size)
    codes = write("Add", steps, result.zero.astype(np.float64).reshape(()))
    put_in_place(quantizer.outputs[0], _limited(write, codes, result))


def _limited(write: Writer, codes: ir.Value, result: Codes) -> ir.Value:
    ends = (np.asarray(end, np.float64) for end in result.ends)
    return write("Cast", write("Clip", codes, *ends), to=result.value.dtype)


def _doubled(value: NDArray[np.float32]) -> _Doubles:
    return value.astype(np.float64)


def _layer(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """A linear layer."""
    parts = linear_parts(inputs)
    total = None if parts is None else SUMS[node.op_type](write, node, *parts[:2])
    if parts is None or total is None:
        return None
    x, w, bias = parts
    shape = over_channels(node, w)
    ratio = _doubled(x.scale.reshape(())) * _doubled(w.scale.ravel()) / _doubled(result.scale)
    zero = np.rint(result.zero / ratio)
    constants = zero if bias is None else zero + bias.astype(np.float64)
    wide = write("Cast", total, to=ir.DataType.DOUBLE)
    wide = write("Add", wide, constants.reshape(shape))
    if _steps(node, w) and ratio.min() >= _LEAST_RATIO:
        return _whole(write, wide, ratio.reshape(shape), result)
    return _cut(write, wide, ratio.reshape(shape), result)


def _steps(node: ir.Node, w: Codes) -> bool:
    """Whether a layer is a depthwise convolution that leaves values out."""
    strides = node.attributes.get_ints("strides", (1,))
    depthwise = node.attributes.get_int("group", 1) > 1 and (w.value.shape or (0, 0))[1] == 1
    return node.op_type == "Conv" and depthwise and max(strides) > 1


def _whole(write: Writer, wide: ir.Value, ratio: _Doubles, result: Codes) -> ir.Value:
    """Multiplied by factors of 15 significant bits, rounded half up; nothing is cut off."""
    one = 2.0 ** (_LONG_BITS - np.ceil(np.log2(ratio)))
    real = write("Mul", wide, np.rint(ratio * one) / one)
    return _limited(write, write("Floor", write("Add", real, np.asarray(0.5))), result)


def _cut(write: Writer, wide: ir.Value, ratio: _Doubles, result: Codes) -> ir.Value:
    """Cut off, multiplied, rounded half up. In float64, which holds all of it exactly."""
    bits = np.ceil(-np.log2(ratio)) - _GUARD_BITS
    factor = np.rint(ratio * 2.0 ** (bits + _FACTOR_BITS)) / 2.0**_FACTOR_BITS
    short = write("Floor", write("Mul", wide, 2.0**-bits))
    codes = write("Floor", write("Add", write("Mul", short, factor), np.asarray(0.5)))
    return _limited(write, codes, result)


def _sum(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """Two operands by factors that share a power of two, and a constant that is a multiple."""
    if any(each is None or each.scale.size > 1 for each in inputs) or result.scale.size > 1:
        return None
    operands = [each for each in inputs if each is not None]
    ratios = [float(each.scale / _doubled(result.scale)) for each in operands]
    one = 2.0 ** (_SUM_BITS - np.floor(np.log2(sum(ratios))))
    factors = [np.rint(ratio * one) for ratio in ratios]
    zeros = sum(f * float(each.zero) for f, each in zip(factors, operands, strict=True))
    constant = _STEP * np.rint(((float(result.zero) + 0.5) * one - zeros) / _STEP)
    total: ir.Value | _Doubles = np.asarray(constant)
    for factor, each in zip(factors, operands, strict=True):
        wide = write("Cast", each.value, to=ir.DataType.DOUBLE)
        total = write("Add", write("Mul", wide, np.asarray(factor)), total)
    codes = write("Floor", write("Mul", total, np.asarray(1 / one)))
    return _limited(write, codes, result)


_KERNELS: Mapping[str, Kernel] = {"Add": _sum, "Conv": _layer, "Gemm": _layer, "MatMul": _layer}
