"""Exporters: what is read is what was written, the platforms' own numbers, and refusals."""

import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exported_nets import Plan, case_of, net, plans
from lostbits import readers
from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, kind_of
from lostbits.exporters import ALL, exporter
from lostbits.exporters.cambricon import Cambricon, Pair, caffe, cnnl
from lostbits.exporters.encodings import LEGACY, Encodings, legacy_entries
from lostbits.exporters.qdq import ONNXRUNTIME, OPENVINO, QNN, TENSORRT
from lostbits.exporters.tensorrt import Cache, DynamicRanges, hexadecimal, version_number
from lostbits.foreign.match_names import IDLE, match
from lostbits.graph.instrument import quantized
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.reader import parse_json
from lostbits.targets import ALL as TARGETS
from lostbits.targets import CNRT, QNN_HTP, SNPE
from lostbits.targets import TENSORRT as TENSORRT_TARGET
from lostbits.targets import target as find_target
from text_models import outputs, random

INT8 = Grid.of(8, signed=True)
UINT8 = Grid.of(8, signed=False)
NAMES = [e.name for e in ALL]
CASE = case_of()


def symmetric(amax: float, bits: int = 8) -> Affine:
    return affine_from_range(-amax, amax, Grid.of(bits, signed=True), symmetric=True)


def written_plan(case: Case, each: Exporter) -> Plan:
    return {s.key: case.plan[s.key] for s in each.sites(case)}


def suited(each: Exporter) -> Case:
    """A case that its platform runs as it is."""
    native = {
        "qdq-tensorrt": "tensorrt",
        "tensorrt-cache": "tensorrt",
        "tensorrt-ranges": "tensorrt",
        "cambricon": "cnrt",
        "encodings-0.6.1": "snpe",
        "qdq-openvino": "openvino",
        "qdq-onnxruntime": "onnxruntime",
    }
    return case_of(target=find_target(native.get(each.name, "qnn-htp")))


# ---- every exporter -------------------------------------------------------------------------


FLOAT_WEIGHTS = replace(ONNXRUNTIME, float_weights=True)


