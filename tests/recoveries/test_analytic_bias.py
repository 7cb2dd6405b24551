"""Analytic bias correction against the mean that a layer really has."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from lostbits.case import constant_of
from lostbits.language import say
from lostbits.recoveries.analytic_bias import AnalyticBias
from lostbits.recovery import applied
from lostbits.statistics import Histogram
from lostbits.targets import target
from small_nets import built, coarsened, samples


def one_layer(kind: str) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """A convolution, plain or depthwise, that reads no border, or a matrix."""
    rng = np.random.default_rng(7)
    shapes = {"conv": (6, 4, 3, 3), "depthwise": (4, 1, 3, 3), "gemm": (5, 4)}
    shape = shapes[kind]
    node = {
        "conv": "y = Conv (x, w, b)",
        "depthwise": "y = Conv <group = 4> (x, w, b)",
        "gemm": "y = Gemm <transB = 1> (x, w, b)",
    }[kind]
    data = (4,) if kind == "gemm" else (4, 7, 7)
    ends = ",".join(str(d) for d in ("N", *data))
    out = "N,5" if kind == "gemm" else f"N,{shape[0]},5,5"
    head = '<ir_version: 8, opset_import: ["" : 17]> g'
    model = onnx.parser.parse_model(f"{head} (float[{ends}] x) => (float[{out}] y) {{ {node} }}")
    for name, dims in (("w", shape), ("b", shape[:1])):
        array = rng.standard_normal(dims).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model, data


@pytest.mark.parametrize("kind", ["conv", "depthwise", "gemm"])
def test_the_shift_is_the_mean_that_rounded_weights_add(kind: str, tmp_path: Path) -> None:
    model, shape = one_layer(kind)
    data = np.abs(samples(2, 64, *shape)) + np.float32(0.5)
    _, case = built(model, data, target("snpe"), tmp_path)
    case = coarsened(case, 3)
    change = AnalyticBias().consider(case).change()
    weight = next(s for s in case.sites if s.role == "weight")
    error = case.quantized_constant(weight) - constant_of(case.model, weight)
    means = data.mean(axis=(0, 2, 3)) if data.ndim == 4 else data.mean(axis=0)
    if kind == "conv":
        means = means[None, :, None, None]
    elif kind == "depthwise":
        means = means[:, None, None, None]
    by_hand = (error * means).reshape(len(error), -1).sum(axis=1)
    (bias,) = change.written.values()
    floats = constant_of(case.model, case.placed.biases[0])
    # Float data have values all over their bins, of which a channel has 32 to a side.
    np.testing.assert_allclose(floats - bias, by_hand, atol=1e-2 * np.abs(by_hand).max())
    assert np.abs(by_hand).max() > 0.01
    assert applied(case, change).written.keys() == change.written.keys()


def test_means_of_a_histogram_are_those_of_its_values() -> None:
    x = np.maximum(samples(3, 3, 5000), 0)
    seen = Histogram(x.min(axis=1), x.max(axis=1), axis=0).update(x)
    np.testing.assert_allclose(seen.means, x.mean(axis=1), atol=float(x.max()) / 2048)


def test_a_layer_without_a_bias_is_named(tmp_path: Path) -> None:
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,4] y) '
        "{ y = MatMul (x, w) }"
    )
    model = onnx.parser.parse_model(text)
    array = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, "w"))
    _, case = built(model, samples(1, 16, 4), target("snpe"), tmp_path)
    change = AnalyticBias().consider(case).change()
    assert change.empty and change.skipped == {"w": say("skipped.no_bias")}
