"""BatchNorm folding: W <- W gamma/sqrt(var+eps), b <- beta + (b - mu) gamma/sqrt(var+eps)."""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import add_initializer, constant, name_of, node_name, sole_consumer
from lostbits.graph.remove_idle_nodes import replace

Vector = NDArray[np.float64]


class _Factors(NamedTuple):
    """A BatchNorm as ``y = scale * x + shift`` per channel."""

    scale: Vector
    shift: Vector


def fold_batch_norms(model: ir.Model) -> tuple[int, list[str]]:
    """Fold BatchNormalization into the linear op before it; returns count and those left."""
    folded, left = 0, []
    for node in list(model.graph):
        if node.op_type == "BatchNormalization":
            if _fold(model.graph, node):
                folded += 1
            else:
                left.append(name_of(node.outputs[0]))
    return folded, left


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    linear, factors = _layer_before(node), _factors(node)
    if linear is None or factors is None:
        return False
    weight, bias = _float32(linear, 1), _float32(linear, 2)
    if weight is None or bias is None or _scaled_gemm(linear):
        return False
    _set_input(graph, linear, 1, _scale_outputs(linear, weight, factors.scale))
    _set_input(graph, linear, 2, factors.shift + bias * factors.scale)
    _take_over(node, linear)
    return True


def _layer_before(node: ir.Node) -> ir.Node | None:
    source = node.inputs[0]
    if source is None or sole_consumer(source) is not node:
        return None
    linear = source.producer()
    folds = linear is not None and linear.op_type in ("Conv", "ConvTranspose", "Gemm")
    return linear if folds else None


def _factors(node: ir.Node) -> _Factors | None:
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
        return _Factors(scale, beta - mean * scale)


def _float32(linear: ir.Node, index: int) -> Vector | None:
    """A float32 constant in double precision, 0 for an omitted one; None for anything else."""
    value = linear.inputs[index] if index < len(linear.inputs) else None
    if value is None:
        return np.zeros(())
    array = constant(value)
    return None if array is None or array.dtype != np.float32 else array.astype(np.float64)


def _scaled_gemm(linear: ir.Node) -> bool:
    factors = [linear.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    return linear.op_type == "Gemm" and factors != [1.0, 1.0]


def _scale_outputs(linear: ir.Node, weight: Vector, factor: Vector) -> Vector:
    """Multiply each output channel of ``weight`` by its factor."""
    if linear.op_type == "ConvTranspose":
        groups = linear.attributes.get_int("group", 1)
        split = weight.reshape(groups, -1, *weight.shape[1:])
        factors = factor.reshape(groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
        return np.asarray(split * factors).reshape(weight.shape)
    last = linear.op_type == "Gemm" and not linear.attributes.get_int("transB", 0)
    return weight * (factor if last else factor.reshape(-1, *[1] * (weight.ndim - 1)))


def _set_input(graph: ir.Graph, node: ir.Node, index: int, array: Vector) -> None:
    """Give ``node`` a constant of its own, under the old name where nobody else reads that one."""
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is None:
        name = f"{name_of(node.outputs[0])}.bias"
    elif len(old.uses()) > 1 or old.is_graph_output():
        name = f"{name_of(old)}.{node_name(node)}"
    else:
        name = name_of(old)  # which it keeps: its tensor is that of the user's model, too
        graph.initializers.pop(name)
    value = add_initializer(graph, name, np.ascontiguousarray(array, np.float32))
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def _take_over(node: ir.Node, source: ir.Node) -> None:
    """Let ``source`` produce what ``node`` produced, name included, and drop ``node``."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    value, replacement = node.outputs[0], source.outputs[0]
    name = name_of(value)
    value.name = f"{name}__folded"
    replacement.name = name
    if value.type is not None:
        replacement.type, replacement.shape = value.type, value.shape
    replace(value, replacement)
    graph.remove(node, safe=True)