@pytest.mark.slow
@pytest.mark.parametrize("each", [*ALL, FLOAT_WEIGHTS], ids=[*NAMES, "float weights"])
@settings(max_examples=30)
@given(data=st.data())
def test_what_is_read_is_the_plan_that_was_written(each: Exporter, data: st.DataObject) -> None:
    case = replace(CASE, plan=data.draw(plans(CASE, each)))
    read = each.read(each.write(case))
    assert not read.problems
    found = match(read, case.model, case.placed)
    assert found.plan == case.plan
    assert set(found.unmatched) <= set(case.placed.inherited)
    assert set(found.unmatched.values()) <= {IDLE}
    assert set(found.missing) == {s.key for s in case.placed.sites} - set(case.plan)


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_names_are_those_of_the_model(each: Exporter) -> None:
    case = suited(each)
    read = each.read(each.write(case))
    handed_on = set(case.placed.inherited) if isinstance(each, Encodings) else set()
    assert {e.tensor for e in read.entries} == {s.tensor for s in each.sites(case)} | handed_on


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_the_file_is_recognised_by_its_content(each: Exporter) -> None:
    files = each.write(suited(each))
    read = readers.read(files[each.files[0]])
    assert read == each.read(files)


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_writing_is_pure_and_gives_the_files_that_it_names(each: Exporter) -> None:
    case = suited(each)
    before = ir.to_proto(case.model).SerializeToString(deterministic=True)
    files = each.write(case)
    assert tuple(files) == each.files
    assert each.write(case) == files
    assert ir.to_proto(case.model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_every_tensor_is_written_or_accounted_for(each: Exporter) -> None:
    case = suited(each)
    read = {e.tensor for e in each.read(each.write(case)).entries}
    left = each.left_out(case)
    assert {s.tensor for s in case.placed.sites} <= read | set(left)
    assert not read & set(left)
    assert all(left.values())
    kinds = {kind_of(s) for s in case.sites if s.tensor in left}
    assert kinds <= set(each.otherwise)


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_a_suitable_plan_raises_no_concern_beyond_the_weights_of_tensorrt(each: Exporter) -> None:
    """But for codes that a baked weight has to move to the ends of its grid."""
    known = {"tensorrt-cache": {"E006"}, "tensorrt-ranges": {"E006"}, "baked": {"E018"}}
    codes = {error.code for error in each.lint(suited(each))}
    assert codes <= known.get(each.name, set())


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_a_plan_without_anything_to_write_is_refused(each: Exporter) -> None:
    with pytest.raises(ExportError, match=r"^E013: "):
        each.write(case_of({}))


@pytest.mark.parametrize("each", [e for e in ALL if e.name != "json"], ids=NAMES[1:])
def test_widths_that_a_platform_lacks_are_refused_and_named(each: Exporter) -> None:
    case = suited(each)
    key = next(s.key for s in each.sites(case) if s.tensor == "x")
    odd = Affine(Grid.of(20, signed=False), np.asarray(0.1, np.float32), np.asarray(0))
    case = replace(case, plan={**case.plan, key: odd})
    with pytest.raises(ExportError, match=r"^E001: activation 'x' in .*: uint20: "):
        each.write(case)
    assert "E001" in {error.code for error in each.lint(case)}


@pytest.mark.parametrize("each", ALL, ids=NAMES)
def test_names_are_checked_against_the_model_that_the_platform_loads(each: Exporter) -> None:
    case = suited(each)
    other = net()
    value = next(v for v in other.graph.inputs if v.name == "x")
    value.name = "xx"
    found = [e for e in each.lint(case, other) if e.code == "E004"]
    assert [str(e) for e in found if "'x'" in str(e).split(":")[1]]
    assert all("would be ignored" in str(e) for e in found)


def test_names_are_unique_and_found() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert [exporter(name) for name in NAMES] == list(ALL)
    with pytest.raises(ExportError, match=r"^E016: .*did you mean 'cambricon'"):
        exporter("cambrican")


def test_one_constant_in_two_roles_is_refused() -> None:
    twice = next(s for s in CASE.placed.sites if s.key == "w:weight")
    copy = replace(twice, role="bias")
    placed = replace(CASE.placed, sites=(twice, copy))
    plan = {twice.key: CASE.plan[twice.key], copy.key: CASE.plan["b:bias"]}
    with pytest.raises(ExportError, match=r"^E012: tensor 'w'"):
        ALL[0].write(replace(CASE, placed=placed, plan=plan))


# ---- TensorRT -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "digits"),
    [
        (1 / 127, "3c010204"),
        (2048.5 / 2048 / 127, "3c010a14"),
        (255 * 2048.5 / 2048 / 127, "4000890a"),
    ],
)
def test_scales_of_published_caches(scale: float, digits: str) -> None:
    assert hexadecimal(np.float32(scale)) == digits


def test_versions_are_numbered_as_the_headers_do() -> None:
    versions = [(7, 0, 0), (7, 1, 3), (8, 5, 1), (9, 3, 0), (10, 3, 0), (10, 16, 2)]
    numbers = [7000, 7103, 8501, 9300, 100300, 101602]
    assert [version_number(v) for v in versions] == numbers


def test_the_cache_is_what_all_known_readers_accept() -> None:
    case = case_of({"x:activation": symmetric(1), "y:output": symmetric(2)}, TENSORRT_TARGET)
    case = replace(case, placed=replace(case.placed, sites=case_sites("x:activation", "y:output")))
    (content,) = Cache().write(case).values()
    assert content == b"TRT-100300-EntropyCalibration2\nx: 3c010204\ny: 3c810204\n"
    other = Cache(version=(8, 6, 2), algorithm="MinMaxCalibration").write(case)
    assert other["calibration.cache"].startswith(b"TRT-8602-MinMaxCalibration\n")


def case_sites(*keys: str) -> tuple[Any, ...]:
    return tuple(s for s in CASE.placed.sites if s.key in keys)


