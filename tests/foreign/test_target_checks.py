"""What a platform would refuse or change of a file is named; own files raise no doubt."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import lostbits as lb
from device import attention, depthwise, residual
from lostbits.errors import ReadError
from lostbits.foreign.graph_doubts import doubts_of_quantizers
from lostbits.foreign.target_checks import _listed, doubts_of_target
from lostbits.grid import Affine, Grid
from lostbits.language import Message
from lostbits.reader import Entry, Parameters
from lostbits.readers import OnnxModel, parameters_of
from lostbits.targets import MEMBERS, OPENVINO, TENSORRT
from small_nets import cnn, mlp
from text_models import normal, proto, random

INT8, UINT8 = Grid.of(8, signed=True), Grid.of(8, signed=False)
NETS = {
    "cnn": (cnn(0), (3, 16, 16)),
    "residual": (residual(), (3, 16, 16)),
    "depthwise": (depthwise(), (3, 16, 16)),
    "attention": (attention(), (10, 16)),
    "mlp": (mlp(0), (6,)),
}
FORMATS = {
    "tensorrt": ["qdq", "tensorrt-cache", "tensorrt-ranges"],
    "snpe": ["encodings-1.0.0", "encodings-0.6.1"],
    "qnn-htp": ["qdq", "encodings-1.0.0"],
    "cnrt": ["cambricon"],
}
READ = {"model_qdq.onnx", "model.encodings", "calibration.cache", "ranges.txt", "cambricon.json"}


def data(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)


def written(net: str, target: str, form: str, folder: Path) -> tuple[Path, Path]:
    """The float model, and the first file of a format that is read back."""
    model, shape = NETS[net]
    onnx.save(model, folder / "m.onnx")
    case = lb.load(folder / "m.onnx", data=data(shape), target=target)
    files = [f.path for each in lb.export(case, form, folder) for f in each.files]
    return folder / "m.onnx", next(f for f in files if f.name in READ)


def found_in(file: Path, model: Path | None, target: str | None) -> dict[str, ReadError]:
    found = lb.inspect(file, model, target)
    return {d.code: d for d in (*found.suspicions, *found.parameters.problems)}


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("target", MEMBERS.names)
def test_own_files_raise_no_doubt(net: str, target: str, tmp_path: Path) -> None:
    for form in FORMATS.get(target, ["qdq"]):
        model, file = written(net, target, form, tmp_path / form.replace(".", ""))
        assert found_in(file, model, target) == {}
        assert found_in(file, None, target) == {}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for forms in (*FORMATS.values(), ["qdq"]):
        for form in forms:
            (tmp_path / form.replace(".", "")).mkdir(exist_ok=True)


@pytest.mark.slow
def test_asymmetric_activations_are_refused_by_tensorrt(tmp_path: Path) -> None:
    """All of them are uint8, those behind a Relu with zero point 0 too."""
    model, file = written("residual", "onnxruntime", "qdq", tmp_path)
    found = found_in(file, model, "tensorrt")
    assert set(found) == {"I033", "I034", "I036"}
    entries = lb.inspect(file).parameters.entries
    unsigned = {e.tensor for e in entries if not e.affine.grid.signed}
    moved = {e.tensor for e in entries if e.affine.zero_point.any()}
    assert set(found["I033"].tensors) == unsigned > set(found["I034"].tensors) == moved
    assert found_in(file, model, "onnxruntime") == {}
    assert found_in(file, model, None) == {}


@pytest.mark.slow
def test_a_diagnosis_tells_what_planning_anew_gives(tmp_path: Path) -> None:
    model, file = written("residual", "onnxruntime", "qdq", tmp_path)
    samples = data((3, 16, 16))
    case = lb.load(model, data=samples, target="tensorrt", plan=file)
    found = lb.diagnose(case).plan
    assert found is not None
    told = {str(message.figures.get("code")) for message in found.suspicions}
    assert {"I033", "I034", "I036"} <= told
    own = lb.diagnose(lb.load(model, data=samples, target="tensorrt"))
    assert found.anew_sqnr_db == pytest.approx(own.baseline.sqnr_db, abs=1e-3)


def codes(parameters: Parameters, model: Any) -> list[str]:
    return [d.code for d in doubts_of_quantizers(parameters, model.graph)]


def per_channel(axis: int, size: int) -> Affine:
    scale = np.linspace(0.1, 0.9, size).astype(np.float32)
    return Affine(INT8, scale, np.zeros(size, np.int64), axis)


@pytest.mark.parametrize(
    ("node", "shape", "right"),
    [
        ("Conv (x, w)", (4, 4, 1, 1), 0),
        ("ConvTranspose <group = 2> (x, w)", (4, 4, 1, 1), 1),
        ("Gemm <transB = 1> (x, w)", (4, 4), 0),
        ("Gemm (x, w)", (4, 4), 1),
        ("MatMul (x, w)", (4, 4), 1),
    ],
)
def test_scales_along_the_summed_channels_are_named(
    node: str, shape: tuple[int, ...], right: int
) -> None:
    """The weight is square, so that its shape does not tell."""
    entry = "float[N,4,2,2] x" if len(shape) == 4 else "float[N,4] x"
    end = "float[N,8,2,2] y" if "group" in node else entry.replace("x", "y")
    text = f"g ({entry}) => ({end}) {{ y = {node} }}"
    model = normal(proto(text, w=random(*shape)))
    name = next(n for n in (v.name for v in model.graph.initializers.values()))
    for axis in (0, 1):
        parameters = Parameters("test", (Entry(str(name), per_channel(axis, 4)),))
        linear = next(n for n in model.graph if n.op_type in node)
        turned = linear.op_type == "MatMul" and "Gemm" in node
        wanted = right if not turned else 1
        assert codes(parameters, model) == ([] if axis == wanted else ["I031"])


@pytest.mark.parametrize(
    ("scale", "zero", "grid", "cut"),
    [
        (1 / 256, 0, INT8, True),
        (1 / 255, 0, INT8, True),
        (1 / 127, 0, INT8, False),
        (1 / 256, -128, INT8, False),
        (1 / 256, 0, UINT8, False),
        (0.6 / 127, 0, INT8, False),  # what a calibrator has seen
    ],
)
def test_a_fixed_scale_on_the_wrong_grid_is_named(
    scale: float, zero: int, grid: Grid, *, cut: bool
) -> None:
    model = normal(proto("g (float[N,4] x) => (float[N,4] y) { y = Softmax(x) }"))
    affine = Affine(grid, np.asarray(scale, np.float32), np.asarray(zero))
    assert codes(Parameters("test", (Entry("y", affine),)), model) == ["I032"] * cut


@pytest.mark.parametrize(("zero", "named"), [(127, True), (128, False)])
def test_a_middle_code_that_is_one_too_low_is_named(zero: int, *, named: bool) -> None:
    affine = Affine(UINT8, np.asarray(0.1, np.float32), np.asarray(zero))
    entries = tuple(Entry(name, affine) for name in "abcde")
    found = list(doubts_of_quantizers(Parameters("test", entries), None))
    assert [d.code for d in found] == ["I030"] * named
    assert not named or found[0].tensors == tuple("abcde")


def quantized_file(nodes: list[Any], weights: dict[str, Any], end: str) -> onnx.ModelProto:
    scale = {"s": np.float32(0.1), "z": np.int8(0)}
    constants = [numpy_helper.from_array(np.asarray(v), n) for n, v in {**scale, **weights}.items()]
    shape: list[str | int | None] = ["N", 4, 5, 5]
    entry = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [entry], [result], constants)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def pair(name: str, *between: Any) -> list[Any]:
    last = between[-1].output[0] if between else f"{name}_q"
    return [
        helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"], name=f"{name}_q"),
        *between,
        helper.make_node("DequantizeLinear", [last, "s", "z"], [f"{name}_dq"], name=f"{name}_dq"),
    ]


def checked(model: onnx.ModelProto, target: Any) -> list[ReadError]:
    import onnx_ir as ir

    graph = ir.from_proto(model)
    return doubts_of_target(parameters_of(graph), target, graph.graph, None)


@pytest.mark.parametrize("half", [True, False])
def test_a_residual_with_one_edge_in_float_is_named(*, half: bool) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="r"),
        *pair("r"),
        helper.make_node("Conv", ["r_dq", "w"], ["c"], name="c"),
        helper.make_node("Add", ["c", "r" if half else "r_dq"], ["y"], name="add"),
    ]
    found = checked(quantized_file(nodes, {"w": random(4, 4, 1, 1)}, "y"), TENSORRT)
    assert [(d.code, d.tensors) for d in found] == [("I038", ("r",))] * half


@pytest.mark.parametrize(("factor", "named"), [(-1.0, True), (1.0, False)])
@pytest.mark.parametrize("op", ["Mul", "BatchNormalization"])
def test_factors_of_both_signs_before_a_pair_are_named_for_openvino(
    op: str, factor: float, *, named: bool
) -> None:
    factors = np.asarray([1, factor, 1, 1], np.float32)
    weights = {"f": factors.reshape(1, 4, 1, 1) if op == "Mul" else factors}
    more = ["o", "o", "v"] if op == "BatchNormalization" else []
    weights |= {"o": np.zeros(4, np.float32), "v": np.ones(4, np.float32)} if more else {}
    nodes = [helper.make_node(op, ["x", "f", *more], ["m"], name="m"), *pair("m")]
    nodes.append(helper.make_node("Conv", ["m_dq", "w"], ["y"], name="y"))
    model = quantized_file(nodes, weights | {"w": random(4, 4, 1, 1)}, "y")
    assert [d.code for d in checked(model, OPENVINO)] == ["I039"] * named
    assert not any(d.code == "I039" for d in checked(model, TENSORRT))


def test_a_clip_of_codes_is_part_of_the_grid() -> None:
    ends = {"lo": np.int8(-127), "hi": np.int8(100)}
    clip = helper.make_node("Clip", ["x_q", "lo", "hi"], ["x_c"], name="clip")
    model = quantized_file(pair("x", clip), ends, "x_dq")
    (entry,) = OnnxModel().read(model.SerializeToString()).entries
    assert (entry.affine.grid.qmin, entry.affine.grid.qmax) == (-127, 100)
    assert set(entry.names) == {"x", "x_dq"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("tensorrt", "tensorrt-cache"),
        ("tensorrt", "tensorrt-ranges"),
        ("qnn-htp", "encodings-1.0.0"),
        ("snpe", "encodings-1.0.0"),
        ("cnrt", "cambricon"),
        ("openvino", "qdq"),
        ("onnxruntime", "qdq"),
    ],
)
def test_format_and_grids_tell_the_target(target: str, form: str, tmp_path: Path) -> None:
    model, file = written("cnn", target, form, tmp_path)
    assert lb.inspect(file, model).target == target


def test_many_types_are_told_by_their_widths() -> None:
    assert _listed({"int8", "uint8"}) == "int8, uint8"
    many = _listed({f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 8, 16)})
    assert isinstance(many, Message)
    assert many.figures == {"least": "2", "most": "16"}
