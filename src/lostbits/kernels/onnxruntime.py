"""A Q/DQ graph in the arithmetic of ONNX Runtime's integer kernels, as a graph that says so.

ONNX defines a layer between quantizers in float: dequantize, compute, quantize. Kernels add
integers and scale the sum once, in float32, and that rounds otherwise in a few places of a million.
In a deep network these few are enough for two simulations to go ways of their own, so a simulation
that shall follow the runtime has to take its arithmetic. It is spelt out here in standard ops on
integers.

References:
    ONNX Runtime: formulas as in its mlas library (requantize, qladd_avx2, qlgavgpool).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from lostbits.graph.inference import infer
from lostbits.graph.queries import (
    add_initializer,
    constant,
    name_of,
    sole_consumer,
    values_by_name,
)

_LIMITS = ("Clip", "Relu")
_MOVES = ("MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")  # not Flatten
_EPSILON = float(np.finfo(np.float32).eps)  # what ONNX Runtime forgives a limit
_SMALL = (ir.DataType.INT8, ir.DataType.UINT8)
_WIDE = (*_SMALL, ir.DataType.INT16, ir.DataType.UINT16)


def in_integers(model: ir.Model, floats: Collection[str] = frozenset()) -> tuple[ir.Model, int]:
    """A copy whose layers between quantizers compute in integers, and how many those are.

    Layers that no integer kernel takes stay as they are. Names of integer tensors stay too.

    Args:
        model: Q/DQ graph.
        floats: Names of nodes that the runtime left in float although it might not have.
    """
    return rewritten(model, floats, _KERNELS)


def rewritten(
    model: ir.Model, floats: Collection[str], kernels: Mapping[str, "Kernel"]
) -> tuple[ir.Model, int]:
    """A copy whose layers between quantizers are these kernels, by op; see ``in_integers``."""
    return copied(model, lambda graph: replaced(graph, floats, kernels))


def copied(model: ir.Model, put_into: Callable[[ir.Graph], int]) -> tuple[ir.Model, int]:
    """A copy with types into whose graph kernels were put, and how many; nothing unread is left."""
    copy = model.clone()
    infer(copy)
    done = put_into(copy.graph)
    common.RemoveUnusedNodesPass()(copy)
    return copy, done


def replaced(
    graph: ir.Graph, floats: Collection[str], kernels: Mapping[str, "Kernel"], *, wide: bool = False
) -> int:
    """How many layers of a graph have become kernels; what they were stays, read by nobody.

    Args:
        graph: Q/DQ, with types.
        floats: Names of nodes that stay.
        kernels: By op.
        wide: Whether kernels give codes of 16 bits, too.
    """
    quantizers = [node for node in graph if node.op_type == "QuantizeLinear"]
    kinds = _WIDE if wide else _SMALL
    return sum(_rewritten(node, floats, kernels, kinds) for node in quantizers)


@final
@dataclass(frozen=True)
class Codes:
    """An integer tensor with its scale and zero point.

    Attributes:
        value: In the graph.
        scale, zero: One number, or one per channel.
    """

    value: ir.Value
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest code."""
        info = np.iinfo(self.value.dtype.numpy()) if self.value.dtype else np.iinfo(np.uint8)
        return int(info.min), int(info.max)


