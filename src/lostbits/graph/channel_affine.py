"""Scales and shifts per channel, folded into the linear layer before or behind them.

Exporters write them as BatchNormalization, or as Mul and Add of constants: PaddlePaddle and
TensorFlow give a convolution its bias so, and whoever takes a BatchNormalization apart. Engines
fold them; left alone, a bias would be an operand of 8 bits with quantizers around it.

    s (W x + b) + t = (s W) x + (s b + t)
    W (s x + t) + b = (W s) x + (W t + b)

The second holds at padded borders for a scale only, because a border is zero and not ``t``.

What brings inputs of the network to one size stays; see ``unlike_inputs``.
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.fusion import bias_of_matmul
from lostbits.graph.match_layer_norm import layer_norm_nodes
from lostbits.graph.own_constants import set_input, take_over
from lostbits.graph.queries import (
    LINEAR,
    add_initializer,
    constant,
    name_of,
    node_name,
    rank,
    sole_consumer,
)
from lostbits.graph.remove_idle_nodes import replace
from lostbits.graph.unlike_inputs import POINTWISE, evens
from lostbits.graph.weight_channels import (
    input_channels,
    of_shifted_inputs,
    output_channels,
    pads,
    with_scaled_inputs,
    with_scaled_outputs,
)

Vector = NDArray[np.float64]


class Affine(NamedTuple):
    """``y = scale * x + shift`` per channel; each of one value, or of one a channel.

    Attributes:
        name: Of the constant that is the shift, if one is.
    """

    scale: Vector
    shift: Vector
    name: str | None = None


@final
@dataclass(frozen=True)
class Folded:
    """What was folded.

    Attributes:
        norms: BatchNormalizations.
        affines: Other nodes.
        left: Outputs of the BatchNormalizations that could not be.
    """

    norms: int
    affines: int
    left: list[str]


def fold_affines(model: ir.Model) -> Folded:
    """Fold whatever scales or shifts the channels of a linear layer, before it or behind it."""
    graph, counts = model.graph, {True: 0, False: 0}
    norms = {node for body in layer_norm_nodes(graph) for node in body}
    forwards = list(graph)
    for fold, nodes in ((_fold_behind, forwards), (_fold_before, reversed(forwards))):
        for node in nodes:
            if node not in norms and node.graph is graph and fold(graph, node):
                counts[node.op_type == "BatchNormalization"] += 1
    left = [name_of(n.outputs[0]) for n in graph if n.op_type == "BatchNormalization"]
    return Folded(counts[True], counts[False], left)


def asks_for_ranks(graph: ir.Graph) -> bool:
    """Whether a constant of several axes scales or shifts something of unknown rank."""
    return any(
        node.op_type in POINTWISE
        and any(a is not None and a.ndim > 1 for a in map(constant, node.inputs))
        for node in graph
        if any(v is not None and constant(v) is None and v.shape is None for v in node.inputs)
    )


def keeps_affines(graph: ir.Graph) -> bool:
    """Whether a quantized graph rounds between a linear layer and what scales or shifts it.

    The Add behind a MatMul is its bias there as well, and nothing that is folded.
    """
    return any(n.op_type == "BatchNormalization" or _apart(n) for n in graph)


def _apart(node: ir.Node) -> bool:
    if node.op_type not in POINTWISE or len(node.inputs) != 2:
        return False
    origins = [_origin(v) for v in node.inputs]
    made = [o for o in origins if isinstance(o, ir.Node) and o.op_type in LINEAR]
    known = any(o is not None and not isinstance(o, ir.Node) and _is_constant(o) for o in origins)
    if not made or not known:
        return False
    return made[0].op_type != "MatMul" or node.op_type in ("Div", "Mul")


def _origin(value: ir.Value | None) -> ir.Node | ir.Value | None:
    """The node that made a value, or the constant or input that it is, behind its quantizers."""
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in ("DequantizeLinear", "QuantizeLinear"):
            return node
        value = node.inputs[0]
    return value


def _is_constant(value: ir.Value) -> bool:
    return constant(value) is not None


def _fold_behind(graph: ir.Graph, node: ir.Node) -> bool:
    """``node`` follows a linear layer."""
    found = _layer_before(node)
    if found is None:
        return False
    linear, index = found
    if linear.op_type == "Add":
        return _behind_bias(graph, node, linear, index)
    weight = _weight(linear)
    channels = None if weight is None else output_channels(linear, weight)
    affine = None if channels is None else affine_of(node, index, _layout(linear), channels)
    if weight is None or channels is None or affine is None or _scaled_gemm(linear):
        return False
    if linear.op_type == "MatMul":
        return _behind_matmul(graph, node, linear, affine, weight)
    bias = _float32(linear, 2)
    if bias is None or bias.ndim > 1:
        return False
    if (affine.scale != 1).any():
        set_input(graph, linear, 1, with_scaled_outputs(linear, weight, affine.scale))
    shift = np.broadcast_to(affine.shift + bias * affine.scale, channels)
    if len(linear.inputs) > 2 or shift.any() or node.op_type == "BatchNormalization":
        set_input(graph, linear, 2, shift, affine.name)
    take_over(node, linear)
    return True


def _behind_matmul(
    graph: ir.Graph, node: ir.Node, linear: ir.Node, affine: Affine, weight: Vector
) -> bool:
    """A MatMul has no bias, so that an Add stays, in the form by which its bias is known."""
    size = weight.shape[-1]
    if node.op_type == "Add":
        index = next(i for i, v in enumerate(node.inputs) if constant(v) is not None)
        array = constant(node.inputs[index])
        if array is not None and array.shape != (size,):
            set_input(graph, node, index, np.broadcast_to(affine.shift, size))
        return False
    set_input(graph, linear, 1, with_scaled_outputs(linear, weight, affine.scale))
    if affine.shift.any():
        linear = _with_bias(graph, node, linear, np.broadcast_to(affine.shift, size))
    take_over(node, linear)
    return True


def _with_bias(graph: ir.Graph, node: ir.Node, linear: ir.Node, bias: Vector) -> ir.Node:
    """The Add of a bias, behind a MatMul and before what ``node`` is."""
    value = add_initializer(
        graph, f"{name_of(node.outputs[0])}.bias", np.ascontiguousarray(bias, np.float32)
    )
    add = ir.node("Add", [linear.outputs[0], value], name=f"{node_name(node)}.bias")
    add.outputs[0].name = f"{name_of(node.outputs[0])}__biased"
    graph.insert_before(node, add)
    return add


def _behind_bias(graph: ir.Graph, node: ir.Node, add: ir.Node, index: int) -> bool:
    """``node`` follows the Add that is the bias of a MatMul."""
    at = next((i for i, v in enumerate(add.inputs) if constant(v) is not None), None)
    source = None if at is None else add.inputs[1 - at]
    linear = None if source is None else source.producer()
    if at is None or linear is None or bias_of_matmul(linear) is None:
        return False
    weight, bias = _weight(linear), _float32(add, at)
    if weight is None or bias is None:
        return False
    affine = affine_of(node, index, _layout(linear), weight.shape[-1])
    if affine is None:
        return False
    if (affine.scale != 1).any():
        set_input(graph, linear, 1, with_scaled_outputs(linear, weight, affine.scale))
    set_input(graph, add, at, affine.scale * bias + affine.shift)
    take_over(node, add)
    return True


def _layer_before(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The linear layer of which ``node`` alone reads the output, and by which input.

    For a MatMul with a bias the Add that adds it.
    """
    for index, value in enumerate(node.inputs[: 1 if node.op_type not in POINTWISE else 2]):
        linear = None if value is None else value.producer()
        if value is None or linear is None or sole_consumer(value) is not node:
            continue
        if linear.op_type in LINEAR and constant(linear.inputs[1]) is not None:
            return linear, index
        if linear.op_type == "Add" and _biases(linear):
            return linear, index
    return None


