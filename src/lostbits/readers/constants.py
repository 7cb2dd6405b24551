"""The constants of a quantized model as the numbers that they stand for, however it stores them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.qdq_view import operands
from lostbits.graph.queries import constant, name_of, node_name
from lostbits.graph.site import Site, Use
from lostbits.grid import along
from lostbits.readers.dynamic_ops import Weight, dynamic_weights
from lostbits.readers.integer_ops import OPS, layout, present, weight_axis
from lostbits.readers.onnx_model import TURNED, stripped

Array = NDArray[np.float32]


@final
@dataclass(frozen=True)
class Constants:
    """Arrays by the names that a float model may have for them, and by the inputs that read them.

    Integer codes are new tensors with names that a tool made up; the reader is what stays.
    """

    names: dict[str, Array]
    uses: dict[Use, Array]

    def of(self, site: Site) -> Array | None:
        """The array of a constant's site; None where the model has none for it."""
        read = (self.uses[use] for use in site.uses if use in self.uses)
        return next(read, self.names.get(site.tensor))


@np.errstate(over="ignore")  # to infinity, which a run of the file names the first tensor of
def constants_of(graph: ir.Graph) -> Constants:
    """Weights and biases of a Q/DQ or QOperator graph that was ``opened``, dequantized."""
    found = Constants({}, {})
    for (reader, index), operand in operands(graph).items():
        values = operand.values.astype(np.float32)
        _put(found, operand.tensor, (Use(reader, index),), values)
    for node in graph:
        if node.op_type in OPS:
            _put_weight(found, node)
    for weight in dynamic_weights(graph):
        _put_of_run(found, weight)
    return found


def _put_of_run(found: Constants, weight: Weight) -> None:
    """A weight of a file without static activations, also as the Gemm had it before a MatMul."""
    names = () if weight.node is None else _names(weight.node)
    tensors = [weight.tensor] if weight.output is None else [weight.tensor, name_of(weight.output)]
    for tensor in tensors:
        _put(found, tensor, tuple(Use(n, weight.index) for n in names), weight.values)
        for name in (tensor, *stripped(tensor)):
            if name.endswith(TURNED) and weight.values.ndim == 2:
                turned = np.ascontiguousarray(weight.values.T)
                found.names.setdefault(name.removesuffix(TURNED), turned)


def _names(node: ir.Node) -> tuple[str, ...]:
    return (node_name(node), *stripped(node_name(node)))


def _put(found: Constants, tensor: str, uses: tuple[Use, ...], values: Array) -> None:
    for name in (tensor, *stripped(tensor)):
        found.names.setdefault(name, values)
    for use in uses:
        found.uses.setdefault(use, values)


def _put_weight(found: Constants, node: ir.Node) -> None:
    """The second operand of an integer op, and the bias in its accumulator."""
    places = layout(node)
    if len(places.operands) < 2:
        return
    names = (node_name(node), *stripped(node_name(node)))
    x, w = (list(present(node, positions)) for positions in places.operands[:2])
    weight, x_scale = _dequantized(node, w), constant(x[1])
    if weight is None or x_scale is None or x_scale.size != 1:
        return
    values, scale = weight
    _put(found, name_of(w[0]), tuple(Use(n, 1) for n in names), values)
    for bias in present(node, () if places.bias is None else (places.bias,)):
        codes, product = constant(bias), x_scale.astype(np.float64).ravel() * scale
        if codes is not None and codes.ndim == 1 and product.size in (1, codes.size):
            reals = (codes.astype(np.float64) * product).astype(np.float32)
            _put(found, name_of(bias), tuple(Use(n, 2) for n in names), reals)


def _dequantized(node: ir.Node, parts: list[ir.Value]) -> tuple[Array, NDArray[np.float64]] | None:
    codes, scale = constant(parts[0]), constant(parts[1])
    zero = constant(parts[2]) if len(parts) > 2 else np.zeros(1)
    if codes is None or scale is None or zero is None or zero.size not in (1, scale.size):
        return None
    axis, steps = weight_axis(node, scale.size), scale.astype(np.float64).ravel()
    if axis is not None and (axis >= codes.ndim or codes.shape[axis] != scale.size):
        return None
    shaped = [along(v.astype(np.float64).ravel(), codes.ndim, axis) for v in (steps, zero)]
    if axis is None:
        shaped = [v.reshape(()) for v in shaped]
    return ((codes - shaped[1]) * shaped[0]).astype(np.float32), steps
