"""Linear layers in ONNX text, and whether normalising keeps what a file computes."""

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from text_models import normal, outputs, random

CONV = "g (float[N,4,6,6] x) => (float[N,8,6,6] y) "


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def assert_equal(
    model: onnx.ModelProto, *, rtol: float = 1e-5, **feeds: NDArray[np.generic]
) -> ir.Model:
    """The normalised model gives what the file gives, by the same output names."""
    normalised = normal(model)
    assert [v.name for v in normalised.graph.outputs] == [v.name for v in model.graph.output]
    for expected, found in zip(outputs(model, **feeds), outputs(normalised, **feeds), strict=True):
        error = np.linalg.norm(found - expected) / max(float(np.linalg.norm(expected)), 1e-30)
        assert error < rtol
    return normalised


def statistics(channels: int) -> dict[str, NDArray[np.generic]]:
    positive = np.abs(random(channels, seed=4)) + np.float32(0.5)
    return {
        "s": random(channels),
        "t": random(channels, seed=2),
        "m": random(channels),
        "v": positive,
    }


LAYERS = {
    "Conv": (CONV, "Conv <pads = [1,1,1,1]> (x, w)", (8, 4, 3, 3)),
    "Conv with bias": (CONV, "Conv <pads = [1,1,1,1]> (x, w, b)", (8, 4, 3, 3)),
    "grouped Conv": (CONV, "Conv <group = 2, pads = [1,1,1,1]> (x, w, b)", (8, 2, 3, 3)),
    "depthwise Conv": (CONV, "Conv <group = 4, pads = [1,1,1,1]> (x, w, b)", (8, 1, 3, 3)),
    "ConvTranspose": (CONV, "ConvTranspose <pads = [1,1,1,1]> (x, w, b)", (4, 8, 3, 3)),
    "grouped ConvTranspose": (
        CONV,
        "ConvTranspose <group = 2, pads = [1,1,1,1]> (x, w, b)",
        (4, 4, 3, 3),
    ),
    "Gemm": ("g (float[N,4] x) => (float[N,8] y) ", "Gemm (x, w, b)", (4, 8)),
    "Gemm transB": ("g (float[N,4] x) => (float[N,8] y) ", "Gemm <transB = 1> (x, w, b)", (8, 4)),
}