def test_the_three_other_readers_of_a_cache_find_the_same_scales() -> None:
    """trtexec: last colon; ONNX Runtime: first colon; Model Optimizer: ': ' once."""
    case = suited(Cache())
    lines = Cache().write(case)["calibration.cache"].decode().split("\n")
    assert lines[-1] == "" and all(lines[:-1])
    for line in lines[1:-1]:
        last, first, pair = line.rfind(":"), line.find(":"), line.split(": ")
        words = {line[last + 2 : last + 10], line[first + 2 : first + 10], pair[1]}
        (word,) = words
        scale = struct.unpack("!f", bytes.fromhex(word))[0]
        assert np.float32(scale) == case.plan[f"{pair[0]}:{role(case, pair[0])}"].scale


def role(case: Case, tensor: str) -> str:
    return next(s.role for s in case.placed.sites if s.tensor == tensor)


def test_colons_in_names_are_pointed_out() -> None:
    site = replace(CASE.placed.sites[0], tensor="input_1:0")
    case = replace(CASE, placed=replace(CASE.placed, sites=(site,)), plan={site.key: symmetric(1)})
    for each in (Cache(), DynamicRanges()):
        assert "E005" in {error.code for error in each.lint(case)}
        assert each.read(each.write(case)).affines == {"input_1:0": symmetric(1)}


def test_weights_that_tensorrt_would_scale_otherwise_are_named() -> None:
    model = net()
    case = case_of(target=TENSORRT_TARGET, model=model)
    array = np.abs(random(5, 4, 3, 3)).max(axis=(1, 2, 3))
    native = affine_from_range(-array, array, INT8, symmetric=True, axis=0)
    plan = {**case.plan, "w:weight": native}
    named = [str(e) for e in Cache().lint(replace(case, plan=plan)) if e.code == "E006"]
    assert len(named) == 3 and not any("'w'" in text for text in named)
    plan["w:weight"] = Affine(INT8, native.scale * np.float32(0.9), native.zero_point, 0)
    named = [str(e) for e in Cache().lint(replace(case, plan=plan)) if e.code == "E006"]
    assert any("'w'" in text for text in named)


def test_ranges_are_amax_in_each_of_the_three_forms() -> None:
    case = case_of({"x:activation": symmetric(2)}, TENSORRT_TARGET)
    files = DynamicRanges().write(case)
    amax = float(symmetric(2).scale) * 127
    assert files["ranges.txt"].decode() == f"x:{amax!r}\n"
    assert json.loads(files["act_quant_info.json"]) == {"act_quant_info": {"x": amax}}
    assert json.loads(files["clip_ranges.json"]) == {"tensorrt": {"blob_range": {"x": amax}}}
    assert amax == pytest.approx(2, rel=1e-7)
    for name, content in files.items():
        assert DynamicRanges().read({name: content}).affines == {"x": symmetric(2)}