def _biases(add: ir.Node) -> bool:
    """Whether an Add is the bias of a MatMul."""
    makers = [v.producer() for v in add.inputs if v is not None]
    return any(m is not None and bias_of_matmul(m) is not None for m in makers)


class _Layout(NamedTuple):
    """Where channels lie in a tensor.

    Attributes:
        axis: From the last one on, negative; None where the rank is not known.
        rank: Of the tensor.
    """

    axis: int | None
    rank: int | None


def _layout(linear: ir.Node) -> _Layout:
    """Of what a linear layer makes; for a convolution also of what it reads."""
    weight = constant(linear.inputs[1])
    if linear.op_type in ("Conv", "ConvTranspose") and weight is not None:
        return _Layout(1 - weight.ndim, weight.ndim)
    if linear.op_type == "Gemm":
        return _Layout(-1, 2)
    ranks = [rank(v) for v in (linear.outputs[0], linear.inputs[0]) if v is not None]
    return _Layout(-1, next((r for r in ranks if r is not None), 1))


def affine_of(node: ir.Node, index: int, layout: _Layout, channels: int) -> Affine | None:
    """What a node makes of its input ``index``, where that is a scale and a shift per channel."""
    if node.op_type == "BatchNormalization":
        return _normalised(node) if index == 0 and layout.axis == 1 - (layout.rank or 0) else None
    if node.op_type not in POINTWISE or len(node.inputs) != 2:
        return None
    other = node.inputs[1 - index]
    vector = _per_channel(other, layout, channels)
    return None if vector is None or other is None else _pointwise(node, index, vector, other)


