"""Exported files on ONNX Runtime at every level of optimisation, with the ends of the network."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from benchmarks.exported_load import faults
from exported_nets import case_of
from lostbits.exporters import exporter
from lostbits.graph.opset import in_opset_13
from lostbits.graph.queries import opset
from lostbits.graph.simplify import opened
from lostbits.runtime.session import Session
from lostbits.targets import ALL as TARGETS
from lostbits.targets import OPENVINO
from lostbits.verbs.case_files import files_of
from random_nets import random_net
from rescalable_nets import of_nodes
from small_nets import make, samples
from text_models import normal, proto, random

pytestmark = pytest.mark.slow

NAMES = [target.name for target in TARGETS]
W, V = random(4, 4), random(4, 4, 1)[..., 0]


def faults_of(model: onnx.ModelProto, target: str, seed: int = 0) -> list[str]:
    files = Counter[tuple[int, str]]()
    found = [str(fault) for fault in faults(model, seed, target, files)]
    assert files
    return found


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES))
def test_files_of_random_networks_load_at_every_level(seed: int, name: str) -> None:
    assert faults_of(random_net(seed), name, seed) == []


@pytest.mark.parametrize("name", ["tensorrt", "openvino", "cnrt"])
@pytest.mark.parametrize("version", [11, 12])
def test_old_opsets_load_where_weights_have_channels(name: str, version: int) -> None:
    """A bias in float beside them makes ONNX Runtime write a quantizer with channels itself."""
    text = """g (float[batch,4,6,6] x) => (float[batch,6,6,6] y) {
        c = Conv <pads = [1,1,1,1]> (x, w, b)
        r = Relu(c)
        y = Conv(r, v)
    }"""
    model = proto(text, version, w=random(6, 4, 3, 3), b=random(6), v=random(6, 6, 1, 1))
    assert faults_of(model, name) == []


def test_a_reduction_of_integers_loads_at_an_old_opset() -> None:
    """ONNX Runtime takes the pairs around it away, and opset 11 has no ReduceMax of integers."""
    text = """g (float[batch,4,6,6] x) => (float[batch,3] y) {
        m = ReduceMax <axes = [2, 3], keepdims = 0> (x)
        y = Gemm(m, w)
    }"""
    assert faults_of(proto(text, 11, w=random(4, 3)), "snpe") == []


@pytest.mark.parametrize("moves", [["Reshape", "Transpose"], ["Transpose"], ["Reshape"]])
@pytest.mark.parametrize("version", [20, 21, 22, 23])
def test_int8_behind_nodes_that_only_move_it_loads(moves: Sequence[str], version: int) -> None:
    settings_of: dict[str, Any] = {"Reshape": {}, "Transpose": {"perm": [0, 2, 1]}}
    nodes, last = list[onnx.NodeProto](), "x"
    for number, op in enumerate(moves):
        inputs = [last, "s"] if op == "Reshape" else [last]
        last = f"m{number}"
        nodes.append(helper.make_node(op, inputs, [last], name=last, **settings_of[op]))
    nodes.append(helper.make_node("MatMul", [last, "w"], ["y"], name="m"))
    width = 4 if len(moves) == 2 or moves == ["Transpose"] else 9
    held = {"w": random(width, 5), "s": np.array([0, 4, -1])}
    model = of_nodes(nodes, held, ("batch", 4, 9), {"y": 3}, version)
    model.ir_version = 10
    assert faults_of(model, "tensorrt") == []


def of_ends(nodes: list[onnx.NodeProto], outputs: Sequence[str]) -> onnx.ModelProto:
    model = of_nodes(nodes, {"w": W, "v": V}, ("batch", 4), {})
    for name in outputs:
        shape: list[str | int | None] = ["batch", 4]
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


def product(source: str, result: str, weight: str = "w") -> onnx.NodeProto:
    return helper.make_node("MatMul", [source, weight], [result], name=f"n_{result}")


def plain(op: str, source: str, result: str) -> onnx.NodeProto:
    return helper.make_node(op, [source], [result], name=f"n_{result}")


ENDS: dict[str, tuple[list[onnx.NodeProto], list[str]]] = {
    "read inside": ([product("x", "a"), product("a", "y", "v")], ["a", "y"]),
    "other order": ([product("x", "a"), product("a", "y", "v")], ["y", "a"]),
    "an input": ([product("x", "y")], ["y", "x"]),
    "an input first": ([product("x", "y")], ["x", "y"]),
    "twice": ([product("x", "y")], ["y", "y"]),
    "twice and another": ([product("x", "a"), product("a", "y", "v")], ["y", "a", "y"]),
    "two of one value": ([product("x", "a"), plain("Identity", "a", "y")], ["a", "y"]),
    "behind a limit": ([product("x", "a"), plain("Relu", "a", "y")], ["a", "y"]),
    "of a constant": (
        [product("x", "y"), helper.make_node("Add", ["w", "v"], ["k"], name="k")],
        ["y", "k"],
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ENDS)
def test_files_keep_names_order_types_and_shapes_of_both_ends(kind: str, name: str) -> None:
    assert faults_of(of_ends(*ENDS[kind]), name) == []


@pytest.mark.parametrize("kind", ENDS)
def test_both_models_of_a_recovered_folder_keep_them(kind: str, tmp_path: Path) -> None:
    model = of_ends(*ENDS[kind])
    _, case = make(tmp_path, model, samples(0, 8, 4))
    files = files_of(case)
    for name in ("float.onnx", "quantized.onnx"):
        content = files[name]
        assert isinstance(content, bytes)
        graph = onnx.load_from_string(content).graph
        for found, wanted in ((graph.input, model.graph.input), (graph.output, model.graph.output)):
            assert [v.name for v in found] == [v.name for v in wanted]
            assert [v.type for v in found] == [v.type for v in wanted]


def test_16_bits_per_channel_load_at_every_opset() -> None:
    for version in (11, 17, 21):
        case = case_of(target=OPENVINO, model=normal(proto(_PLAIN, version, w=random(5, 4))))
        content = exporter("qdq-onnxruntime").write(case)["model_qdq.onnx"]
        assert opset(ir.from_proto(onnx.load_from_string(content))) == max(version, 13)


_PLAIN = "g (float[batch,4] x) => (float[batch,5] y) { y = Gemm <transB = 1> (x, w) }"

# One node each whose words opset 13 has changed.
MODE = 'coordinate_transformation_mode = "tf_half_pixel_for_nn"'
OLD = {
    "Softmax in rows": "y = Softmax (x)",
    "Softmax of all": "y = Softmax <axis = 0> (x)",
    "Softmax of the last": "y = Softmax <axis = 3> (x)",
    "Softmax from behind": "y = Softmax <axis = -2> (x)",
    "LogSoftmax": "y = LogSoftmax <axis = 2> (x)",
    "Hardmax": "y = Hardmax <axis = 1> (x)",
    "ReduceSum": "y = ReduceSum <axes = [1, -1], keepdims = 0> (x)",
    "ReduceSum of all": "y = ReduceSum (x)",
    "Split": "y, z = Split <axis = 1, split = [1, 3]> (x)",
    "Split evenly": "y, z = Split <axis = 1> (x)",
    "Squeeze": "u = Unsqueeze <axes = [0, 2]> (x) y = Squeeze <axes = [2]> (u)",
    "Squeeze all": "u = Unsqueeze <axes = [1]> (x) y = Squeeze (u)",
    "Resize": f"y = Resize <{MODE}> (x, roi, scales)",
    "Unsqueeze": "y = Unsqueeze <axes = [1, -1]> (x)",
}


@pytest.mark.parametrize("version", [11, 12])
@pytest.mark.parametrize("kind", OLD)
def test_opset_13_says_the_same(kind: str, version: int) -> None:
    text = f"g (float[2,4,3,5] x) => (float[] y) {{ r = Relu(x) {OLD[kind]} }}"
    scales = np.array([1, 1, 2, 2], np.float32)
    source = proto(text, version, roi=np.zeros(0, np.float32), scales=scales)
    source.graph.output[0].type.tensor_type.ClearField("shape")
    model = opened(ir.from_proto(onnx.shape_inference.infer_shapes(source)))
    raised = in_opset_13(model)
    assert opset(raised) == 13 and opset(model) == version
    onnx.checker.check_model(ir.to_proto(raised), full_check=True)
    x = {"x": random(2, 4, 3, 5)}
    before, after = (Session(m, optimise=False).run(x)["y"] for m in (model, raised))
    assert before.shape == after.shape
    np.testing.assert_array_equal(before, after)


def test_later_opsets_stay_as_they_are() -> None:
    model = ir.from_proto(random_net(2))
    assert in_opset_13(model) is model