# ---- Q/DQ -----------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [ONNXRUNTIME, OPENVINO, TENSORRT, QNN], ids=lambda e: e.name)
@pytest.mark.parametrize("float_weights", [False, True])
@pytest.mark.parametrize("opset", [13, 17, 21])
def test_the_file_computes_what_is_simulated(each: Any, float_weights: bool, opset: int) -> None:
    case = case_of(target=suited(each).target, model=net(opset))
    each = replace(each, float_weights=float_weights)
    (content,) = each.write(case).values()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    sites = each.sites(case)
    expected = outputs(quantized(case.model, sites, case.plan), x=random(2, 4, 6, 6))
    for one, other in zip(expected, outputs(model, x=random(2, 4, 6, 6)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [o.name for o in model.graph.output] == ["y", "r"]


@pytest.mark.parametrize("float_weights", [False, True])
def test_weights_are_integers_or_floats_behind_pairs(float_weights: bool) -> None:
    (content,) = replace(QNN, float_weights=float_weights).write(case_of()).values()
    model = onnx.load_from_string(content)
    kinds = {i.name: i.data_type for i in model.graph.initializer}
    assert ("w" in kinds) == float_weights
    assert (kinds.get("w:weight__codes") == onnx.TensorProto.INT8) != float_weights
    assert kinds["b:bias__codes"] == onnx.TensorProto.INT32
    read = QNN.read({"model_qdq.onnx": content}).affines
    assert read["w"] == case_of().plan["w:weight"]


def test_tensorrt_gets_int8_zero_points_of_zero_and_no_quantized_bias() -> None:
    case = case_of(target=TENSORRT_TARGET)
    (content,) = TENSORRT.write(case).values()
    model = onnx.load_from_string(content)
    values = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type.endswith("zeLinear")]
    assert nodes
    for node in nodes:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any()
        assert zero.shape == values[node.input[1]].shape
    assert values["b"].dtype == np.float32


def test_a_bias_off_the_scale_of_the_accumulator_is_named() -> None:
    case = case_of()
    assert not QNN.lint(case)
    bias = case.plan["b:bias"]
    wrong = Affine(bias.grid, bias.scale * np.float32(1.01), bias.zero_point, bias.axis)
    found = QNN.lint(replace(case, plan={**case.plan, "b:bias": wrong}))
    assert [e.code for e in found] == ["E009"] and "'b'" in str(found[0])


def test_qnn_has_no_signed_activations_and_tensorrt_no_asymmetric_ones() -> None:
    case = case_of({"x:activation": symmetric(1)})
    with pytest.raises(ExportError, match=r"^E001: activation 'x' in qdq-qnn"):
        QNN.write(case)
    affine = affine_from_range(-1, 2, INT8, symmetric=False)
    with pytest.raises(ExportError, match=r"^E002: activation 'x' in qdq-tensorrt"):
        TENSORRT.write(case_of({"x:activation": affine}))


def test_asymmetric_channels_are_refused() -> None:
    affine = Affine(UINT8, np.ones(5, np.float32), np.arange(5), 0)
    with pytest.raises(ExportError, match=r"^E003: weight 'w' .*5 scales on axis 0"):
        QNN.write(case_of({"w:weight": affine}))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_every_target_has_a_format_that_takes_its_plan(target: Any) -> None:
    case = case_of(target=target)
    fitting = [e.name for e in ALL if e.name != "json" and not e.lint(case)]
    assert fitting


# ---- encodings ------------------------------------------------------------------------------


def test_snpes_own_example() -> None:
    affine = affine_from_range(-5.1, 5.1, UINT8, symmetric=False)
    (entry,) = legacy_entries(affine)
    assert entry["min"] == pytest.approx(-5.12, abs=1e-6)
    assert entry["max"] == pytest.approx(5.08, abs=1e-6)
    assert entry["offset"] == -128
    assert (entry["bitwidth"], entry["dtype"], entry["is_symmetric"]) == (8, "int", "False")


def test_snpes_other_example() -> None:
    affine = affine_from_range(-1.8, 0.5, UINT8, symmetric=False)
    (entry,) = legacy_entries(affine)
    assert entry["min"] == pytest.approx(-1.803922, abs=1e-6)
    assert entry["max"] == pytest.approx(0.496078, abs=1e-6)
    x = np.array([-1.8, -1.0, 0.0, 0.5], np.float32)
    assert affine.codes(x).tolist() == [0, 89, 200, 255]


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_symmetric_offsets_are_those_of_the_unsigned_grid(bits: int) -> None:
    (entry,) = legacy_entries(symmetric(1, bits))
    half = 2 ** (bits - 1)
    assert entry["offset"] == -half
    assert entry["is_symmetric"] == "True"
    assert entry["min"] == -half * entry["scale"]
    assert entry["max"] == (half - 1) * entry["scale"]


@given(
    scale=st.floats(2.0**-60, 2.0**60, width=32),
    bits=st.sampled_from([4, 8, 16]),
    share=st.floats(0, 1),
)
def test_min_max_scale_and_offset_agree_to_the_last_bit(
    scale: float, bits: int, share: float
) -> None:
    zero = np.asarray(round(share * (2**bits - 1)))
    grid = Grid.of(bits, signed=False)
    (e,) = legacy_entries(Affine(grid, np.asarray(scale, np.float32), zero))
    again = json.loads(json.dumps(e))
    assert again == e
    assert (e["max"] - e["min"]) / (2**bits - 1) == e["scale"] == scale
    assert e["min"] / e["scale"] == e["offset"] == -zero


def test_encodings_as_the_guides_show_them() -> None:
    plan = {
        "x:activation": Affine(UINT8, np.asarray(0.5, np.float32), np.asarray(126)),
        "w:weight": Affine(INT8, np.full(5, 0.25, np.float32), np.zeros(5, np.int64), 0),
    }
    case, channel = case_of(plan), {"bitwidth": 8, "dtype": "int", "is_symmetric": "True"}
    channel |= {"min": -32.0, "max": 31.75, "offset": -128.0, "scale": 0.25}
    legacy, named, onnx_like = (
        parse_json(exporter(f"encodings-{v}").write(case)["model.encodings"])
        for v in ("0.6.1", "1.0.0", "2.0.0")
    )
    assert legacy["param_encodings"] == {"w": [channel] * 5}
    assert legacy["activation_encodings"]["x"][0]["max"] == 64.5
    assert named["activation_encodings"] == [
        {
            "name": "x",
            "dtype": "INT",
            "enc_type": "PER_TENSOR",
            "bw": 8,
            "is_sym": False,
            "scale": [0.5],
            "offset": [-126.0],
        }
    ]
    assert named["param_encodings"][0]["offset"] == [-128.0] * 5
    assert onnx_like["encodings"] == [
        {"name": "x", "output_dtype": "uint8", "y_scale": 0.5, "y_zero_point": 126},
        {"name": "w", "output_dtype": "int8", "y_scale": [0.25] * 5, "axis": 0},
    ]


@pytest.mark.parametrize("version", ["0.6.1", "1.0.0", "2.0.0"])
def test_the_package_has_the_model_and_a_command_that_names_its_files(version: str) -> None:
    files = exporter(f"encodings-{version}").write(case_of())
    model = onnx.load_from_string(files["model.onnx"])
    onnx.checker.check_model(model)
    names = {i.name for i in model.graph.input} | {i.name for i in model.graph.initializer}
    names |= {o for n in model.graph.node for o in n.output}
    assert {e.tensor for e in readers.read(files["model.encodings"]).entries} <= names
    text = files["convert.sh"].decode()
    assert "--quantization_overrides model.encodings" in text
    assert "--input_network model.onnx" in text
    assert "--bias_bitwidth 32" in text


def test_signed_and_narrow_activations_are_pointed_out() -> None:
    case = case_of({"x:activation": symmetric(1e-5)})
    assert {e.code for e in LEGACY.lint(case)} == {"E014", "E015"}


# ---- Cambricon ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("affine", "pair"),
    [
        (symmetric(1), (-6, 1.984375, 0)),
        (symmetric(2, 16), (-13, 1.999939, 0)),
        (affine_from_range(-2, 1, INT8, symmetric=False), (-6, 1.328125, 42)),
        (affine_from_range(0, 6, INT8, symmetric=False), (-5, 1.328125, -128)),
    ],
)
def test_pairs_of_the_vendors_tools(affine: Affine, pair: tuple[int, float, int]) -> None:
    (found,) = cnnl(affine)
    assert (found.position, found.offset) == (pair[0], pair[2])
    assert found.scale == pytest.approx(pair[1], abs=5e-7)


