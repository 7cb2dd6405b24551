"""Networks whose products of two neighbours leave int16, as on x86 without VNNI."""

import numpy as np
import onnx
from numpy.typing import NDArray

from small_nets import Net


def bright_net(seed: int = 0) -> onnx.ModelProto:
    """Weights of one sign and bright inputs: two products of the largest leave int16."""
    net = Net(seed)
    x = "x"
    for inputs, outputs in ((8, 6), (6, 6)):
        weight = np.abs(net.random.normal(0, 1, (outputs, inputs, 3, 3))) / (9 * inputs)
        bias = net.constant(-0.1 * np.ones(outputs))
        x = net.add("Conv", [x, net.constant(weight), bias], pads=[1] * 4)
        x = net.add("Relu", [x])
    flat = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    return net.model([8, 8, 8], net.gemm(flat, 6, 4))


def bright(n: int = 12) -> NDArray[np.float32]:
    return np.random.default_rng(3).uniform(0.5, 1.0, (n, 8, 8, 8)).astype(np.float32)
