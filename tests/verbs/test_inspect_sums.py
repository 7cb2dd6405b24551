"""What inspect says of sums, by codes alone, and the options that name an arithmetic."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from lostbits.arithmetics import X86_AVX2
from lostbits.cli.app import app
from lostbits.exporter import serialized
from lostbits.runtime.simulation import quantized_model
from lostbits.verbs.inspect import inspect
from lostbits.verbs.load import load
from small_nets import cnn, samples


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    case = load(cnn(0), samples(0, 4, 3, 16, 16), "onnxruntime")
    path = tmp_path_factory.mktemp("file") / "net_int8.onnx"
    path.write_bytes(serialized(quantized_model(case)))
    return path


def doubts(path: Path, arithmetic: object) -> list[str]:
    found = inspect(path, arithmetic=arithmetic)  # type: ignore[arg-type]
    return [str(each.code) for each in found.suspicions]


def test_pairs_are_a_doubt_only_where_the_arithmetic_was_named(file: Path) -> None:
    assert "I040" in doubts(file, "x86-avx2")
    assert "I040" in doubts(file, X86_AVX2)
    assert not {"I040", "I041"} & {*doubts(file, None), *doubts(file, "x86-vnni")}
    plain, named = inspect(file), inspect(file, arithmetic="x86-avx2")
    assert plain.sums == named.sums
    nodes = {each.node for each in plain.sums}
    assert "conv4" not in nodes  # depthwise
    assert all(each.reach.leaves for each in plain.sums)


def test_narrow_accumulators_are_another_doubt(file: Path, tmp_path: Path) -> None:
    own = tmp_path / "npu.toml"
    own.write_text('base = "x86-vnni"\nname = "npu"\naccumulator_bits = 16\n', encoding="utf-8")
    assert "I041" in doubts(file, str(own))
    assert inspect(file, arithmetic=own).as_json()["sums"][0]["limit"] == 32767


def test_the_command_takes_it_and_tells_without_it(file: Path) -> None:
    run = CliRunner().invoke(app, ["inspect", str(file), "--arithmetic", "x86-avx2"])
    assert run.exit_code == 0
    assert "I040" in run.output
    run = CliRunner().invoke(app, ["inspect", str(file)])
    assert "32,767" in run.output
    assert "suspicion" not in run.output
    assert CliRunner().invoke(app, ["inspect", str(file), "--arithmetic", "no"]).exit_code == 2


def test_ops_on_codes_are_bounded_too(tmp_path: Path) -> None:
    codes = np.array([[100, 3], [100, -3], [0, 1], [5, 5]], np.int8)
    held = {
        "w": codes,
        "xs": np.float32(0.1),
        "xz": np.uint8(0),
        "ws": np.float32(0.1),
        "wz": np.int8(0),
    }
    inputs = ["a", "xs", "xz", "w", "ws", "wz", "xs", "xz"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["a"]),
        helper.make_node("QLinearMatMul", inputs, ["b"], name="product"),
        helper.make_node("DequantizeLinear", ["b", "xs", "xz"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", s])
        for n, s in (("x", 4), ("y", 2))
    ]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], stored)
    path = tmp_path / "ops.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    (found,) = inspect(path).sums
    assert (found.node, found.kind, found.reach.packed) == ("product", "pairs", 255 * 200)
