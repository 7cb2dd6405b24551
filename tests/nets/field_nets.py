"""Small networks of the kinds that people bring: a mobile block, and a whole detector with NMS."""

import numpy as np
import onnx
from numpy.typing import NDArray

from output_nets import HEAD, weights
from small_nets import Net
from text_models import proto

_FAR = 2.5  # decades between the widest and the narrowest channel of the depthwise layer


def mobile_v3(seed: int = 0, act: str = "HardSwish") -> onnx.ModelProto:
    """A MobileNetV3 block: BatchNormalization of tiny variance, HardSwish, squeeze-and-excite."""
    net = Net(seed)
    x = net.add(act, [net.conv("x", (8, 3, 3), stride=2)])
    y = net.add(act, [net.conv(x, (24, 8, 1))])
    y = net.add("Conv", [y, net.normal(24, 1, 3, 3)], pads=[1] * 4, group=24)
    deviations = net.random.permutation(10 ** np.linspace(-_FAR, 0, 24)).astype(np.float32)
    y = net.add(act, [_normalised(net, y, deviations)])
    gate = net.add("Relu", [net.conv(net.add("GlobalAveragePool", [y]), (8, 24, 1))])
    gate = net.add("HardSigmoid", [net.conv(gate, (24, 8, 1))], alpha=1 / 6)
    weight = net.random.normal(0, 1, (8, 24, 1, 1)) * deviations.reshape(1, 24, 1, 1)
    y = net.add("Conv", [net.add("Mul", [y, gate]), net.constant(weight)])
    x = net.add("Flatten", [net.add("GlobalAveragePool", [net.add("Add", [x, y])])])
    return net.model([3, 16, 16], net.gemm(x, 8, 8))


def _normalised(net: Net, x: str, deviations: NDArray[np.float32]) -> str:
    """Some channels have nearly no variance, so that folding makes their weights huge."""
    size = deviations.size
    scale, mean = net.constant(np.ones(size)), net.constant(np.zeros(size))
    variance = net.constant(deviations**2)
    return net.add("BatchNormalization", [x, scale, net.bias(size), mean, variance])


def suppressed() -> onnx.ModelProto:
    """A detector with NonMaxSuppression: how many boxes there are depends on the scores."""
    graph = f"""net (float[N, 3, 16, 16] x) => (int64[K, 3] kept) {{{HEAD}
        boxes_all = Transpose<perm=[0, 2, 1]>(boxes_flat)
        kept = NonMaxSuppression(boxes_all, scores_flat, most, overlap, least) }}"""
    more: dict[str, NDArray[np.generic]] = {
        "most": np.array([20]),
        "overlap": np.array([0.5], np.float32),
        "least": np.array([0.2], np.float32),
    }
    return proto(graph, **weights(), **more)


def candidates() -> onnx.ModelProto:
    """The same detector as it is before any of its candidates are chosen."""
    ends = "float[N, 4, 64] boxes_flat, float[N, 3, 64] scores_flat"
    return proto(f"net (float[N, 3, 16, 16] x) => ({ends}) {{{HEAD} }}", **weights())
