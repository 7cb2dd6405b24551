"""Readers: files of other tools, damaged files, and the assignment to a model's tensors."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from exported_nets import case_of, channels, net
from lostbits.errors import ReadError
from lostbits.exporters import ALL as EXPORTERS
from lostbits.exporters.qdq import QNN
from lostbits.foreign.match_names import IDLE, match
from lostbits.graph.place import Placed, place
from lostbits.graph.queries import values_by_name
from lostbits.graph.simplify import normalise, without_quantizers
from lostbits.graph.site import Use
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.language import say
from lostbits.reader import Entry, Parameters
from lostbits.readers import ALL, parameters_of, read, reader_of
from lostbits.readers.onnx_model import stripped
from lostbits.targets import ONNXRUNTIME, QNN_HTP, TENSORRT
from small_nets import cnn, samples
from text_models import proto, random

INT8, UINT8 = Grid.of(8, signed=True), Grid.of(8, signed=False)


def affine(scale: Any, zero: Any = 0, grid: Grid = INT8, axis: int | None = None) -> Affine:
    scales = np.asarray(scale, np.float32)
    zeros = np.broadcast_to(np.asarray(zero, np.int64), scales.shape)
    return Affine(grid, scales, zeros, axis)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def codes(parameters: Parameters) -> list[str]:
    return [problem.code for problem in parameters.problems]


# ---- TensorRT cache and ranges ---------------------------------------------------------------


def test_nvidias_own_cache() -> None:
    found = read(b"TRT-7000-EntropyCalibration2\ndata: 3c008912\nconv1: 3c88edfc\nprob: 3c010a14\n")
    scales = {t: float(a.scale) for t, a in found.affines.items()}
    assert scales == pytest.approx({"data": 0.00784518, "conv1": 0.01671504, "prob": 0.00787594})
    assert all(a.grid == INT8 and a.zero_point == 0 for a in found.affines.values())
    assert (found.method, found.format) == ("entropy", "tensorrt-cache")


def test_names_in_a_cache_may_hold_colons() -> None:
    assert set(read(b"TRT-8510-MinMaxCalibration\ninput_1:0: 3c010a14\n\n").affines) == {
        "input_1:0"
    }


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"TRT-x\na: 3c010a14\n", "I002"),
        (b"TRT-7000-EntropyCalibration2\na: 3c01\n", "I002"),
        (b"TRT-7000-EntropyCalibration2\na 3c010a14\n", "I002"),
        (b"TRT-7000-EntropyCalibration2\na: 3c010a14\na: 3c010a15\n", "I004"),
        (b"\x08\x08\x12garbage", "I002"),
        (b'{"version": "0.6.1", "activation_encodings": {"x": [', "I001"),
        (b'{"version": "7", "activation_encodings": {}, "param_encodings": {}}', "I003"),
        (b'{"activation_encodings": 3}', "I002"),
        (b'{"activation_encodings": {"x": [], "x": []}}', "I004"),
        (b'{"encodings": [{"name": "x"}, {"name": "x"}]}', "I004"),
        (b'{"encodings": [3]}', "I002"),
        (b'{"format": "lostbits-plan/9"}', "I003"),
        (b'{"format": "lostbits-plan/1"}', "I002"),
        (b'{"format": "lostbits-cambricon/0"}', "I003"),
        (b'{"format": "lostbits-plan/1", "sites": [{"tensor": "a"}, {"tensor": "a"}]}', "I004"),
        (b"a: 1.5\nb: x\n", "I002"),
        (b"a: 1.5\na: 1.5\n", "I004"),
        (b"", "I001"),
        (b"%PDF-1.4", "I001"),
        (b"{}", "I001"),
        (b"\xff\xfe\x00", "I001"),
    ],
)
def test_files_that_are_damaged_end_in_a_coded_error(content: bytes, code: str) -> None:
    with pytest.raises(ReadError, match=f"^{code}: "):
        read(content)


@pytest.mark.parametrize("each", EXPORTERS, ids=lambda e: e.name)
@given(share=st.floats(0, 1), data=st.data())
def test_a_file_that_was_cut_off_never_ends_in_another_error(
    each: Any, share: float, data: st.DataObject
) -> None:
    name = "calibration.cache" if each.name == "tensorrt-cache" else each.files[0]
    whole = _files(each.name)[name]
    cut = whole[: int(share * len(whole))]
    try:
        reader_of(cut).read(cut)
    except ReadError as error:
        assert error.code in ("I001", "I002", "I003")


_WRITTEN: dict[str, Any] = {}


def _files(name: str) -> Any:
    if name not in _WRITTEN:
        exporter = next(e for e in EXPORTERS if e.name == name)
        cases = (case_of(target=t) for t in (QNN_HTP, TENSORRT))
        fitting = [c for c in cases if not any(e.code < "E004" for e in exporter.lint(c))]
        _WRITTEN[name] = exporter.write(fitting[0])
    return _WRITTEN[name]


@pytest.mark.parametrize(
    "content",
    [
        dumped({"act_quant_info": {"x": 2.0}}),
        dumped({"tensorrt": {"blob_range": {"x": 2.0}}}),
        dumped({"blob_range": {"x": 2.0}}),
        b"x:2.0\n",
        b"x: 2.0",
    ],
)
def test_ranges_of_four_tools(content: bytes) -> None:
    found = read(content)
    assert found.format == "ranges"
    assert found.affines == {"x": affine_from_range(-2, 2, INT8, symmetric=True)}


def test_ranges_with_two_ends() -> None:
    found = read(dumped({"blob_range": {"0": {"min": -2.25, "max": 2.5}, "1": [1]}}))
    assert found.affines == {"0": affine_from_range(-2.25, 2.5, UINT8, symmetric=False)}
    assert codes(found) == ["I008"]


# ---- encodings --------------------------------------------------------------------------------


def legacy(**entries: Any) -> Parameters:
    return read(dumped({"activation_encodings": entries, "param_encodings": {}}))


def test_encodings_of_aimet_061() -> None:
    x = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": -3.83999, "max": 3.93142}
    x |= {"offset": -126.0, "scale": 0.0304761}
    w = {"bitwidth": 4, "dtype": "int", "is_symmetric": "True", "offset": -8, "scale": 0.5}
    sections = {"activation_encodings": {"x": [x]}, "param_encodings": {"w": [w, w]}}
    arguments = {"quant_scheme": "min_max"}
    found = read(dumped({"version": "0.6.1", **sections, "quantizer_args": arguments}))
    assert not found.problems
    assert found.method == "min_max"
    assert found.affines["x"] == affine(0.0304761, 126, UINT8)
    assert found.affines["w"] == affine([0.5, 0.5], 0, Grid.of(4, signed=True), 0)
    assert [e.axis_given for e in found.entries] == [True, False]


def test_encodings_of_mqbench_have_ends_only() -> None:
    found = legacy(x=[{"bitwidth": 8, "min": -5.1, "max": 5.1}])
    assert found.affines["x"] == affine_from_range(-5.1, 5.1, UINT8, symmetric=False)
    assert float(found.affines["x"].lo) == pytest.approx(-5.12)


def test_encodings_of_ppq_have_positive_offsets() -> None:
    entry = {"bitwidth": 8, "max": 3.7073516845703125, "min": -3.7956221103668213}
    found = legacy(x=[entry | {"offset": 129, "scale": 0.02942342683672905}])
    assert codes(found) == ["I010"]
    assert found.affines["x"] == affine(0.02942342683672905, 129, UINT8)


def test_offsets_that_converters_refuse_are_named() -> None:
    entry = {"bitwidth": 8, "is_symmetric": "True", "scale": 0.1}
    assert codes(legacy(x=[entry | {"offset": -127}])) == ["I011"]
    for offset in (0, -128):
        found = legacy(x=[entry | {"offset": offset}])
        assert not found.problems
        assert found.affines["x"] == affine(0.1)


def test_a_boolean_for_symmetry_is_named() -> None:
    found = legacy(x=[{"bitwidth": 8, "is_symmetric": True, "scale": 0.1, "offset": -128}])
    assert codes(found) == ["I012"]


def test_ends_that_contradict_the_scale_are_named() -> None:
    entry = {"bitwidth": 8, "scale": 0.1, "offset": -100, "min": -10.0}
    assert not legacy(x=[entry | {"max": 15.5}]).problems
    assert codes(legacy(x=[entry | {"max": 16.0}])) == ["I013"]


def test_what_is_wrong_with_every_channel_is_one_problem() -> None:
    entry = {"bitwidth": 8, "is_symmetric": "False", "scale": 0.1, "offset": 10}
    assert codes(legacy(x=[entry | {"min": -9.0, "max": 24.5}] * 12)) == ["I010", "I013"]


def test_entries_among_the_constants_are_known() -> None:
    x = [{"bitwidth": 8, "is_symmetric": "False", "scale": 0.1, "offset": -10}]
    found = read(dumped({"activation_encodings": {"x": x}, "param_encodings": {"y": x}}))
    assert found.constants == ("y",)


def test_one_sided_symmetric_encodings_are_unsigned() -> None:
    entry = {"bitwidth": 8, "is_symmetric": "True", "scale": 0.1, "offset": 0, "min": 0.0}
    assert legacy(x=[entry | {"max": 25.5}]).affines["x"] == affine(0.1, 0, UINT8)


@pytest.mark.parametrize(
    "entry",
    [[], [{}], 3, [{"bitwidth": 8}], [{"bitwidth": 8, "scale": "a"}]],
)
def test_entries_without_numbers_are_passed_over(entry: Any) -> None:
    found = legacy(x=entry, y=[{"bitwidth": 8, "min": -1.0, "max": 1.0}])
    assert codes(found) == ["I008"]
    assert set(found.affines) == {"y"}


@pytest.mark.parametrize("bits", ["x", 1, 33, 1e60, True, None])
def test_widths_that_no_grid_has_are_passed_over(bits: Any) -> None:
    found = legacy(x=[{"bitwidth": bits, "scale": 0.1, "offset": -1}])
    assert (codes(found), found.entries) == (["I007"], ())


def test_encodings_100() -> None:
    tensor = {"name": "x", "dtype": "INT", "enc_type": "PER_TENSOR", "bw": 8, "is_sym": False}
    weight = {"name": "w", "dtype": "INT", "enc_type": "PER_CHANNEL", "bw": 8, "is_sym": True}
    blocks = {
        "name": "l",
        "dtype": "INT",
        "enc_type": "LPBQ",
        "bw": 8,
        "is_sym": True,
        "scale": [1],
    }
    found = read(
        dumped(
            {
                "version": "1.0.0",
                "activation_encodings": [
                    tensor | {"scale": [0.5], "offset": [-126.0]},
                    {"name": "h", "dtype": "FLOAT", "bw": 16, "enc_type": "PER_TENSOR"},
                    {"name": "n", "enc_type": "PER_TENSOR", "bw": 8, "scale": [1.0]},
                ],
                "param_encodings": [
                    weight | {"scale": [0.1, 0.2], "offset": [-128, -128]},
                    blocks,
                ],
            }
        )
    )
    assert found.affines == {"x": affine(0.5, 126, UINT8), "w": affine([0.1, 0.2], axis=0)}
    assert found.floats == ("h", "n")
    assert codes(found) == ["I007"]


def test_encodings_200() -> None:
    entries = [
        {"name": "x", "output_dtype": "uint8", "y_scale": 0.5, "y_zero_point": 126},
        {"name": "r", "output_dtype": "uint16", "y_scale": 0.25},
        {"name": "w", "output_dtype": "int8", "y_scale": [0.1, 0.2], "axis": 1},
        {"name": "b", "output_dtype": "int32", "y_scale": [0.1, 0.2], "axis": 0},
        {"name": "l", "output_dtype": "int4", "axis": 0, "block_size": 8},
        {"name": "f", "output_dtype": "float8e4m3fn", "y_scale": 0.1},
    ]
    found = read(dumped({"version": "2.0.0", "encodings": entries}))
    assert found.affines == {
        "x": affine(0.5, 126, UINT8),
        "r": affine(0.25, 0, Grid.of(16, signed=False)),
        "w": affine([0.1, 0.2], axis=1),
        "b": affine([0.1, 0.2], 0, Grid.of(32, signed=True), 0),
    }
    assert (found.floats, codes(found)) == (("f",), ["I007"])


def test_a_negative_zero_point_in_200_is_a_mistaken_offset() -> None:
    entry = {"name": "x", "output_dtype": "uint8", "y_scale": 0.5, "y_zero_point": -126}
    found = read(dumped({"version": "2.0.0", "encodings": [entry]}))
    assert codes(found) == ["I006"]
    assert not found.entries


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf"), 1e60])
def test_impossible_scales_are_named_and_passed_over(scale: float) -> None:
    found = legacy(x=[{"bitwidth": 8, "scale": scale, "offset": -1}])
    assert codes(found) == ["I005"]
    assert not found.entries


@pytest.mark.parametrize("scale", [1e-40, 0.0])
def test_scales_that_leave_nothing_of_a_tensor_are_named_and_kept(scale: float) -> None:
    found = legacy(x=[{"bitwidth": 8, "scale": scale, "offset": -1}])
    assert codes(found) == ["I005"]
    values = np.array([-3, 0, 5], np.float32)
    assert np.allclose(found.affines["x"].fake_quantize(values), 0, atol=1e-35)


# ---- ONNX Runtime's overrides -----------------------------------------------------------------


def test_overrides() -> None:
    found = read(
        dumped(
            {
                "a": [{"quant_type": "QUInt16", "scale": 0.5, "zero_point": 7}],
                "b": [{"rmin": -5.1, "rmax": 5.1}],
                "w": [
                    {"quant_type": "QuantType.QInt8", "axis": 1, "scale": 0.1, "zero_point": 0},
                    {"scale": 0.2, "zero_point": 0},
                ],
                "t": [{"quant_type": "QInt8", "symmetric": True}],
                "f": [{"quant_type": "QFLOAT8E4M3FN", "scale": 1.0, "zero_point": 0}],
            }
        )
    )
    assert found.format == "tensor-quant-overrides"
    assert found.affines == {
        "a": affine(0.5, 7, Grid.of(16, signed=False)),
        "b": affine_from_range(-5.1, 5.1, UINT8, symmetric=False),
        "w": affine([0.1, 0.2], axis=1),
    }
    assert codes(found) == ["I008", "I007"]


# ---- ONNX models ------------------------------------------------------------------------------


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.rest: Iterator[Any] = iter({"x": s[None]} for s in samples(0, 8, 3, 16, 16))

    def get_next(self) -> Any:
        return next(self.rest, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnxruntime")
    onnx.save(cnn(0), path / "float.onnx")
    quant_pre_process(str(path / "float.onnx"), str(path / "ready.onnx"))
    return path


def by_onnxruntime(folder: Path, form: Any, **options: Any) -> onnx.ModelProto:
    target = folder / "quantized.onnx"
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(
        folder / "ready.onnx", target, _Samples(), quant_format=form, **(kinds | options)
    )
    return onnx.load(target)


def reference(path: Path) -> tuple[ir.Model, Placed]:
    model = normalise(without_quantizers(ir.load(path))[0])[0]
    return model, place(model, ONNXRUNTIME)


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("per_channel", [False, True])
def test_models_of_onnxruntime_cover_the_sites(folder: Path, form: Any, per_channel: bool) -> None:
    content = by_onnxruntime(folder, form, per_channel=per_channel).SerializeToString()
    parameters = read(content)
    assert not parameters.problems
    model, placed = reference(folder / "ready.onnx")
    found = match(parameters, model, placed)
    assert len(found.plan) >= 0.98 * len(placed.sites), found.missing
    named = {name for entry in parameters.entries for name in entry.names}
    assert {s.tensor for s in placed.sites if s.role == "bias"} <= named
    weights = [s for s in placed.sites if s.role == "weight"]
    assert weights
    for site in weights:
        assert (found.plan[site.key].axis is not None) == per_channel
    scales = {s.key: s.scales for s in placed.sites if s.scales}
    groups = {s.group: found.plan[s.key] for s in placed.sites if s.streams and s.key in found.plan}
    for key, (group, weight) in scales.items():
        product = groups[group].scale * found.plan[weight].scale
        np.testing.assert_allclose(found.plan[key].scale.ravel(), product.ravel(), rtol=1e-6)


def test_a_quantized_model_is_its_own_reference(folder: Path) -> None:
    content = by_onnxruntime(folder, QuantFormat.QDQ, per_channel=True)
    path = folder / "own.onnx"
    onnx.save(content, path)
    model, placed = reference(path)
    found = match(parameters_of(ir.load(path)), model, placed)
    assert len(found.plan) >= 0.98 * len(placed.sites), found.missing
    assert set(found.unmatched.values()) <= {IDLE}


HEAD = "g (float[N,4] x) => (float[N,3] y) { "


def quantized_text(body: str, **weights: Any) -> onnx.ModelProto:
    numbers = {"s": np.float32(0.1), "z": np.uint8(3)}
    arrays = {k: np.asarray(v) for k, v in (numbers | weights).items()}
    return proto(HEAD + body + " }", 21, **arrays)


def test_the_type_of_a_quantizer_without_zero_point_is_uint8_or_its_attribute() -> None:
    weight = {"w": random(4, 3)}
    plain = "q = QuantizeLinear(x, s) d = DequantizeLinear(q, s) y = MatMul(d, w)"
    typed = plain.replace("Linear(x, s)", "Linear<output_dtype = 3>(x, s)")
    assert parameters_of(ir.from_proto(quantized_text(plain, **weight))).affines["x"].grid == UINT8
    assert parameters_of(ir.from_proto(quantized_text(typed, **weight))).affines["x"].grid == INT8


def test_constants_may_be_nodes_and_scales_may_have_one_axis() -> None:
    body = """t = Constant <value = float[1] {0.25}> () o = Constant <value = uint8[1] {3}> ()
        q = QuantizeLinear(x, t, o) d = DequantizeLinear(q, t, o) y = MatMul(d, w)"""
    found = parameters_of(ir.from_proto(quantized_text(body, w=random(4, 3))))
    assert found.affines == {"x": affine(0.25, 3, UINT8)}


def test_negative_axes_count_from_the_end() -> None:
    body = "d = DequantizeLinear <axis = -1> (c, t) y = MatMul(x, d)"
    weights = {"c": np.ones((4, 3), np.int8), "t": np.full(3, 0.5, np.float32)}
    found = parameters_of(ir.from_proto(quantized_text(body, **weights)))
    assert found.affines == {"d": affine([0.5] * 3, axis=1)}


def test_blocks_and_computed_scales_are_passed_over() -> None:
    blocks = "d = DequantizeLinear <axis = 0, block_size = 2> (c, t) y = MatMul(x, d)"
    weights = {"c": np.ones((4, 3), np.int8), "t": np.full((2, 3), 0.5, np.float32)}
    assert codes(parameters_of(ir.from_proto(quantized_text(blocks, **weights)))) == ["I007"]
    computed = """a = ReduceMax<keepdims = 0>(x) q = QuantizeLinear(x, a, z)
        d = DequantizeLinear(q, a, z) y = MatMul(d, w)"""
    found = parameters_of(ir.from_proto(quantized_text(computed, w=random(4, 3))))
    assert codes(found) == ["I008"]


def test_one_constant_with_two_scales_is_named() -> None:
    body = """d = DequantizeLinear(c, s, o) e = DequantizeLinear(c, t, o)
        h = MatMul(x, d) y = MatMul(h, e)"""
    weights = {"c": np.ones((4, 3), np.int8), "o": np.int8(0), "t": np.float32(0.2)}
    found = parameters_of(ir.from_proto(quantized_text(body, **weights)))
    assert codes(found) == ["I023"]
    assert found.affines == {"d": affine(0.1)}
    shared = body.replace("(c, s, o)", "(a, s, o)").replace("(c, t, o)", "(b, t, o)")
    pairs = f"a = QuantizeLinear(w, s, o) b = QuantizeLinear(w, t, o) {shared}"
    found = parameters_of(ir.from_proto(quantized_text(pairs, w=random(4, 3), **weights)))
    assert codes(found) == ["I023"]


def test_suffixes_of_tools_come_off_one_by_one() -> None:
    assert stripped("w_quantized_DequantizeLinear_Output") == ("w_quantized", "w")
    assert stripped("_q") == ()
    assert stripped("seq") == ()


def test_names_that_were_lost_are_found_by_the_input_that_reads_them() -> None:
    case = case_of()
    (content,) = QNN.write(case).values()
    model = ir.from_proto(onnx.load_from_string(content))
    value = values_by_name(model.graph)["w"]
    value.name = "something_else"
    for node in model.graph:
        node.name = node.name or f"{node.op_type}_unnamed"
    found = match(parameters_of(model), case.model, case.placed)
    assert found.plan == case.plan


def test_nodes_without_names_match_nothing() -> None:
    model = quantized_text(
        "d = DequantizeLinear(c, s, o) y = MatMul(x, d)", c=np.ones((4, 3), np.int8), o=np.int8(0)
    )
    (entry,) = parameters_of(ir.from_proto(model)).entries
    assert entry.uses == ()
    model.graph.node[1].name = "fc"
    (entry,) = parameters_of(ir.from_proto(model)).entries
    assert entry.uses == (Use("fc", 1),)


# ---- matching ---------------------------------------------------------------------------------


def test_what_does_not_match_is_listed_with_reason_and_close_names() -> None:
    case = case_of()
    left = next(iter(case.placed.left_in_float.items()))
    entries = (
        Entry("xx", affine(1.0)),
        Entry(left[0], affine(1.0)),
        Entry("w", affine([1.0] * 4, axis=0)),
        Entry("u", affine([1.0] * 8, axis=0), axis_given=False),
    )
    found = match(Parameters("test", entries, floats=("x",)), case.model, case.placed)
    assert found.plan == {}
    assert found.unmatched["xx"].code == "match.unknown_near"
    assert "'x'" in str(found.unmatched["xx"].figures["advice"])
    assert found.unmatched[left[0]] == say("match.no_quantizer", why=left[1])
    told = {"count": "4", "shape": "(5, 4, 3, 3)", "axis": "0"}
    assert found.unmatched["w"] == say("match.shape", **told)
    assert found.unmatched["u"].figures["shape"] == "(4, 8)"
    assert found.missing["x:activation"] == say("match.left_by_file")
    assert found.missing["y:output"] == say("match.not_in_file")
    assert set(found.missing) == {s.key for s in case.placed.sites}


def test_an_axis_that_the_file_does_not_tell_is_that_of_the_layer() -> None:
    case = case_of()
    entries = [
        Entry(s.tensor, affine([0.1] * (channels(case, s) or 0), axis=0), axis_given=False)
        for s in case.placed.sites
        if s.role == "weight"
    ]
    found = match(Parameters("test", tuple(entries)), case.model, case.placed)
    axes = {key: a.axis for key, a in found.plan.items()}
    assert axes == {"w:weight": 0, "v:weight": 1, "u:weight": 0, "m:weight": 1}


def test_own_names_win_over_aliases() -> None:
    case = case_of()
    entries = (Entry("other", affine(1.0), aliases=("x",)), Entry("x", affine(2.0)))
    found = match(Parameters("test", entries), case.model, case.placed)
    assert found.plan == {"x:activation": affine(2.0)}


def test_readers_have_names_and_titles() -> None:
    assert len({r.name for r in ALL}) == len(ALL)
    assert all(r.title for r in ALL)
    assert replace(Parameters("a", ()), format="b").affines == {}
    assert net().graph.inputs


# ---- nonsense ---------------------------------------------------------------------------------

_ODD = st.sampled_from(
    [None, True, "", "x", -1, 0, 3, 1e60, float("nan"), [], [[1.0]], {}, {"a": 1}]
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with every key or index in it."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    here = [(value, key) for key in keys]
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return here + [place for v in inner for place in _places(v)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "each",
    [e for e in EXPORTERS if not any(p in e.name for p in ("qdq", "cache", "baked"))],
    ids=lambda e: e.name,
)
@settings(max_examples=100, phases=[Phase.generate])
@given(data=st.data())
def test_nonsense_in_any_place_is_a_coded_error_or_a_problem(
    each: Any, data: st.DataObject
) -> None:
    files = _files(each.name)
    name = next(f for f in files if files[f].startswith(b"{"))
    value = json.loads(files[name])
    container, key = data.draw(st.sampled_from(_places(value)))
    container[key] = data.draw(_ODD)
    try:
        assert isinstance(read(dumped(value)), Parameters)
    except ReadError as error:
        assert error.code in ("I001", "I002", "I003", "I004")