@final
class Writer:
    """Adds nodes in front of another one, under names that the graph does not have yet."""

    def __init__(self, before: ir.Node) -> None:
        self.before, self.count = before, 0
        assert before.graph is not None
        self.graph, self.taken = before.graph, set(values_by_name(before.graph))

    def __call__(self, op: str, *inputs: ir.Value | NDArray[Any], **attributes: Any) -> ir.Value:
        """Add a node; its output."""
        values = [v if isinstance(v, ir.Value) else self._constant(v) for v in inputs]
        name = self._name("kernel")
        node = ir.node(op, values, attributes, name=name)
        node.outputs[0].name = name
        self.graph.insert_before(self.before, node)
        return node.outputs[0]

    def several(
        self,
        op: str,
        inputs: Sequence[ir.Value | NDArray[Any]],
        outputs: int,
        attributes: Mapping[str, Any],
        domain: str,
    ) -> list[ir.Value]:
        """Add a node of a domain of its own; all of its outputs."""
        values = [v if isinstance(v, ir.Value) else self._constant(v) for v in inputs]
        name = self._name("kernel")
        node = ir.node(op, values, attributes, name=name, domain=domain, num_outputs=outputs)
        for number, value in enumerate(node.outputs):
            value.name = f"{name}_{number}"
        self.graph.insert_before(self.before, node)
        return list(node.outputs)

    def _constant(self, array: NDArray[Any]) -> ir.Value:
        return add_initializer(self.graph, self._name("constant"), array)

    def _name(self, kind: str) -> str:
        while True:
            self.count += 1
            name = f"{name_of(self.before.outputs[0])}__{kind}_{self.count}"
            if name not in self.taken:
                self.taken.add(name)
                return name


def _rewritten(
    quantizer: ir.Node,
    floats: Collection[str],
    kernels: Mapping[str, "Kernel"],
    kinds: Collection[ir.DataType],
) -> bool:
    """Whether the layer in front of a quantizer was replaced by its kernel."""
    node = _layer(quantizer)
    kernel = None if node is None else kernels.get(node.op_type)
    result = affine(quantizer, quantizer.outputs[0])
    if node is None or kernel is None or result is None or node.name in floats:
        return False
    if result.value.dtype not in kinds or result.scale.size > 1:
        return False
    write = Writer(quantizer)
    inputs = [None if v is None else coded(write, v) for v in node.inputs]
    made = kernel(write, node, inputs, result)
    if made is not None:
        put_in_place(quantizer.outputs[0], made)
    return made is not None


def put_in_place(old: ir.Value, made: ir.Value) -> None:
    """Put one value in the place of another, under its name."""
    name, made.type, made.shape = old.name, old.type, old.shape
    ir.convenience.replace_all_uses_with(old, made, replace_graph_outputs=True)
    old.name, made.name = f"{name}__float", name


def _layer(quantizer: ir.Node) -> ir.Node | None:
    """The node whose result is rounded, behind limits that the rounding implies."""
    value = quantizer.inputs[0]
    result = affine(quantizer, quantizer.outputs[0])
    while value is not None and result is not None:
        node = value.producer()
        if node is None or sole_consumer(value) is None:
            return None
        if node.op_type not in _LIMITS:
            return node
        if not _implied(node, result):
            return None
        value = node.inputs[0]
    return None


def _implied(limit: ir.Node, result: Codes) -> bool:
    """Whether the grid ends within the limits of a Clip or Relu, so that kernels leave it out."""
    ends = [float(np.float32(result.scale * (end - result.zero))) for end in result.ends]
    bounds = [constant(v) for v in limit.inputs[1:3]] if limit.op_type == "Clip" else [np.zeros(1)]
    low = -np.inf if not bounds or bounds[0] is None else float(bounds[0].ravel()[0])
    high = np.inf if len(bounds) < 2 or bounds[1] is None else float(bounds[1].ravel()[0])
    return ends[0] >= low - _EPSILON and ends[1] <= high + _EPSILON


def coded(write: "Writer", value: ir.Value) -> Codes | None:
    """The integers behind a value that was dequantized, and perhaps moved since."""
    node = value.producer()
    if node is None or not node.inputs or node.inputs[0] is None:
        return None
    if node.op_type == "DequantizeLinear":
        return affine(node, node.inputs[0])
    if node.op_type not in _MOVES:
        return None
    before = coded(write, node.inputs[0])
    if before is None or before.scale.size > 1:
        return None
    rest = [v for v in node.inputs[1:] if v is not None]
    attributes = {name: a.value for name, a in node.attributes.items() if a.value is not None}
    moved = write(node.op_type, before.value, *rest, **attributes)
    moved.dtype, moved.shape = before.value.dtype or ir.DataType.UINT8, value.shape
    return Codes(moved, before.scale, before.zero)


