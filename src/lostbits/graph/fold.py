"""Constant folding."""

import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lostbits.errors import ModelError
from lostbits.graph.queries import RANDOM, add_initializer, constant, name_of, opset
from lostbits.system.memory import excess

# They mean the same in every version and in ONNX Runtime's own domain; the reference has new ones.
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_QUANTIZERS_OPSET = 21
_SETTINGS = 1024  # values up to which an input may be a shape, and not only data
_COPIES = 16  # bytes of a value: a constant is in memory about four times, in as many libraries
Array = NDArray[np.generic]
Arrays = list[Array]


def fold_constants(model: ir.Model) -> int:
    """Evaluate every node whose inputs are all constant; returns how many went.

    The results keep the names of the tensors that they replace, so that a weight behind
    Transpose, Cast, Reshape or DequantizeLinear is known by the name its user reads.
    """
    folded = 0
    for node in list(model.graph):
        arrays = evaluate(node, opset(model)) if _foldable(node) else None
        if arrays is not None:
            _replace_by_constants(model.graph, node, arrays)
            folded += 1
    return folded


def _foldable(node: ir.Node) -> bool:
    known = node.domain in ("", "ai.onnx") or node.op_type in _QUANTIZERS
    if not known or node.op_type in RANDOM or not node.inputs:
        return False
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    if any(a.type in graphs for a in node.attributes.values()):
        return False
    if any(output.is_graph_output() for output in node.outputs):
        return False
    return all(value is None or constant(value) is not None for value in node.inputs)


def evaluate(node: ir.Node, version: int) -> Arrays | None:
    """Outputs of one node on its constant inputs, by ONNX's reference implementation.

    None where that has no such op or gives anything but arrays: such a node is left to the
    runtime.

    Raises:
        ModelError: M013 where memory does not hold them.
    """
    proto = ir.to_proto(node)
    if node.op_type in _QUANTIZERS:
        version = max(version, _QUANTIZERS_OPSET)
    proto.domain = ""
    feeds = {name_of(v): constant(v) for v in node.inputs if v is not None}
    graph = onnx.helper.make_graph(
        [proto],
        "one_node",
        [onnx.ValueInfoProto(name=n) for n in feeds],
        [onnx.ValueInfoProto(name=n) for n in proto.output if n],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    _check_sizes(model, feeds)
    try:
        with np.errstate(all="ignore"):  # a NaN is a value, and refused where it is used
            outputs = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # each op's implementation raises what it likes
        return None
    arrays = [np.asarray(a) for a in outputs if isinstance(a, np.ndarray | np.generic)]
    numeric = len(arrays) == len(outputs) and all(a.dtype.kind not in "OUS" for a in arrays)
    return arrays if numeric else None


def _check_sizes(model: onnx.ModelProto, feeds: Mapping[str, Array | None]) -> None:
    """Before anything is computed, because a shape of three numbers may ask for all memory."""
    probe = _probe(model, feeds)
    try:
        inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    except Exception:  # the runtime says what is wrong with it
        return
    for output in inferred.graph.output:
        kind = output.type.tensor_type
        size = math.prod(d.dim_value for d in kind.shape.dim)
        if found := excess(size * _COPIES):
            raise too_big(f"tensor {output.name!r}", found)


def _probe(model: onnx.ModelProto, feeds: Mapping[str, Array | None]) -> onnx.ModelProto:
    """The model of one node with the constants that may be a shape; of others only their types."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.input[:]
    for name, array in feeds.items():
        assert array is not None
        if array.size <= _SETTINGS:
            probe.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            probe.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    return probe


def too_big(where: str, found: str) -> ModelError:
    """M013."""
    return ModelError("M013", where, found)


def _replace_by_constants(graph: ir.Graph, node: ir.Node, arrays: Arrays) -> None:
    named = [output for output in node.outputs if output.name]
    for output, array in zip(named, arrays, strict=True):
        name = name_of(output)
        output.name = f"{name}__folded"
        output.replace_all_uses_with(add_initializer(graph, name, array))
    graph.remove(node, safe=True)
