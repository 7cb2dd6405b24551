"""One node, run by its rule and by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper

from lostbits.runtime.rules import RULES, Operator

Arrays = Sequence[NDArray[Any] | None]


def noise(*shape: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def apply(
    op_type: str,
    inputs: Arrays,
    attributes: Mapping[str, Any],
    *,
    opset: int = 21,
    outputs: int = 1,
) -> list[NDArray[Any]]:
    """Outputs of the rule, which must leave its inputs alone."""
    tensors = [None if x is None else torch.tensor(x) for x in inputs]
    results = RULES[op_type](Operator(op_type, attributes, opset, outputs), tensors)
    for tensor, x in zip(tensors, inputs, strict=True):
        np.testing.assert_array_equal(x if tensor is None else tensor.numpy(), x)
    return [result.numpy() for result in results]


def onnx_runtime(
    op_type: str,
    inputs: Arrays,
    attributes: Mapping[str, Any],
    *,
    opset: int = 21,
    outputs: int = 1,
) -> list[NDArray[Any]]:
    """Outputs of a session of the node alone."""
    domain, _, name = op_type.rpartition("::")
    feeds = {f"in{i}": x for i, x in enumerate(inputs) if x is not None}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in feeds.items()
    ]
    names = ["" if x is None else f"in{i}" for i, x in enumerate(inputs)]
    outs = [f"out{i}" for i in range(outputs)]
    node = helper.make_node(name, names, outs, domain=domain, **attributes)
    graph = helper.make_graph([node], "one", infos, [onnx.ValueInfoProto(name=o) for o in outs])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [np.asarray(value) for value in session.run(None, feeds)]
