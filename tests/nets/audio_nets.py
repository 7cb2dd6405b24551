"""Networks with points where a function has no slope: roots, logarithms and divisions near zero."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from small_nets import Floats, Net


def waves(seed: int, count: int = 16, length: int = 256) -> Floats:
    """Tones with silence before and after them, shape (count, 1, length)."""
    random, time = np.random.default_rng(seed), np.arange(length)
    tones = [np.sin(random.uniform(0.05, 1.5) * time) for _ in range(count)]
    window = (time > length // 4) & (time < 3 * length // 4)
    noise = 1e-3 * random.normal(size=(count, length))
    return (np.array(tones) * window + noise)[:, None].astype(np.float32)


def _transform(net: Net, bins: int, size: int) -> tuple[str, str]:
    """Weights of a Fourier transform as a convolution: cosines and sines."""
    angle = 2 * np.pi * np.outer(np.arange(bins), np.arange(size)) / size
    window = np.hanning(size)
    return tuple(net.constant((f(angle) * window)[:, None]) for f in (np.cos, np.sin))  # type: ignore[return-value]


def stft_mini(
    seed: int, bins: int = 9, size: int = 16, tail: Sequence[str] = ("Sqrt",)
) -> onnx.ModelProto:
    """Conv, Conv, Mul, Mul, Add, what ``tail`` says (a root), Conv: the magnitude of a spectrum."""
    net = Net(seed)
    parts = [net.add("Conv", ["x", w], strides=[size // 2]) for w in _transform(net, bins, size)]
    squares = [net.add("Mul", [p, p]) for p in parts]
    x = net.add("Add", squares)
    for op in tail:
        x = net.add(op, [x])
    x = net.add("Conv", [x, net.normal(4, bins, 3), net.bias(4)], pads=[1, 1])
    return net.model([1, 256], x, rank=3)


def with_function(
    seed: int, op: str, *constants: float, offset: float = 0.0, scale: float = 1.0
) -> onnx.ModelProto:
    """Gemm, Relu, ``op`` of the result, Gemm; many of the values are zero, or near it."""
    net = Net(seed)
    x = net.add("Relu", [net.gemm("x", 6, 8)])
    x = net.add(
        "Add", [net.add("Mul", [x, net.constant(np.array(scale))]), net.constant(np.array(offset))]
    )
    x = net.add(op, [x, *(net.constant(np.array(c)) for c in constants)])
    return net.model([6], net.gemm(x, 8, 4))


def byte_classifier(seed: int, *, length: int = 32, root: str = "Reciprocal") -> onnx.ModelProto:
    """Bytes, embedded, tf2onnx's LayerNorm, Conv, maximum over positions, Softmax.

    As Magika: the normalisation is ReduceMean, Sub, Mul, ReduceMean, Add, Sqrt, Reciprocal, Mul.
    """
    net, width = Net(seed), 8
    table = net.random.normal(0, 1, (257, width))
    table[256] = 0.01  # padding: nearly the same in all channels
    x = net.add("Gather", [net.constant(table), "x"])
    for _ in range(2):
        x = layer_norm(net, x, width, root)
        x = net.add("Relu", [net.add("MatMul", [x, net.normal(width, width, fan=width)])])
    x = net.add("Transpose", [x], perm=[0, 2, 1])
    x = net.add("Relu", [net.add("Conv", [x, net.normal(12, width, 5), net.bias(12)])])
    x = net.add("Flatten", [net.add("GlobalMaxPool", [x])])
    x = net.add("Softmax", [net.gemm(x, 12, 5)])
    model = net.model([length], x)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    return model


def layer_norm(net: Net, x: str, width: int, root: str) -> str:
    """The last axis, as tf2onnx writes it: by the reciprocal of a root, or a quotient."""
    mean = net.add("ReduceMean", [x], axes=[-1])
    off = net.add("Sub", [x, mean])
    spread = net.add("ReduceMean", [net.add("Mul", [off, off])], axes=[-1])
    spread = net.add("Sqrt", [net.add("Add", [spread, net.constant(np.array(1e-5))])])
    if root == "Div":
        y = net.add("Div", [off, spread])
    else:
        y = net.add("Mul", [off, net.add("Reciprocal", [spread])])
    y = net.add("Mul", [y, net.constant(net.random.uniform(0.5, 1.5, width))])
    return net.add("Add", [y, net.bias(width)])


def byte_strings(seed: int, count: int = 16, length: int = 32) -> np.ndarray:
    """Bytes of strings, padded with 256, as int32."""
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (count, length)).astype(np.int32)
    for row, used in zip(data, random.integers(length // 4, length, count), strict=True):
        row[used:] = 256
    return data