def affine(node: ir.Node, codes: ir.Value) -> Codes | None:
    """The codes of a quantizer or dequantizer, with its constants; None where it has none."""
    scale = constant(node.inputs[1])
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), np.uint8)
    if scale is None or zero is None:
        return None
    if codes.dtype is None:
        given = node.inputs[2].dtype if len(node.inputs) > 2 and node.inputs[2] else None
        codes.dtype = given or ir.DataType.UINT8
    return Codes(codes, scale.astype(np.float32), zero.astype(np.int64))


Inputs = list[Codes | None]


def _unsigned(write: Writer, x: Codes) -> tuple[ir.Value, NDArray[np.uint8]]:
    """The codes of an activation as uint8, which ConvInteger and MatMulInteger take."""
    zero = x.zero.reshape(())
    if x.value.dtype == ir.DataType.UINT8:
        return x.value, zero.astype(np.uint8)
    wide = write("Cast", x.value, to=ir.DataType.INT32)
    moved = write("Add", wide, np.asarray(128, np.int32))
    return write("Cast", moved, to=ir.DataType.UINT8), (zero + 128).astype(np.uint8)


def _requantized(
    write: Writer, total: ir.Value, scale: NDArray[np.float32], result: Codes
) -> ir.Value:
    """Sum -> float32, times one float32 factor, limited, rounded half to even, zero point added."""
    low, high = (np.asarray(end - result.zero, np.float32).reshape(()) for end in result.ends)
    real = write("Mul", write("Cast", total, to=ir.DataType.FLOAT), scale)
    steps = write("Round", write("Clip", real, low, high))
    codes = write("Add", steps, result.zero.astype(np.float32).reshape(()))
    return write("Cast", codes, to=result.value.dtype)


def _product(x: Codes, w: Codes, result: Codes) -> NDArray[np.float32]:
    return np.asarray(x.scale.reshape(()) * w.scale.ravel() / result.scale.reshape(()), np.float32)


def linear_parts(inputs: Inputs) -> tuple[Codes, Codes, NDArray[np.int32] | None] | None:
    """Input, constant weight and bias of a layer that integer kernels take."""
    x, w, bias = (*inputs, None)[:3]
    codes = None if w is None else constant(w.value)
    small = x is not None and x.value.dtype in _SMALL and x.scale.size == 1
    if x is None or w is None or codes is None or not small or w.value.dtype not in _SMALL:
        return None
    if len(inputs) > 2 and bias is None:
        return None
    added = None if bias is None else constant(bias.value)
    return x, w, None if added is None else added.astype(np.int32)


def _zeros(w: Codes) -> NDArray[Any]:
    """Zero points of a weight in its own type; one, where all are the same."""
    kind = (w.value.dtype or ir.DataType.INT8).numpy()
    zeros = w.zero.ravel().astype(kind)
    return zeros if zeros.size > 1 and np.ptp(zeros) else zeros[0].reshape(())


def _conv_sum(write: Writer, node: ir.Node, x: Codes, w: Codes) -> ir.Value | None:
    codes, zero = _unsigned(write, x)
    attributes = {name: a.value for name, a in node.attributes.items() if a.value is not None}
    return write("ConvInteger", codes, w.value, zero, _zeros(w), **attributes)


def _product_sum(write: Writer, node: ir.Node, x: Codes, w: Codes) -> ir.Value | None:
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    if factors != [1.0, 1.0] or node.attributes.get_int("transA", False):
        return None
    turned = node.attributes.get_int("transB", False)
    weight = write("Transpose", w.value, perm=[1, 0]) if turned else w.value
    codes, zero = _unsigned(write, x)
    return write("MatMulInteger", codes, weight, zero, _zeros(w))


