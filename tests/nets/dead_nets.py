"""Networks of which a shared scale leaves a part nothing."""

import numpy as np
import onnx
from numpy.typing import NDArray

from small_nets import Net, samples

Floats = NDArray[np.float32]
IMAGES = samples(1, 24, 3, 8, 8)
_UNITS = np.array([70, 40, 3, 0.12, 0.1, 0.08], np.float32)


def detector(seed: int = 0) -> onnx.ModelProto:
    """The head of a detector: four boxes in pixels and three scores below 1 in one Concat."""
    net = Net(seed)
    body = net.add("Relu", [net.conv("x", (8, 3, 3))])
    boxes = net.add("Relu", [net.conv(body, (4, 8, 1))])
    pixels = net.add("Mul", [boxes, net.constant(np.array(160.0))])
    scores = net.add("Sigmoid", [net.conv(body, (3, 8, 1))])
    return net.model([3, 8, 8], net.add("Concat", [pixels, scores], axis=1), rank=4)


def branches(seed: int = 0) -> onnx.ModelProto:
    """A Concat between layers; what it drowns, another layer reads as well."""
    net = Net(seed)
    body = net.add("Relu", [net.conv("x", (8, 3, 3))])
    large = net.add("Mul", [net.conv(body, (4, 8, 1)), net.constant(np.array(300.0))])
    small = net.add("Sigmoid", [net.conv(body, (4, 8, 1))])
    joined = net.add("Concat", [large, small], axis=1)
    weight = net.random.normal(0, 0.3, (4, 8, 1, 1)) * np.repeat([1e-4, 1], 4).reshape(1, 8, 1, 1)
    first = net.add("Conv", [joined, net.constant(weight)])
    second = net.conv(small, (4, 4, 1))
    return net.model([3, 8, 8], net.add("Add", [first, second]), rank=4)


def unlike_inputs(seed: int = 0) -> onnx.ModelProto:
    """Metres beside centimetres in one input; the first weights make up for the units."""
    net = Net(seed)
    weight = net.random.normal(0, 0.4, (64, 6, 1, 1)) / _UNITS.reshape(1, 6, 1, 1)
    body = net.add("Relu", [net.add("Conv", ["x", net.constant(weight), net.bias(64)])])
    return net.model([6, 8, 8], net.conv(body, (4, 64, 1)), rank=4)


def points(seed: int = 2, count: int = 24) -> Floats:
    """Samples for ``unlike_inputs``."""
    random = np.random.default_rng(seed)
    values = random.uniform(-1, 1, (count, 6, 8, 8)) * _UNITS.reshape(1, 6, 1, 1)
    return values.astype(np.float32)