@given(amax=st.floats(2.0**-20, 2.0**20, width=32), bits=st.sampled_from([8, 16]))
@example(amax=2.0**-20, bits=16)
def test_both_conventions_have_the_same_step(amax: float, bits: int) -> None:
    affine = symmetric(amax, bits)
    (floor,), (ceiling,) = cnnl(affine), caffe(affine)
    for pair in (floor, ceiling):
        step = 2.0**pair.position / pair.scale
        assert step == pytest.approx(float(affine.scale), rel=1e-6)
    top = 2 ** (bits - 1) - 1
    absmax = float(np.float32(affine.scale * np.float32(top)))
    assert floor.position == int(np.floor(np.log2(absmax))) - (bits - 2)
    logarithm = np.log2(float(affine.scale))
    exponent = int(np.trunc(logarithm + (logarithm > 0)))
    assert ceiling.position == np.clip(exponent, -32, 32), "that is where the tool's positions end"
    assert top / 2 ** (bits - 1) <= floor.scale * (1 + 1e-6)
    assert 1 <= ceiling.scale / 2.0 ** (ceiling.position - exponent) <= 2


def test_the_file_spells_every_step_in_both_ways() -> None:
    case = case_of(target=CNRT)
    rows = {r["tensor"]: r for r in parse_json(Cambricon().write(case)["cambricon.json"])["sites"]}
    weight = case.plan["w:weight"]
    assert rows["w"]["scale"] == weight.scale.tolist()
    assert rows["w"]["cnnl"]["position"] == [p.position for p in cnnl(weight)]
    assert rows["w"]["caffe"]["scale"] == [p.scale for p in caffe(weight)]
    assert rows["x"]["cnnl"] == cnnl(case.plan["x:activation"])[0]._asdict()
    assert Pair._fields == ("position", "scale", "offset")