SUMS: Mapping[str, Callable[["Writer", ir.Node, Codes, Codes], ir.Value | None]] = {
    "Conv": _conv_sum,
    "Gemm": _product_sum,
    "MatMul": _product_sum,
}


def over_channels(node: ir.Node, w: Codes) -> tuple[int, ...]:
    """Shape of one number per channel, to broadcast over the output of a layer."""
    rank = len(w.value.shape or ()) if node.op_type in ("Conv", "ConvTranspose") else 1
    return (1, -1) + (1,) * (rank - 2) if rank > 1 else (-1,)


def _layer_sum(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """A linear layer: products, bias, and one factor a channel for all of it."""
    parts = linear_parts(inputs)
    total = None if parts is None else SUMS[node.op_type](write, node, *parts[:2])
    if parts is None or total is None:
        return None
    x, w, bias = parts
    shape = over_channels(node, w)
    if bias is not None:
        total = write("Add", total, bias.reshape(shape))
    return _requantized(write, total, _product(x, w, result).reshape(shape), result)


def float_mean(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """The sum of codes over space, times one factor that divides as well."""
    x, shape = inputs[0], node.inputs[0].shape if node.inputs[0] is not None else None
    if x is None or x.value.dtype not in _SMALL or shape is None:
        return None
    if not all(isinstance(d, int) for d in shape[2:]):
        return None
    sizes = [int(d) for d in shape[2:] if isinstance(d, int)]
    count = int(np.prod(sizes))
    wide = write("Cast", x.value, to=ir.DataType.INT32)
    axes = np.arange(2, len(shape), dtype=np.int64)
    total = write("ReduceSum", wide, axes, keepdims=1)
    total = write("Sub", total, np.asarray(count * x.zero, np.int32).reshape(()))
    scale = x.scale / (result.scale * np.float32(count))
    return _requantized(write, total, np.asarray(scale, np.float32).reshape(()), result)


def float_sum(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
    """Both operands times their factors, and one constant, in fused multiply-adds of float32."""
    a, b = inputs
    if a is None or b is None or not {a.value.dtype, b.value.dtype} <= set(_SMALL):
        return None
    if a.scale.size > 1 or b.scale.size > 1:
        return None
    ratios = [np.float32(c.scale.reshape(()) / result.scale.reshape(())) for c in (a, b)]
    zeros = [np.float32(c.zero.reshape(())) for c in (a, b, result)]
    # The constant is a fused multiply-add as well: no other rounding of it gives all codes.
    second = np.float64(ratios[1] * zeros[1])
    moved = np.float32(np.float64(zeros[0]) * np.float64(ratios[0]) + second)
    total: ir.Value | NDArray[Any] = np.asarray(zeros[2] - moved, np.float32)
    for codes, ratio in ((b, ratios[1]), (a, ratios[0])):
        product = write(
            "Mul", write("Cast", codes.value, to=ir.DataType.DOUBLE), np.asarray(ratio, np.float64)
        )
        before = (
            write("Cast", total, to=ir.DataType.DOUBLE)
            if isinstance(total, ir.Value)
            else total.astype(np.float64)
        )
        total = write("Cast", write("Add", product, before), to=ir.DataType.FLOAT)
    assert isinstance(total, ir.Value)
    low, high = (np.asarray(end, np.float32) for end in result.ends)
    return write("Cast", write("Clip", write("Round", total), low, high), to=result.value.dtype)


Kernel = Callable[[Writer, ir.Node, Inputs, Codes], ir.Value | None]
_KERNELS: Mapping[str, Kernel] = {
    "Add": float_sum,
    "Conv": _layer_sum,
    "Gemm": _layer_sum,
    "GlobalAveragePool": float_mean,
    "MatMul": _layer_sum,
}
