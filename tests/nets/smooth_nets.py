"""A small network that knows smooth images, and such images."""

from typing import Any, cast

import numpy as np
import onnx
import onnx.reference
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Images = NDArray[np.float32]


def images(seed: int, count: int = 24) -> Images:
    """Smooth images of unlike colours, 0 to 255."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 1, (count, 3, 4, 4)) * np.array([1.0, 0.7, 0.3])[:, None, None]
    smooth = np.repeat(np.repeat(coarse, 3, 2), 3, 3)
    return (255 * smooth).astype(np.float32)


def network(*, norm: bool = False) -> onnx.ModelProto:
    """It normalises its input itself; the convolution knows smooth images."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    weight -= 0.97 * weight.mean((2, 3), keepdims=True)  # edges, of which noise has many
    arrays: dict[str, Images] = {
        "mean": np.array([127, 89, 38], np.float32).reshape(1, 3, 1, 1),
        "std": np.array([74, 52, 22], np.float32).reshape(1, 3, 1, 1),
        "w": weight,
        "b": np.zeros(8, np.float32),
        "fc": random.normal(0, 1, (8, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
        helper.make_node("Conv", ["normalised", "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["y"]),
    ]
    if norm:
        nodes[2:3] = [
            helper.make_node("Conv", ["normalised", "w", "b"], ["before"]),
            helper.make_node("BatchNormalization", ["before", "one", "b", "rm", "rv"], ["c"]),
        ]
        one, zero = np.ones(8, np.float32), np.zeros(8, np.float32)
        arrays |= {"one": one, "rm": zero, "rv": one}
    tensors = [numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in arrays.items()]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 12, 12])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def trained(on: Images) -> onnx.ModelProto:
    """With the statistics of these images."""
    model = network(norm=True)
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.append(helper.make_tensor_value_info("before", TensorProto.FLOAT, None))
    run = onnx.reference.ReferenceEvaluator(tapped).run
    values: Any = cast("list[Any]", run(["before"], {"image": on}))[0]
    known: dict[str, Any] = {"rm": values.mean((0, 2, 3)), "rv": values.var((0, 2, 3))}
    for tensor in model.graph.initializer:
        if tensor.name in known:
            tensor.CopyFrom(numpy_helper.from_array(known[tensor.name], tensor.name))
    return model
