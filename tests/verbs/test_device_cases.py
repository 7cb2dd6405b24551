"""Faults that people bring from their devices, rebuilt small: what is said of them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from lostbits.errors import LostbitsError
from lostbits.verbs.diagnose import diagnose
from lostbits.verbs.inspect import inspect
from lostbits.verbs.load import load
from lostbits.verbs.verify import verify
from small_nets import cnn, mlp, samples

STEPS = (0.02, 0.004)  # of the inputs of two layers that share a weight and a bias


def pair(source: str, name: str, scale: float, zero: Any) -> tuple[list[Any], dict[str, Any]]:
    held = {f"{name}_s": np.float32(scale), f"{name}_z": zero}
    names = [f"{name}_s", f"{name}_z"]
    nodes = [
        helper.make_node("QuantizeLinear", [source, *names], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *names], [name]),
    ]
    return nodes, held


def shared_bias() -> onnx.ModelProto:
    """One int32 bias for two layers whose inputs have other scales: right for the first alone."""
    draw, unsigned = np.random.default_rng(0), np.uint8(0)
    held: dict[str, Any] = {
        "w_q": draw.integers(-90, 90, (4, 4, 1, 1), np.int8),
        "w_s": np.float32(0.01),
        "w_z": np.int8(0),
        "b_q": draw.integers(500, 2000, 4, np.int32),
        "b_s": np.float32(STEPS[0] * 0.01),
        "b_z": np.int32(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "w_s", "w_z"], ["w"]),
        helper.make_node("DequantizeLinear", ["b_q", "b_s", "b_z"], ["b"]),
    ]
    source = "x"
    for number, step in enumerate(STEPS):
        made, more = pair(source, f"a{number}", step, unsigned)
        source = f"c{number}"
        conv = helper.make_node("Conv", [f"a{number}", "w", "b"], [source], name=f"conv{number}")
        nodes, held = [*nodes, *made, conv], held | more
    made, more = pair(source, "y", 0.05, np.uint8(128))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4, 5, 5]) for n in "xy"]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in (held | more).items()]
    graph = helper.make_graph([*nodes, *made], "net", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_bias_of_two_layers_is_told_and_keeps_the_second_in_float(tmp_path: Path) -> None:
    path = tmp_path / "shared.onnx"
    onnx.save(shared_bias(), path)
    found = inspect(path)
    doubts = [d for d in found.suspicions if d.code == "I022"]
    assert len(doubts) == 1
    assert "conv1" in str(doubts[0])
    x = np.random.default_rng(1).uniform(0, 1, (8, 4, 5, 5)).astype(np.float32)
    row = verify(path, "onnxruntime", x)
    why = {name: kind.why for kind in row.executed.float for name in kind.nodes}
    told = why["conv1"]
    assert told is not None and told.code == "in_float.bias"
    assert told.figures["times"] == "5"
    assert "conv0" not in why or why["conv0"] is None or why["conv0"].code != "in_float.bias"


def test_impossible_scales_of_a_cache_are_named_and_passed_over(tmp_path: Path) -> None:
    model, path = tmp_path / "net.onnx", tmp_path / "calibration.cache"
    onnx.save(cnn(0), model)
    data = samples(0, 8, 3, 16, 16)
    tensors = [s.tensor for s in load(model, data, "tensorrt").sites if s.streams]
    bad = {"inf": "7f800000", "nan": "7fc00000", "huge": "7df1adb0"}
    scales = dict(zip(tensors, [*bad.values(), *["3c010204"] * len(tensors)], strict=False))
    lines = [f"{tensor}: {scale}" for tensor, scale in scales.items()]
    path.write_text("TRT-100300-EntropyCalibration2\n" + "\n".join(lines) + "\n")
    found = inspect(path, model)
    assert [p.code for p in found.parameters.problems] == ["I005"] * len(bad)
    for problem, tensor in zip(found.parameters.problems, tensors, strict=False):
        assert tensor in str(problem)
    planned = load(model, data, "tensorrt", plan=path)
    figures = diagnose(planned).baseline
    assert figures.sqnr_db is not None and np.isfinite(figures.sqnr_db)
    assert not {f"{t}:activation" for t in tensors[: len(bad)]} & set(planned.plan)


def test_a_dynamic_file_is_recognised_and_refused_as_a_model(tmp_path: Path) -> None:
    model, path = tmp_path / "net.onnx", tmp_path / "dynamic.onnx"
    onnx.save(mlp(0), model)
    quantize_dynamic(model, path)
    found = inspect(path, model)
    assert "I026" in [d.code for d in found.suspicions]
    assert found.parameters.entries and found.parameters.dynamic
    with pytest.raises(LostbitsError) as caught:
        load(path, samples(0, 8, 6), "tensorrt")
    assert caught.value.code == "M009"
