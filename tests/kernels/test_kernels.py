"""The arithmetic of runtimes, spelt out: equal to what they compute."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType

import test_readers
from exported_nets import net
from lostbits.backends import backend
from lostbits.exporter import serialized
from lostbits.exporters import exporter
from lostbits.graph.qdq_view import tapped, taps_of
from lostbits.graph.simplify import opened
from lostbits.grid import Grid
from lostbits.kernels.onnxruntime import in_integers
from lostbits.kernels.openvino import accumulated
from lostbits.kernels.qnn_htp import in_fixed_point
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Target
from lostbits.targets import ONNXRUNTIME, OPENVINO, QNN_HTP
from lostbits.verbs.demo import demo_files
from lostbits.verbs.load import load
from lostbits.verbs.verify import verify
from lostbits.verification.trace import Trace
from processor import exact_kernels
from runs import planned, stored
from small_nets import cnn, samples
from text_models import proto, random

pytestmark = pytest.mark.slow

folder = test_readers.folder
FILES = demo_files()


def symmetric() -> Target:
    """int8 activations with the zero point 0."""
    rule = replace(ONNXRUNTIME.activations, grid=Grid.of(8, signed=True), symmetric=True)
    return replace(ONNXRUNTIME, activations=rule)


def signed() -> Target:
    """int8 activations with any zero point."""
    rule = replace(ONNXRUNTIME.activations, grid=Grid.of(8, signed=True))
    return replace(ONNXRUNTIME, activations=rule)


def per_tensor() -> Target:
    """uint8 weights with a zero point."""
    rule = replace(
        ONNXRUNTIME.weights, grid=Grid.of(8, signed=False), symmetric=False, per_channel=False
    )
    return replace(ONNXRUNTIME, weights=rule)


def compared(content: bytes, data: Any) -> tuple[float, int, int]:
    """Largest difference of the outputs, and the layers in integers: ours, and the runtime's."""
    loaded = backend("onnxruntime").open(content)
    (expected,) = loaded.run({"x": data}).values()
    graph = opened(ir.from_proto(onnx.load_from_string(content)))
    floats = {name for e in loaded.executed if not e.integer for name in e.nodes}
    arithmetic = backend("onnxruntime").arithmetic  # that of this processor
    assert arithmetic is not None
    model, layers = arithmetic(graph, floats)
    (found,) = Session(model, optimise=False).run({"x": data}).values()
    theirs = sum(e.integer for e in loaded.executed)
    return float(np.abs(expected - found).max()), layers, theirs