def test_the_build_configuration_says_what_the_plan_is() -> None:
    case = case_of(target=CNRT)
    files = Cambricon().write(case)
    assert json.loads(files["magicmind_config.json"])["precision_config"] == {
        "precision_mode": "qint8_mixed_float32",
        "weight_quant_granularity": "per_axis",
        "activation_quant_algo": "symmetric",
    }


def test_the_calls_name_every_input_of_every_layer() -> None:
    case = case_of(target=CNRT)
    code = Cambricon().write(case)["set_ranges.cpp"].decode()
    uses = [u for s in Cambricon().sites(case) for u in s.uses]
    assert code.count("SetDynamicRange") == len(uses)
    for use in uses:
        assert f'FindNodeByName("{use.node}")->GetInput({use.index})->SetDynamicRange' in code
    high = float(case.plan["x:activation"].hi)
    assert f"SetDynamicRange({{{-high!r}f, {high!r}f}}, false);" in code
    assert code.count("{") == code.count("}")


@pytest.mark.parametrize("left", ["w:weight", "x:activation"])
def test_half_a_layer_breaks_the_both_or_neither_rule(left: str) -> None:
    case = case_of(target=CNRT)
    plan = {k: v for k, v in case.plan.items() if k != left}
    (found,) = [e for e in Cambricon().lint(replace(case, plan=plan)) if e.code == "E007"]
    other = 0 if left == "w:weight" else 1
    assert f"parameters for input {other} only" in str(found)


def test_positions_beyond_the_device_are_named() -> None:
    case = case_of(target=CNRT)
    tiny = Affine(INT8, np.asarray(2.0**-126, np.float32), np.zeros((), np.int64))
    case = replace(case, plan={**case.plan, "x:activation": tiny})
    assert {e.code for e in Cambricon().lint(case)} == {"E008"}


# ---- plan -----------------------------------------------------------------------------------


def test_the_plan_lists_what_stays_in_float_and_why() -> None:
    case = case_of(target=SNPE)
    plan = parse_json(ALL[0].write(case)["plan.json"])
    assert plan["target"] == "snpe"
    assert plan["float"] == {t: str(why) for t, why in case.placed.left_in_float.items()}
    row = next(r for r in plan["sites"] if r["tensor"] == "x")
    affine = case.plan["x:activation"]
    assert (row["lo"], row["hi"]) == (float(affine.lo), float(affine.hi))
    assert (row["role"], row["bits"], row["axis"]) == ("activation", 8, None)
    assert QNN_HTP.name == CASE.target.name
