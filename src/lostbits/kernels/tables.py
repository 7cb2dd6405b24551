"""Functions of one variable as tables of codes.

References:
    TensorFlow Lite, kernels/internal/common.h (LUTPopulate, LUTLookup): halves away from zero; of
    16 bits, entries are moved by half of what a straight line misses the middle by.
"""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from lostbits.kernels.integer_ops import DOMAIN
from lostbits.kernels.lines import sampled
from lostbits.kernels.onnxruntime import Codes, Inputs, Writer
from lostbits.kernels.rounding import whole

_PARTS = 512  # of the range of codes of 16 bits, with a straight line in each
_LATEST = 22  # opset whose ops ONNX's reference has


def looked_up(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """An activation by its table; None for codes of neither 8 nor 16 bits."""
    x = inputs[0]
    if x is None or x.scale.size > 1 or x.value.dtype is None or len(node.inputs) > 1:
        return None
    kind = result.value.dtype or ir.DataType.UINT8
    small = np.iinfo(x.value.dtype.numpy()).bits == 8
    entries = _of_8_bits(node, x, result) if small else _of_16_bits(node, x, result)
    limited = np.clip(entries + result.zero, *result.ends).astype(kind.numpy())
    settings = {"table": ir.tensor(limited), "to": int(kind), "zero": 0}
    (made,) = write.several("Lookup" if small else "Interpolate", [x.value], 1, settings, DOMAIN)
    made.dtype = kind
    return made


def _of_8_bits(node: ir.Node, x: Codes, result: Codes) -> NDArray[np.float64]:
    """What a function makes of every code, in steps of the result."""
    first, last = x.ends
    codes = np.arange(first, last + 1)
    real = ((codes - x.zero) * x.scale.astype(np.float64)).astype(np.float32).ravel()
    values = _evaluated(node, real).astype(np.float64)
    return whole(values / result.scale.astype(np.float64), "half_away")


def _of_16_bits(node: ir.Node, x: Codes, result: Codes) -> NDArray[np.float64]:
    """The same at the borders of the parts of the range."""
    first, last = ((end - x.zero) * x.scale.astype(np.float64) for end in x.ends)
    places = np.arange(2 * _PARTS + 1) / (2 * _PARTS)
    real = (first + places * (last - first)).astype(np.float32).ravel()
    values = _evaluated(node, real).astype(np.float64)
    low, high = result.ends
    steps = (high - low + 1) / ((high - low) * result.scale.astype(np.float64))
    return sampled(values[::2], values[1::2], float(steps.reshape(())))


def _evaluated(node: ir.Node, x: NDArray[np.float32]) -> NDArray[Any]:
    """By ONNX's own definition."""
    proto = ir.to_proto(node)
    proto.input[0], proto.output[0] = "x", "y"
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "xy"]
    graph = onnx.helper.make_graph([proto], "table", ends[:1], ends[1:])
    opset = [onnx.helper.make_opsetid("", _LATEST)]
    (y,) = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opset)).run(
        None, {"x": x}
    )
    return np.asarray(y)
