"""Networks as ONNX Runtime's transformer optimizer writes them, and single fused ops."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_IMPORTS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
MS = "com.microsoft"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def of_nodes(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, Any],
    outputs: list[str],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model whose inputs have these shapes; outputs have as many axes as the first input."""
    axes = [None] * next(iter(inputs.values())).ndim
    for number, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type}_{number}"
    infos = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(a.dtype), ["N", *a.shape[1:]]
        )
        for n, a in inputs.items()
    ]
    graph = helper.make_graph(
        nodes,
        "fused",
        infos,
        [helper.make_tensor_value_info(o, 1, axes) for o in outputs],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


@dataclass(frozen=True)
class Fused:
    """One fused op.

    Attributes:
        inputs: Arrays that are fed, by name; others are constants.
        pieces: Domain and type of what it is taken apart into.
    """

    name: str
    op: str
    inputs: Mapping[str, np.ndarray]
    constants: Mapping[str, np.ndarray]
    pieces: tuple[tuple[str, str], ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("y",)

    def model(self) -> onnx.ModelProto:
        names = self.order or (*self.inputs, *self.constants)
        node = helper.make_node(
            self.op, names, self.outputs, domain=MS, name="fused", **self.attributes
        )
        told = [o for o in self.outputs if o]
        return of_nodes([node], self.inputs, told, self.constants)

    def feeds(self) -> dict[str, np.ndarray]:
        return dict(self.inputs)


X, SKIP = noise(2, 5, 8), noise(2, 5, 8, seed=1)
IMAGE = noise(2, 3, 6, 6)
MATMUL, ADD = ("", "MatMul"), ("", "Add")
NORM, GELU = ("", "LayerNormalization"), (MS, "Gelu")
W = {"w": noise(8, 6, seed=2)}
CONV = {"w": noise(4, 3, 3, 3, seed=2), "b": noise(4, seed=3)}
QKV = {"w": noise(8, 24, seed=2) / 2, "b": noise(24, seed=3)}
ATTENTION = (MATMUL, ADD, ("", "Split"), (MS, "MultiHeadAttention"))
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], np.int32)

FUSED = [
    Fused("weight", "FusedMatMul", {"x": X}, W, (MATMUL,), {"alpha": 0.25}),
    Fused("turned weight", "FusedMatMul", {"x": X}, {"w": noise(6, 8)}, (MATMUL,), {"transB": 1}),
    Fused(
        "scores",
        "FusedMatMul",
        {"x": X, "k": SKIP},
        {},
        (("", "Transpose"), MATMUL, ("", "Mul")),
        {"transB": 1, "alpha": 0.3},
    ),
    Fused(
        "both turned",
        "FusedMatMul",
        {"x": X, "k": noise(2, 8, 5)},
        {},
        (("", "Transpose"), MATMUL),
        {"transA": 1, "transB": 1},
    ),
    Fused("bias gelu", "BiasGelu", {"x": X}, {"b": noise(8)}, (ADD, GELU)),
    Fused("fast gelu", "FastGelu", {"x": X}, {"b": noise(8)}, (ADD, (MS, "FastGelu"))),
    Fused(
        "skip norm",
        "SkipLayerNormalization",
        {"x": X, "s": SKIP},
        {"g": noise(8), "b": noise(8)},
        (ADD, NORM),
        {"epsilon": 1e-3},
    ),
    Fused(
        "skip norm with bias and sum",
        "SkipLayerNormalization",
        {"x": X, "s": SKIP},
        {"g": noise(8), "b": noise(8), "c": noise(8, seed=4)},
        (ADD, NORM),
        outputs=("y", "", "", "total"),
    ),
    Fused(
        "skip norm without mean",
        "SkipSimplifiedLayerNormalization",
        {"x": X, "s": SKIP},
        {"g": noise(8), "c": noise(8, seed=4)},
        (ADD, ("", "SimplifiedLayerNormalization")),
        outputs=("y", "", "", "total"),
    ),
    Fused(
        "conv",
        "FusedConv",
        {"x": IMAGE},
        CONV,
        (("", "Conv"), ("", "Relu")),
        {"activation": "Relu"},
    ),
    Fused(
        "conv and addend",
        "FusedConv",
        {"x": IMAGE, "z": noise(2, 4, 4, 4)},
        CONV,
        (("", "Conv"), ADD, ("", "Relu")),
        {"activation": "Relu"},
        order=("x", "w", "b", "z"),
    ),
    Fused(
        "conv and clip",
        "FusedConv",
        {"x": IMAGE},
        CONV,
        (("", "Conv"), ("", "Clip")),
        {"activation": "Clip", "activation_params": [-0.5, 0.5]},
    ),
    Fused(
        "gemm",
        "FusedGemm",
        {"x": X[:, 0]},
        {"w": noise(6, 8), "b": noise(6)},
        (("", "Gemm"), ("", "LeakyRelu")),
        {"activation": "LeakyRelu", "activation_alpha": 0.2, "transB": 1},
    ),
    Fused("attention", "Attention", {"x": X}, QKV, ATTENTION, {"num_heads": 2}),
    Fused(
        "causal attention",
        "Attention",
        {"x": X},
        QKV,
        ATTENTION,
        {"num_heads": 2, "unidirectional": 1},
    ),
    Fused(
        "masked attention",
        "Attention",
        {"x": X, "mask": MASK},
        QKV,
        ATTENTION,
        {"num_heads": 2},
        order=("x", "w", "b", "mask"),
    ),
]


def encoder() -> onnx.ModelProto:
    """One layer of an optimized encoder: x (N, 5, 8) -> y (N, 5, 8)."""
    constants = {
        "qkv": noise(8, 24, seed=1) / 2,
        "qkv_bias": noise(24, seed=2),
        "out_proj": noise(8, 8, seed=3) / 2,
        "out_bias": noise(8, seed=4),
        "up": noise(8, 16, seed=5) / 2,
        "up_bias": noise(16, seed=6),
        "down": noise(16, 8, seed=7) / 2,
        "down_bias": noise(8, seed=8),
        **{n: noise(8, seed=9 + i) for i, n in enumerate(("g1", "b1", "g2", "b2"))},
    }

    def skip(inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node("SkipLayerNormalization", inputs, [output], domain=MS)

    nodes = [
        helper.make_node("Attention", ["x", "qkv", "qkv_bias"], ["a"], domain=MS, num_heads=2),
        helper.make_node("FusedMatMul", ["a", "out_proj"], ["p"], domain=MS),
        skip(["p", "x", "g1", "b1", "out_bias"], "n1"),
        helper.make_node("MatMul", ["n1", "up"], ["u"]),
        helper.make_node("BiasGelu", ["u", "up_bias"], ["h"], domain=MS),
        helper.make_node("MatMul", ["h", "down"], ["d"]),
        skip(["d", "n1", "g2", "b2", "down_bias"], "y"),
    ]
    return of_nodes(nodes, {"x": noise(2, 5, 8)}, ["y"], constants)
