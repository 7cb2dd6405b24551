"""Files in: what is read, and what is refused with which code."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from lostbits.errors import ModelError
from lostbits.graph.convert_opset import READABLE
from lostbits.graph.load import load
from text_models import outputs, proto, random, saved

RELU = "g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"
GEMM = "g (float[N,64] x) => (float[N,64] y) { y = Gemm(x, w) }"


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as info:
        load(path)
    return info.value


@pytest.mark.parametrize("opset", READABLE)
def test_every_opset_from_7_on_is_read(opset: int, tmp_path: Path) -> None:
    assert load(saved(proto(RELU, opset), tmp_path)).model.opset_imports[""] == opset


@pytest.mark.parametrize("opset", [6, READABLE.stop])
def test_other_opsets_are_refused_with_the_way_out(opset: int, tmp_path: Path) -> None:
    error = refused(saved(proto(RELU, opset), tmp_path))
    assert error.code == "M003"
    assert f"opset {opset}" in str(error)
    assert "opset_version" in str(error)


def test_a_model_without_the_default_domain_is_refused(tmp_path: Path) -> None:
    model = proto(RELU)
    del model.opset_import[0]
    model.graph.node[0].domain = "local"
    assert refused(saved(model, tmp_path)).code == "M003"


def test_a_missing_file_brings_its_nearest_name(tmp_path: Path) -> None:
    saved(proto(RELU), tmp_path)
    error = refused(tmp_path / "mdoel.onnx")
    assert error.code == "M001"
    assert "did you mean 'model.onnx'" in str(error)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07\x12\xff\xff"])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert refused(path).code in ("M002", "M003", "M018")


def test_a_graph_against_the_rules_of_onnx_is_refused(tmp_path: Path) -> None:
    model = proto(RELU)
    model.graph.node[0].input[0] = "nowhere"
    error = refused(saved(model, tmp_path))
    assert error.code == "M002"
    assert "nowhere" in str(error)


def external(folder: Path) -> tuple[Path, onnx.ModelProto]:
    model = proto(GEMM, w=random(64, 64))
    path = folder / "model.onnx"
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.save(copy, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    return path, model


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    path, model = external(tmp_path)
    x = random(2, 64)
    np.testing.assert_array_equal(outputs(load(path).model, x=x)[0], outputs(model, x=x)[0])


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    path, _ = external(tmp_path)
    (tmp_path / "w.bin").unlink()
    error = refused(path)
    assert error.code == "M004"
    assert "'w'" in str(error)
    assert "'w.bin'" in str(error)


@pytest.mark.parametrize("lacking", ["input", "output"])
def test_a_model_needs_inputs_and_outputs(lacking: str, tmp_path: Path) -> None:
    one = helper.make_tensor("v", onnx.TensorProto.FLOAT, [1], [1.0])
    constant = helper.make_node("Constant", [], ["y"], value=one)
    taken = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    made = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    ends = {"input": [taken], "output": [made]} | {lacking: []}
    graph = helper.make_graph([constant], "g", ends["input"], ends["output"])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert refused(saved(model, tmp_path)).code == "M005"