@pytest.mark.parametrize(
    "target",
    [
        lambda: ONNXRUNTIME,
        pytest.param(symmetric, marks=exact_kernels),
        pytest.param(signed, marks=exact_kernels),
        per_tensor,
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_network_of_every_kind_of_layer(
    target: Callable[[], Target], seed: int, tmp_path: Path
) -> None:
    """Convolutions dense and depthwise, Clip, Add, MaxPool, mean and Gemm."""
    onnx.save(cnn(seed), tmp_path / "net.onnx")
    data = samples(seed, 32, 3, 16, 16)
    _, case = planned(tmp_path / "net.onnx", data, target())
    (content,) = exporter("qdq-onnxruntime").write(case).values()
    difference, layers, theirs = compared(content, data)
    assert difference == 0
    assert layers == theirs >= 2


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["QUInt8", pytest.param("QInt8", marks=exact_kernels)])
def test_files_of_onnxruntimes_own_quantizer(folder: Path, per_channel: bool, kind: str) -> None:
    kinds = {"activation_type": QuantType[kind], "weight_type": QuantType.QInt8}
    model = test_readers.by_onnxruntime(folder, QuantFormat.QDQ, per_channel=per_channel, **kinds)
    content = model.SerializeToString()
    difference, layers, theirs = compared(content, samples(1, 8, 3, 16, 16))
    assert difference == 0
    assert layers == theirs >= 2


def test_a_transposed_convolution_stays_in_float(tmp_path: Path) -> None:
    ir.save(net(), tmp_path / "net.onnx")
    _, case = planned(tmp_path / "net.onnx", random(8, 4, 6, 6), ONNXRUNTIME)
    (content,) = exporter("qdq-onnxruntime").write(case).values()
    model, layers = in_integers(opened(ir.from_proto(onnx.load_from_string(content))))
    assert "ConvTranspose" in [n.op_type for n in model.graph]
    assert layers == 3


@pytest.mark.parametrize("seed", [0, 9, 38, 76, 146, 149, 153])
def test_a_sum_of_every_pair_of_codes(seed: int) -> None:
    """Of all but the first, one code changes if the constant is rounded any other way."""
    draw = np.random.default_rng(seed)
    scales = draw.uniform(0.001, 0.1, 3).astype(np.float32)
    parameters = {f"s{name}": scale for name, scale in zip("abc", scales, strict=True)}
    zeros = draw.integers(0, 256, 3).astype(np.uint8)
    parameters |= {f"z{name}": zero for name, zero in zip("abc", zeros, strict=True)}
    model = proto(
        """g (uint8[65536] a, uint8[65536] b) => (float[65536] y) {
            p = DequantizeLinear(a, sa, za)
            q = DequantizeLinear(b, sb, zb)
            r = Add(p, q)
            c = QuantizeLinear(r, sc, zc)
            y = DequantizeLinear(c, sc, zc)
        }""",
        **{name: np.asarray(value) for name, value in parameters.items()},
    )
    graph = opened(ir.from_proto(model))
    pairs = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    feeds = {name: codes.ravel() for name, codes in zip("ab", pairs, strict=True)}
    spelt_out, layers = in_integers(graph)
    (expected,) = Session(graph).run(feeds).values()
    (found,) = Session(spelt_out, optimise=False).run(feeds).values()
    assert layers == 1
    np.testing.assert_array_equal(found, expected)


def test_limits_within_the_grid_are_not_left_out(tmp_path: Path) -> None:
    """A Clip that cuts off part of the grid is no kernel's affair; its layer computes in float."""
    onnx.save(cnn(0), tmp_path / "net.onnx")
    _, case = planned(tmp_path / "net.onnx", samples(0, 8, 3, 16, 16), ONNXRUNTIME)
    plan = dict(case.plan)
    (clip,) = [k for k in plan if k.startswith("clip1:")]
    plan[clip] = replace(plan[clip], scale=3 * plan[clip].scale)
    (content,) = exporter("qdq-onnxruntime").write(replace(case, plan=plan)).values()
    whole, part = (
        in_integers(opened(ir.from_proto(onnx.load_from_string(each))))[1]
        for each in (exporter("qdq-onnxruntime").write(case)["model_qdq.onnx"], content)
    )
    assert part == whole - 1


@pytest.mark.parametrize("name", ["onnxruntime", pytest.param("openvino", marks=exact_kernels)])
def test_verify_says_how_near_the_arithmetic_is(name: str) -> None:
    if not backend(name).installed():
        pytest.skip(f"{name} is not installed")
    case = load(FILES["model"], FILES["calibration"], name, samples=24)
    row = verify(case, name, FILES["data"], samples=24)
    assert row.kernels is not None and row.kernels.layers >= 10
    distance = row.kernels.sqnr_db
    assert distance is None or distance > 100  # a last bit of a float output
    assert row.kernels.tensors_equal == row.tensors_compared > 10
    assert row.kernels.first_deviation is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_openvino_adds_floats_to_codes_in_the_unit_of_the_codes(seed: int, tmp_path: Path) -> None:
    """A residual sum; in the unit of the floats, a few of its values round otherwise."""
    if not backend("openvino").installed():
        pytest.skip("openvino is not installed")
    onnx.save(residual(seed), tmp_path / "net.onnx")
    data = random(64, 8, 24, 24)
    _, case = planned(tmp_path / "net.onnx", data, OPENVINO)
    (content,) = exporter("qdq-openvino").write(case).values()
    loaded = backend("openvino").open(content)
    (expected,) = loaded.run({"x": data}).values()
    graph = opened(ir.from_proto(onnx.load_from_string(content)))
    model, layers = accumulated(graph, frozenset())
    (found,) = Session(model, optimise=False).run({"x": data}).values()
    (plain,) = Session(graph, optimise=False).run({"x": data}).values()
    assert layers == 3
    assert np.abs(expected - found).max() < 1e-4 < np.abs(expected - plain).max()  # a code is 0.01


def residual(seed: int) -> onnx.ModelProto:
    draw = np.random.default_rng(seed)
    weights = {name: draw.normal(size=(8, 8, 1, 1)).astype(np.float32) for name in "uvw"}
    biases = {name: draw.normal(size=8).astype(np.float32) for name in "ab"}
    return proto(
        """g (float[N,8,24,24] x) => (float[N,8,24,24] y) {
            c = Conv(x, v, a)
            d = Conv(c, w, b)
            s = Add(d, c)
            y = Conv(s, u)
        }""",
        **weights,
        **biases,
    )


def compared_on_the_htp(proto_file: onnx.ModelProto, data: Any, folder: Path) -> list[Any]:
    """Figures of every activation: the emulation beside the arithmetic that is spelt out."""
    if not backend("qnn-htp").installed():
        pytest.skip("onnxruntime-qnn is not installed")
    onnx.save(proto_file, folder / "net.onnx")
    _, case = planned(folder / "net.onnx", data, QNN_HTP)
    (content,) = exporter("qdq-qnn").write(case).values()
    graph = opened(ir.from_proto(onnx.load_from_string(content)))
    loaded = backend("qnn-htp").open(serialized(tapped(graph, taps_of(graph.graph))))
    runs = [loaded.run({"x": data[i : i + 1]}) for i in range(len(data))]
    found = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
    simulated = quantized_model(case)
    trace = Trace(simulated, graph, None, lambda model: in_fixed_point(model)[0])
    trace.update({"x": data}, found)
    return [figures for _, figures in trace.rows()]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_htp_cuts_sums_and_adds_by_short_factors(seed: int, tmp_path: Path) -> None:
    rows = compared_on_the_htp(residual(seed), random(8, 8, 24, 24), tmp_path)
    assert [row.codes for row in rows] == [0] * 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_htp_runs_every_kind_of_layer_as_it_is_spelt_out(seed: int, tmp_path: Path) -> None:
    rows = compared_on_the_htp(cnn(seed), samples(seed, 8, 3, 16, 16), tmp_path)
    assert [row.codes for row in rows[:-1]] == [0] * 8
    assert rows[-1].own <= 1.01  # Gemm: a few values round otherwise, for a reason not yet found


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_the_htp_has_two_ways_for_depthwise_convolutions(
    stride: int, spread: float, tmp_path: Path
) -> None:
    """With strides, and unless a channel is as good as dead, nothing is cut off the sums."""
    draw = np.random.default_rng(0)
    sizes = np.exp(draw.uniform(-spread, spread, (32, 1, 1, 1)))
    weights = (sizes * draw.normal(size=(32, 1, 3, 3))).astype(np.float32)
    net = proto(
        f"""g (float[N,32,16,16] x) => (float[N,32,{16 // stride},{16 // stride}] y) {{
            y = Conv <pads = [1,1,1,1], strides = [{stride},{stride}], group = 32> (x, w, b)
        }}""",
        w=weights,
        b=draw.normal(size=32).astype(np.float32),
    )
    rows = compared_on_the_htp(net, random(8, 32, 16, 16), tmp_path)
    assert sum(row.own_differing for row in rows) <= 2  # of 65536 or more


def test_what_runs_as_it_is_written_has_no_other_arithmetic() -> None:
    assert backend("onnxruntime-plain").arithmetic is None
    assert backend("openvino-default").arithmetic is None


@exact_kernels
def test_another_rounding_is_found_at_its_first_tensor(tmp_path: Path) -> None:
    """A file with one weight of another code, beside the arithmetic of the plan."""
    _, case = planned(FILES["model"], FILES["calibration"], ONNXRUNTIME)
    stored(case, tmp_path / "case")
    proto = onnx.load_from_string(exporter("qdq-onnxruntime").write(case)["model_qdq.onnx"])
    name = next(t.name for t in proto.graph.initializer if t.name.startswith("block2.project"))
    (tensor,) = [t for t in proto.graph.initializer if t.name == name]
    codes = numpy_helper.to_array(tensor).copy()
    codes.flat[0] = -codes.flat[0] - 40
    tensor.CopyFrom(numpy_helper.from_array(codes, name))
    onnx.save(proto, tmp_path / "edited.onnx")
    against, data = tmp_path / "case", FILES["data"]
    row = verify(tmp_path / "edited.onnx", "onnxruntime", data, against=against, samples=16)
    assert row.kernels is not None and row.kernels.first_deviation is not None
    found = row.kernels.first_deviation
    assert found.node.startswith("block2.project") or found.tensor.startswith("block2")
    assert 0 < row.kernels.tensors_equal < row.tensors_compared