def _pointwise(node: ir.Node, index: int, vector: Vector, other: ir.Value) -> Affine | None:
    """What ``node`` does with ``vector``, of its other input."""
    one, nothing = np.ones(()), np.zeros(())
    match node.op_type, index:
        case "Add", _:
            return Affine(one, vector, name_of(other))
        case "Sub", 0:
            return Affine(one, -vector)
        case "Sub", _:
            return Affine(-one, vector, name_of(other))
        case "Mul", _:
            return Affine(vector, nothing)
        case "Div", 0 if vector.all():
            return Affine(1 / vector, nothing)
    return None


def _per_channel(value: ir.Value | None, layout: _Layout, channels: int) -> Vector | None:
    """A constant with one value, or with one a channel and nothing along the other axes."""
    array = constant(value)
    if array is None or array.dtype != np.float32 or not np.isfinite(array).all():
        return None
    if layout.axis is None or layout.rank is None or array.ndim > layout.rank:
        return None
    if array.size == 1:
        return array.astype(np.float64).reshape(())
    if array.ndim < -layout.axis or array.shape[layout.axis] != array.size:
        return None
    return array.astype(np.float64).ravel() if array.size == channels else None


def _normalised(node: ir.Node) -> Affine | None:
    """None where the statistics are not constant, or those of the batch are asked for."""
    parameters = [constant(v) for v in node.inputs[1:5]]
    training = node.attributes.get_int("training_mode", 0)
    if training or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return None
    known = [p.astype(np.float64) for p in parameters if p is not None]
    if len(known) < 4:
        return None
    gamma, beta, mean, variance = known
    with np.errstate(all="ignore"):  # a negative variance is NaN here as in any runtime
        scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        return Affine(scale, beta - mean * scale)


def _fold_before(graph: ir.Graph, node: ir.Node) -> bool:
    """``node`` alone feeds a linear layer, and nothing else."""
    linear = sole_consumer(node.outputs[0]) if node.outputs else None
    # The gain of a norm before a MatMul stays: it is there that channels can be made even.
    if linear is None or linear.op_type not in LINEAR - {"MatMul"}:
        return False
    if linear.inputs[0] is not node.outputs[0]:
        return False
    weight = _float32(linear, 1)
    if weight is None or weight.ndim < 2 or _scaled_gemm(linear) or _turned(linear):
        return False
    columns = input_channels(linear, weight)
    for index in range(2 if node.op_type in POINTWISE else 1):
        affine = affine_of(node, index, _layout(linear), columns)
        source = node.inputs[index]
        if affine is None or source is None or constant(source) is not None:
            continue
        if _keeps_rank(node, index, source) and not evens(source, affine.scale, affine.shift):
            return _take_before(graph, node, source, linear, weight, affine)
    return False


def _keeps_rank(node: ir.Node, index: int, source: ir.Value) -> bool:
    """Whether the constant adds no axis to what it scales or shifts."""
    if node.op_type == "BatchNormalization":
        return True
    array = constant(node.inputs[1 - index])
    return array is not None and array.ndim <= max(rank(source) or 0, 1)


def _take_before(
    graph: ir.Graph,
    node: ir.Node,
    source: ir.Value,
    linear: ir.Node,
    weight: Vector,
    affine: Affine,
) -> bool:
    if affine.shift.any():
        bias = _float32(linear, 2)
        if linear.op_type not in ("Conv", "Gemm") or pads(linear) or bias is None or bias.ndim > 1:
            return False
        shift = of_shifted_inputs(linear, weight, affine.shift) + bias
        set_input(graph, linear, 2, np.broadcast_to(shift, output_channels(linear, weight)))
    if (affine.scale != 1).any():
        set_input(graph, linear, 1, with_scaled_inputs(linear, weight, affine.scale))
    replace(node.outputs[0], source)
    graph.remove(node, safe=True)
    return True


def _turned(linear: ir.Node) -> bool:
    return linear.op_type == "Gemm" and bool(linear.attributes.get_int("transA", 0))


def _weight(linear: ir.Node) -> Vector | None:
    """What a layer multiplies by; None of a file whose weight has no axes."""
    weight = _float32(linear, 1)
    return weight if weight is not None and weight.ndim else None


def _float32(linear: ir.Node, index: int) -> Vector | None:
    """A float32 constant in double precision, 0 for an omitted one; None for anything else."""
    value = linear.inputs[index] if index < len(linear.inputs) else None
    if value is None:
        return np.zeros(())
    array = constant(value)
    with np.errstate(invalid="ignore"):  # a signalling NaN, which the samples will show
        return None if array is None or array.dtype != np.float32 else array.astype(np.float64)


def _scaled_gemm(linear: ir.Node) -> bool:
    factors = [linear.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    return linear.op_type == "Gemm" and factors != [1.0, 1.0]
