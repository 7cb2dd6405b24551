"""Constant folding, BatchNorm folding, and the removal of Q/DQ pairs."""

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from lostbits.graph.queries import constant, name_of, opset, sole_consumer

_RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    }
)


def fold_constants(model: ir.Model) -> int:
    """Evaluate every node whose inputs are all constant; returns how many went.

    The results keep the names of the tensors that they replace, so that a weight behind
    Transpose, Cast, Reshape or DequantizeLinear is known by the name its user reads.
    """
    folded = 0
    for node in list(model.graph):
        if _foldable(node):
            _replace_by_constants(model, node)
            folded += 1
    return folded


def _foldable(node: ir.Node) -> bool:
    if node.op_type in _RANDOM or node.domain not in ("", "ai.onnx") or not node.inputs:
        return False
    if any(
        a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for a in node.attributes.values()
    ):
        return False
    if any(output.is_graph_output() for output in node.outputs):
        return False
    return all(value is None or constant(value) is not None for value in node.inputs)


def _replace_by_constants(model: ir.Model, node: ir.Node) -> None:
    arrays = evaluate(node, opset(model))
    graph = model.graph
    named = [
        (output, name_of(output), array) for output, array in zip(node.outputs, arrays, strict=True)
    ]
    for output, name, array in named:
        output.name = f"{name}__folded"
        tensor = ir.tensor(array, name=name)
        value = ir.Value(
            name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        graph.register_initializer(value)
        output.replace_all_uses_with(value)
    graph.remove(node, safe=True)


def evaluate(node: ir.Node, version: int) -> list[NDArray[np.generic]]:
    """Outputs of one node on its constant inputs, by ONNX's reference implementation."""
    proto = ir.to_proto(node)
    feeds = {name_of(v): constant(v) for v in node.inputs if v is not None}
    graph = onnx.helper.make_graph(
        [proto],
        "one_node",
        [onnx.ValueInfoProto(name=n) for n in feeds],
        [onnx.ValueInfoProto(name=n) for n in proto.output if n],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    outputs = ReferenceEvaluator(model).run(None, feeds)
    return [np.asarray(a) for a in outputs]


def fold_batch_norms(model: ir.Model) -> tuple[int, list[str]]:
    """Fold BatchNormalization into the linear op before it; returns count and those left."""
    folded, left = 0, []
    for node in list(model.graph):
        if node.op_type == "BatchNormalization":
            if _fold_batch_norm(model.graph, node):
                folded += 1
            else:
                left.append(name_of(node.outputs[0]))
    return folded, left


def _fold_batch_norm(graph: ir.Graph, node: ir.Node) -> bool:
    """W <- W gamma/sqrt(var+eps), b <- beta + (b - mu) gamma/sqrt(var+eps)."""
    source = node.inputs[0]
    assert source is not None
    linear = source.producer()
    parameters = [constant(v) for v in node.inputs[1:5]]
    if linear is None or linear.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return False
    if sole_consumer(source) is not node or any(p is None for p in parameters):
        return False
    weight, bias = constant(linear.inputs[1]), _bias(linear)
    if weight is None or bias is None or _scaled_gemm(linear):
        return False
    gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    scaled = _scale_outputs(linear, weight.astype(np.float64), factor)
    _set_input(graph, linear, 1, scaled)
    _set_input(graph, linear, 2, beta + (bias - mean) * factor)
    _take_over(node, linear)
    return True


def _bias(linear: ir.Node) -> NDArray[np.float64] | float | None:
    if len(linear.inputs) < 3 or linear.inputs[2] is None:
        return 0.0
    bias = constant(linear.inputs[2])
    return None if bias is None else bias.astype(np.float64)


def _scaled_gemm(linear: ir.Node) -> bool:
    factors = (linear.attributes.get_float("alpha", 1.0), linear.attributes.get_float("beta", 1.0))
    return linear.op_type == "Gemm" and factors != (1.0, 1.0)


def _scale_outputs(
    linear: ir.Node, weight: NDArray[np.float64], factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply each output channel of ``weight`` by its factor."""
    if linear.op_type == "ConvTranspose":
        groups = linear.attributes.get_int("group", 1)
        split = weight.reshape(groups, -1, *weight.shape[1:])
        factors = factor.reshape(groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
        return (split * factors).reshape(weight.shape)
    last = linear.op_type == "Gemm" and not linear.attributes.get_int("transB", 0)
    return weight * (factor if last else factor.reshape(-1, *[1] * (weight.ndim - 1)))


def _set_input(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[np.float64]) -> None:
    """Give ``node`` a constant of its own, under the old name where nobody else reads that one."""
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is None:
        name = f"{name_of(node.outputs[0])}.bias"
    else:
        name = name_of(old)
        if len(old.uses()) > 1:
            name = f"{name}.{node.name}"
        else:
            graph.initializers.pop(name)
            old.name = f"{name}__folded"
    tensor = ir.tensor(np.ascontiguousarray(array, np.float32), name=name)
    value = ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
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
    replace(graph, value, replacement)
    graph.remove(node, safe=True)


def replace(graph: ir.Graph, value: ir.Value, replacement: ir.Value) -> None:
    """Let every reader of ``value``, the graph's outputs included, read ``replacement``."""
    value.replace_all_uses_with(replacement, replace_graph_outputs=True)


def strip_quantizers(model: ir.Model) -> int:
    """Remove QuantizeLinear -> DequantizeLinear pairs; returns how many.

    What stays is the float network that the file stands for. Integer weights behind a lone
    DequantizeLinear are constants and are folded.
    """
    stripped = 0
    for node in list(model.graph):
        if node.op_type != "DequantizeLinear":
            continue
        quantizer = node.inputs[0].producer() if node.inputs[0] is not None else None
        if quantizer is not None and quantizer.op_type == "QuantizeLinear":
            assert quantizer.inputs[0] is not None
            stripped += 1
            _bypass(model.graph, node, quantizer.inputs[0])
    return stripped


def _bypass(graph: ir.Graph, node: ir.Node, source: ir.Value) -> None:
    """Let the readers of ``node`` read ``source``; an output of the graph keeps its name."""
    output = node.outputs[0]
    if output.is_graph_output():
        name, producer = name_of(output), source.producer()
        if producer is None or source.is_graph_output():
            return
        output.name, source.name = f"{name}__bypassed", name
    replace(graph, output, source)
    graph.remove(node, safe=True)


def remove_dropouts(model: ir.Model) -> int:
    """Bypass Dropout (inference) and Identity nodes; returns how many."""
    removed = 0
    for node in list(model.graph):
        if node.op_type in ("Dropout", "Identity") and _bypassable(node):
            assert node.inputs[0] is not None
            before = node.graph
            _bypass(model.graph, node, node.inputs[0])
            removed += node.graph is not before
    return removed


def _bypassable(node: ir.Node) -> bool:
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return False
    training = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return training is None or not bool(training)
