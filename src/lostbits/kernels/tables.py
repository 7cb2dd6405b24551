"""Functions of one variable as tables of codes.

References:
    TensorFlow Lite, kernels/internal/common.h (LUTPopulate): halves away from zero.
"""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from lostbits.kernels.integer_ops import DOMAIN
from lostbits.kernels.onnxruntime import Codes, Inputs, Writer
from lostbits.kernels.rounding import whole

_ENTRIES = 513  # of a table for codes of 16 bits: every 128th, and the one behind the last
_LATEST = 22  # opset whose ops ONNX's reference has


def looked_up(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """An activation by its table; None for codes of neither 8 nor 16 bits."""
    x = inputs[0]
    if x is None or x.scale.size > 1 or x.value.dtype is None or len(node.inputs) > 1:
        return None
    info = np.iinfo(x.value.dtype.numpy())
    if info.bits == 8:
        codes, op = np.arange(info.min, info.max + 1), "Lookup"
    else:
        codes, op = info.min + 128 * np.arange(_ENTRIES), "Interpolate"
    entries = _of(node, x, codes, result)
    kind = result.value.dtype or ir.DataType.UINT8
    settings = {"table": ir.tensor(entries), "to": int(kind), "zero": 0}
    (made,) = write.several(op, [x.value], 1, settings, DOMAIN)
    made.dtype = kind
    return made


def _of(node: ir.Node, x: Codes, codes: NDArray[np.int64], result: Codes) -> NDArray[Any]:
    """What a function makes of codes, in codes of the result, limited to them."""
    real = ((codes - x.zero) * x.scale.astype(np.float64)).astype(np.float32).ravel()
    values = _evaluated(node, real).astype(np.float64)
    steps = whole(values / result.scale.astype(np.float64), "half_away") + result.zero
    kind = (result.value.dtype or ir.DataType.UINT8).numpy()
    return np.clip(steps, *result.ends).astype(kind)


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
