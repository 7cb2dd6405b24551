"""A device of our own: it runs a Q/DQ graph node by node, and can be given one fault.

It shares nothing with the package but the graph: quantizers are a few lines of NumPy, other nodes
are run one by one. So what it does wrong is known, and where.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import helper

from lostbits.case import Case
from lostbits.runtime.simulation import quantized_model
from small_nets import Net, narrowed

Array = np.ndarray[Any, Any]
LINEAR = {"Conv", "Gemm", "MatMul"}


@dataclass(frozen=True)
class Grid:
    """Of one quantizer on the device."""

    scale: Array
    zero: Array
    axis: int
    low: int
    high: int


@dataclass(frozen=True)
class Fault:
    """What a device does wrong at one tensor.

    Attributes:
        tensor: Which.
        grid: Another grid.
        rounded: Another rule of rounding.
        codes: Changes codes.
        inside: Changes values before they are rounded.
        weight: Changes codes and scales of the layer's weight: gives real values.
        read: Changes what the layer reads.
        bias: Whether the layer adds its bias.
        sums: Changes the integer sums of the layer.
        product: Takes codes of input and weight to sums, where the layer is a MatMul.
        in_float: Whether the values are not rounded at all.
    """

    tensor: str
    grid: Callable[[Grid], Grid] = lambda grid: grid
    rounded: Callable[[Array], Array] = np.rint
    codes: Callable[[Array], Array] = lambda codes: codes
    inside: Callable[[Array], Array] = lambda values: values
    weight: Callable[[Array, Array, int], Array] | None = None
    read: Callable[[Array], Array] = lambda values: values
    bias: bool = True
    sums: Callable[[Array], Array] | None = None
    product: Callable[[Array, Array], Array] | None = None
    in_float: bool = False


@dataclass
class Device:
    """Runs a plan.

    Args:
        case: The plan.
        fault: What it does wrong.
    """

    case: Case
    fault: Fault | None = None
    grids: dict[str, Grid] = field(default_factory=dict)

    def __post_init__(self) -> None:
        model = ir.to_proto(quantized_model(self.case))
        self.graph = model.graph
        self.opset = model.opset_import
        self.constants = {i.name: onnx.numpy_helper.to_array(i) for i in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        self.producers = {name: node for node in self.graph.node for name in node.output}

    def tensors(self) -> dict[str, str]:
        """Names of the quantized activations by names of their codes."""
        return {
            n.output[0]: n.input[0]
            for n in self.graph.node
            if n.op_type == "QuantizeLinear" and n.input[0] not in self.constants
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
        """Codes, and reals, by name of the tensor."""
        values: dict[str, Array] = {**self.constants, **feeds}
        found = {}
        for node in self.graph.node:
            if node.op_type == "Constant":
                continue
            if node.op_type == "QuantizeLinear":
                self._quantize(node, values)
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node, values)
            elif self.fault is not None and self._hit(node):
                self._layer(node, values, self.fault)
            else:
                self._plain(node, values)
        for codes, tensor in self.tensors().items():
            back = next(
                n
                for n in self.graph.node
                if n.op_type == "DequantizeLinear" and n.input[0] == codes
            )
            found[tensor] = values[codes], values[back.output[0]]
        return found

    def _hit(self, node: onnx.NodeProto) -> bool:
        """Whether the fault is in the layer that this node begins."""
        assert self.fault is not None
        name = self.fault.tensor
        while name in self.producers and self.producers[name].op_type not in LINEAR:
            name = self.producers[name].input[0]
        return name == node.output[0]

    def _grid(self, node: onnx.NodeProto, values: Mapping[str, Array]) -> Grid:
        zero = values[node.input[2]] if len(node.input) > 2 else np.uint8(0)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        info = np.iinfo(np.asarray(zero).dtype)
        return Grid(np.asarray(values[node.input[1]]), np.asarray(zero), axis, info.min, info.max)

    def _quantize(self, node: onnx.NodeProto, values: dict[str, Array]) -> None:
        x, name = values[node.input[0]].astype(np.float64), node.output[0]
        grid, fault = self._grid(node, values), self.fault
        if fault is None or fault.tensor != node.input[0]:
            values[name] = quantized(x, grid)
            self.grids[name] = grid
            return
        mine = fault.grid(grid)
        x = fault.inside(x)
        if fault.in_float:
            values[name] = x / grid.scale + grid.zero.astype(np.float64)
        else:
            values[name] = fault.codes(quantized(x, mine, fault.rounded))
        # a wrong zero point is one that the next layer does not know of
        self.grids[name] = replace(mine, zero=grid.zero)

    def _dequantize(self, node: onnx.NodeProto, values: dict[str, Array]) -> None:
        grid = self.grids.get(node.input[0]) or self._grid(node, values)
        codes = values[node.input[0]]
        scale, zero = (spread(v, codes.ndim, grid.axis) for v in (grid.scale, grid.zero))
        reals = (codes.astype(np.float64) - zero) * scale
        values[node.output[0]] = reals.astype(np.float32)

    def _layer(self, node: onnx.NodeProto, values: dict[str, Array], fault: Fault) -> None:
        inside = dict(values)
        inside[node.input[0]] = fault.read(values[node.input[0]])
        back = self.producers.get(node.input[1])
        scale = np.ones(1)
        if back is not None and back.op_type == "DequantizeLinear":
            grid = self._grid(back, values)
            scale = np.asarray(grid.scale, np.float64)
            if fault.weight is not None:
                codes = values[back.input[0]].astype(np.float64)
                inside[node.input[1]] = fault.weight(codes, scale, grid.axis).astype(np.float32)
        if not fault.bias and len(node.input) > 2:
            inside[node.input[2]] = np.zeros_like(values[node.input[2]])
        self._plain(node, inside)
        y = inside[node.output[0]]
        quantizer = self.producers.get(node.input[0], node).input[0]
        if fault.product is not None:
            assert back is not None
            x, w = values[quantizer].astype(np.int64), values[back.input[0]].astype(np.int64)
            zero = int(self.grids[quantizer].zero)
            sums = fault.product(x, w) - zero * w.sum(0)
            y = (sums * np.asarray(self.grids[quantizer].scale, np.float64) * scale).astype(y.dtype)
        if fault.sums is not None:
            unit = np.asarray(self.grids[quantizer].scale, np.float64) * scale
            unit = spread(unit, y.ndim, 1 if node.op_type == "Conv" else y.ndim - 1)
            y = (fault.sums(np.rint(y / unit)) * unit).astype(np.float32)
        values[node.output[0]] = y

    def _plain(self, node: onnx.NodeProto, values: dict[str, Array]) -> None:
        inputs = {n: values[n] for n in node.input if n}
        session = _session(
            node.SerializeToString(),
            tuple((n, str(v.dtype)) for n, v in inputs.items()),
            self.opset[0].version,
        )
        for name, value in zip(node.output, session.run(None, inputs), strict=True):
            values[name] = value


@cache
def _session(content: bytes, types: tuple[tuple[str, str], ...], opset: int) -> Any:
    node = onnx.NodeProto.FromString(content)
    kinds = {n: helper.np_dtype_to_tensor_dtype(np.dtype(t)) for n, t in types}
    inputs = [helper.make_tensor_value_info(n, k, None) for n, k in kinds.items()]
    outputs = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in node.output]
    graph = helper.make_graph([node], "node", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def spread(values: Array, rank: int, axis: int) -> Array:
    values = np.asarray(values, np.float64)
    if values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def quantized(x: Array, grid: Grid, rounded: Callable[[Array], Array] = np.rint) -> Array:
    """Codes of reals."""
    scale, zero = (spread(v, x.ndim, grid.axis) for v in (grid.scale, grid.zero))
    return np.clip(rounded(x / scale + zero), grid.low, grid.high).astype(grid.zero.dtype)


def residual() -> onnx.ModelProto:
    """Convolutions with a residual Add; the middle one is square and has no activation."""
    net = Net(1)
    stem = net.relu6(net.conv("x", (8, 3, 3), stride=2))
    middle = net.conv(stem, (8, 8, 3))
    deep = net.relu6(net.conv(middle, (8, 8, 3)))
    block = net.add("Add", [deep, stem])
    flat = net.add("Flatten", [net.add("GlobalAveragePool", [block])])
    return net.model([3, 16, 16], net.gemm(flat, 8, 5))


def depthwise() -> onnx.ModelProto:
    """Depthwise and pointwise convolutions, and a Concat."""
    net = Net(2)
    stem = net.add("Relu", [net.conv("x", (12, 3, 3), stride=2)])
    deep = net.add("Relu", [net.conv(stem, (12, 12, 3), group=12)])
    middle = net.conv(deep, (12, 12, 1))
    side = net.add("Relu", [net.conv(middle, (8, 12, 1))])
    both = net.add("Concat", [middle, side], axis=1)
    pooled = net.add("MaxPool", [both], kernel_shape=[2, 2], strides=[2, 2])
    flat = net.add("Flatten", [net.add("GlobalAveragePool", [pooled])])
    return net.model([3, 16, 16], net.gemm(flat, 20, 5))


def attention() -> onnx.ModelProto:
    """One head of attention over ten tokens."""
    net = Net(3)
    middle = net.add("MatMul", ["x", net.normal(16, 16)])
    query = net.add("MatMul", [middle, net.normal(16, 16)])
    key = net.add("MatMul", [middle, net.normal(16, 16)])
    turned = net.add("Transpose", [key], perm=[0, 2, 1])
    scores = net.add("Softmax", [net.add("MatMul", [query, turned])], axis=-1)
    mixed = net.add("MatMul", [scores, middle])
    return net.model([10, 16], net.add("MatMul", [mixed, net.normal(16, 4)]), rank=3)


def narrowed_at(case: Case, tensor: str, factor: float = 0.7) -> Case:
    """The case with a narrower range at a tensor, as a range method would choose it."""
    return narrowed(case, f"{tensor}:activation", factor)
