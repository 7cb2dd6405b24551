"""diagnose --plan: somebody else's quantization, diagnosed as it is."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from jsonschema import validate
from onnxruntime.quantization import QuantFormat, QuantType
from typer.testing import CliRunner

import lostbits as lb
import test_readers
from exported_nets import net
from lostbits.case import Case, constant_of
from lostbits.cli import app as cli
from lostbits.data import Source
from lostbits.errors import DataError, ReadError
from lostbits.exporter import Exporter
from lostbits.exporters import exporter
from lostbits.foreign.adopt_plan import _written, adopt, fitting_target
from lostbits.foreign.file import Foreign, read_foreign
from lostbits.foreign.match_names import match
from lostbits.foreign.weight_doubts import doubts_of_weights
from lostbits.graph.place import place
from lostbits.graph.qdq_view import operands
from lostbits.language import Language, say
from lostbits.plan.tensor_settings import Override
from lostbits.readers.constants import Constants
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.judgement import Grade
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.session import Session
from lostbits.target import Target
from lostbits.targets import ALL, ONNXRUNTIME, OPENVINO, TENSORRT
from lostbits.verbs.inspect import inspect
from lostbits.verbs.result_files import read
from runs import SCHEMA, diagnosed, planned
from small_nets import cnn, samples
from text_models import proto, random

pytestmark = pytest.mark.slow

DATA = random(40, 4, 6, 6)
folder = test_readers.folder  # the fixture: a CNN, and what ONNX Runtime made of it


def built(folder: Path, name: str = "onnxruntime") -> tuple[Source, Case]:
    path = folder / "float.onnx"
    ir.save(net(), path)
    return planned(path, DATA, name)


def shifted(case: Case) -> Case:
    """Every weight one code beside the nearest, every bias corrected; all scales unusual."""
    plan = {key: replace(a, scale=1.1 * a.scale) for key, a in case.plan.items()}
    case = replace(case, plan=plan)
    written = {}
    for site in (*case.placed.sites, *case.placed.float_biases):
        if site.streams:
            continue
        value, affine = constant_of(case.model, site), case.plan.get(site.key)
        if affine is None:
            written[site.tensor] = value + np.float32(0.1)
            continue
        codes = np.clip(affine.codes(value) + 1, affine.grid.qmin, affine.grid.qmax)
        step = replace(affine, zero_point=0 * affine.zero_point)
        zero = affine.zero_point if affine.axis is None else 0
        written[site.tensor] = _real(step, codes - zero)
    return replace(case, written=written)


def _real(affine: Any, codes: Any) -> Any:
    scale = affine.scale
    if affine.axis is not None:
        shape = [1] * codes.ndim
        shape[affine.axis] = scale.size
        scale = scale.reshape(shape)
    return (codes * scale).astype(np.float32)


def foreign(case: Case, member: Exporter, folder: Path) -> Foreign:
    return read_foreign(written(case, member, folder))


def written(case: Case, member: Exporter, folder: Path) -> Path:
    for name, content in member.write(case).items():
        (folder / name).write_bytes(content)
    return folder / member.files[0]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("onnxruntime", "qdq-onnxruntime"),
        ("openvino", "qdq-openvino"),
        ("tensorrt", "qdq-tensorrt"),
        ("qnn-htp", "qdq-qnn"),
    ],
)
def test_our_own_file_gives_back_plan_and_constants(target: str, name: str, tmp_path: Path) -> None:
    source, native = built(tmp_path, target)
    case = shifted(native)
    found = adopt(native, foreign(case, exporter(name), tmp_path), source)
    assert found.case.plan == case.plan
    assert set(found.case.written) == set(case.written)
    for key, value in case.written.items():
        assert np.allclose(found.case.written[key], value, rtol=1e-6, atol=1e-6), key
    assert found.ran is not None and found.ran.samples
    distance = found.ran.simulation_db
    assert distance is None or distance > 100
    assert not found.match.unmatched
    assert "I045" not in {doubt.code for doubt in found.doubts}  # one step is rounding


def test_nearest_rounding_needs_no_constants(tmp_path: Path) -> None:
    source, case = built(tmp_path)
    found = adopt(case, foreign(case, exporter("qdq-onnxruntime"), tmp_path), source)
    assert not found.case.written
    assert found.ran is not None and found.ran.simulation_db is None


def test_a_file_of_parameters_leaves_the_rest_in_float(tmp_path: Path) -> None:
    source, case = built(tmp_path, "tensorrt")
    found = adopt(case, foreign(case, exporter("tensorrt-cache"), tmp_path), source)
    assert set(found.case.plan) == {s.key for s in case.placed.sites if s.streams}
    assert not found.case.written
    assert found.ran is None or not found.ran.samples


def test_a_file_of_another_export_says_how_its_names_differ(tmp_path: Path) -> None:
    source, case = built(tmp_path, "tensorrt")
    file = foreign(case, exporter("tensorrt-cache"), tmp_path)
    entries = [replace(e, tensor=f"module.{e.tensor}") for e in file.parameters.entries]
    other = replace(file, parameters=replace(file.parameters, entries=tuple(entries)))
    with pytest.raises(ReadError, match=r"match without 'module\.'") as raised:
        adopt(case, other, source)
    assert raised.value.form == "I028.names"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_constant_that_is_no_number_is_refused_by_its_name(value: float, tmp_path: Path) -> None:
    _, case = built(tmp_path)
    site = next(s for s in case.sites if s.role == "weight")
    weight = constant_of(case.model, site).copy()
    weight.flat[0] = value
    with pytest.raises(ReadError, match=re.escape(repr(site.tensor))) as raised:
        _written(case, Constants({site.tensor: weight}, {}), [], Path("q.onnx"))
    assert raised.value.code == "I047"
    assert "q.onnx" in str(raised.value)


def test_the_target_is_the_one_that_fits_the_file(tmp_path: Path) -> None:
    _, case = built(tmp_path, "openvino")
    file = foreign(case, exporter("qdq-openvino"), tmp_path)
    fits = fitting_target(file, case.model)
    assert len(adopt_matches(file, case, fits)) == max(
        len(adopt_matches(file, case, t)) for t in ALL
    )


def adopt_matches(file: Foreign, case: Case, target: Target) -> set[str]:
    found = match(file.parameters, case.model, place(case.model, target))
    return set(found.origin.values())


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_model_of_onnxruntime_is_simulated_as_it_runs(
    folder: Path, form: Any, per_channel: bool
) -> None:
    test_readers.by_onnxruntime(folder, form, per_channel=per_channel)
    data = samples(1, 24, 3, 16, 16)
    source, native = planned(folder / "ready.onnx", data, ONNXRUNTIME)
    found = adopt(native, read_foreign(folder / "quantized.onnx"), source)
    assert len(found.case.sites) >= 0.98 * len(native.placed.sites)
    assert not found.other_shapes
    assert found.ran is not None
    distance = found.ran.simulation_db
    assert distance is None or distance > 25  # the last grid, single codes
    judged = Judge(native.model, source)(found.case).sqnr_db
    truth = _of_the_file(folder / "quantized.onnx", native, source)
    assert judged == pytest.approx(truth, abs=0.7)


def _of_the_file(path: Path, case: Case, source: Source) -> float:
    file, plain = Session(ir.load(path), optimise=False), Session(case.model)
    pairs = [
        (next(iter(plain.run(p.feeds).values())), next(iter(file.run(p.feeds).values())))
        for p in source.batches(8)
    ]
    error = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    power = sum(float((a**2).sum()) for a, _ in pairs)
    return 10 * float(np.log10(power / error))


def test_weights_of_another_network_are_measured_as_such(tmp_path: Path) -> None:
    """Rows in another order: the file's weights are taken, and the loss is theirs."""
    source, case = built(tmp_path)
    path = written(case, exporter("qdq-onnxruntime"), tmp_path)
    model = ir.load(path)
    codes = model.graph.initializers["u:weight__codes"]
    assert codes.const_value is not None
    codes.const_value = ir.tensor(codes.const_value.numpy()[::-1].copy(), name=codes.name)
    ir.save(model, path)
    found = adopt(case, read_foreign(path), source)
    assert set(found.case.written) == {"u"}
    assert "I045" in {doubt.code for doubt in found.doubts}
    affine = found.case.plan["u:weight"]
    least = replace(affine, scale=np.full_like(affine.scale, 1e-45))
    plan = {**found.case.plan, "u:weight": least}
    assert not list(doubts_of_weights(replace(found.case, plan=plan), found.match))  # I005 is
    assert found.ran is not None and found.ran.simulation_db is None
    judge = Judge(case.model, source)
    good, bad = judge(case).sqnr_db, judge(found.case).sqnr_db
    assert good is not None and bad is not None and bad < good - 10


def test_a_wish_stands_above_the_file(tmp_path: Path) -> None:
    source, native = built(tmp_path)
    case = shifted(native)
    file = foreign(case, exporter("qdq-onnxruntime"), tmp_path)
    wishes = (Override.parse("u=mse"), Override.parse("w=float"))
    found = adopt(native, file, source, wishes).case
    assert "w:weight" not in found.plan and "w" not in found.written
    assert found.plan["u:weight"] != case.plan["u:weight"] and "u" not in found.written
    product = found.plan["h:activation"].scale if "h:activation" in found.plan else None
    assert product is None or product == case.plan["h:activation"].scale
    bias, weight = found.plan["d:bias"], found.plan["u:weight"]
    entry = next(s for s in native.placed.sites if s.key == "d:bias").scales
    assert entry is not None
    x = next(found.plan[s.key] for s in native.placed.sites if s.streams and s.group == entry[0])
    assert np.allclose(bias.scale, x.scale * weight.scale, rtol=1e-6)


def test_batch_norms_stay_where_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "q.onnx"
    text = """g (float[N,2,4,4] x) => (float[N,2,4,4] y) {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        y = BatchNormalization(d, a, b, m, v)
    }"""
    four = dict.fromkeys("abmv", np.ones(2, np.float32))
    onnx.save(proto(text, s=np.array(0.1, np.float32), z=np.array(128, np.uint8), **four), path)
    assert not read_foreign(path).folds


def test_tensors_that_normalising_folds_are_no_lost_names(tmp_path: Path) -> None:
    """A Pad before a Conv, quantized by a tool that does not fold it."""
    floats = proto(
        """g (float[N,2,4,4] x) => (float[N,3,4,4] y) {
            p = Pad(x, e)
            y = Conv(p, w)
        }""",
        e=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        w=random(3, 2, 3, 3),
    )
    onnx.save(floats, tmp_path / "float.onnx")
    quantized = proto(
        """g (float[N,2,4,4] x) => (float[N,3,4,4] y) {
            a = QuantizeLinear(x, s, z)
            b = DequantizeLinear(a, s, z)
            p = Pad(b, e)
            c = QuantizeLinear(p, s, z)
            d = DequantizeLinear(c, s, z)
            y = Conv(d, w)
        }""",
        e=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        w=random(3, 2, 3, 3),
        s=np.array(0.1, np.float32),
        z=np.array(128, np.uint8),
    )
    onnx.save(quantized, tmp_path / "q.onnx")
    found = inspect(tmp_path / "q.onnx", tmp_path / "float.onnx", "onnxruntime").match
    assert found is not None
    assert found.unmatched["p"] == say("match.folded")
    assert "x:activation" in found.plan


# ---- the command ----------------------------------------------------------------------------


def run(folder: Path, *arguments: object) -> Any:
    common = ("diagnose", folder / "float.onnx", "--data", folder / "data.npy", "--out", folder)
    line = [str(a) for a in (*common, "--format", "console,json", *arguments)]
    return CliRunner().invoke(cli.app, line)


def told(folder: Path, *arguments: object) -> Diagnosis:
    """What the command has written."""
    result = run(folder, *arguments)
    assert result.exit_code == 0, result.output
    return read(folder)


def test_the_command_reports_the_file_and_its_coverage(tmp_path: Path) -> None:
    _, native = built(tmp_path)
    np.save(tmp_path / "data.npy", DATA)
    path = written(shifted(native), exporter("qdq-onnxruntime"), tmp_path)
    result = run(tmp_path, "--plan", path)
    found = read(tmp_path)
    validate(json.loads((tmp_path / "result.json").read_text()), SCHEMA)
    assert found.target.name == "onnxruntime"
    coverage, plan = found.coverage, found.plan
    assert coverage.sites_matched == coverage.sites_total == len(native.placed.sites)
    assert plan is not None and plan.matched == plan.tensors
    assert "w" in plan.constants_taken
    assert "Diagnosed as model_qdq.onnx has it" in " ".join(result.output.split())
    assert abs(found.network.residual) < 0.05


def test_missing_sites_stay_in_float_and_are_listed(tmp_path: Path) -> None:
    _, native = built(tmp_path, "qnn-htp")
    np.save(tmp_path / "data.npy", DATA)
    path = written(native, exporter("encodings-1.0.0"), tmp_path)
    assert told(tmp_path, "--plan", path, "--target", "qnn-htp").coverage.unmatched == []
    found = told(tmp_path, "--plan", path, "--target", "onnxruntime")  # no converter fills gaps
    unmatched = {u.tensor: u.reason for u in found.coverage.unmatched}
    biases = {s.tensor for s in native.placed.sites if s.role == "bias"}
    assert unmatched == dict.fromkeys(biases, say("match.not_in_file"))
    assert found.plan is not None and not found.plan.file_was_run


def test_a_file_whose_outputs_are_infinite_is_said_to_be_so(tmp_path: Path) -> None:
    _, native = built(tmp_path)
    np.save(tmp_path / "data.npy", DATA)
    path = written(native, exporter("qdq-onnxruntime"), tmp_path)
    file = onnx.load(path)
    last = next(n for n in file.graph.node if file.graph.output[0].name in n.output)
    last.output[0] = "before"
    file.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
    file.graph.node.append(
        onnx.helper.make_node("Div", ["before", "zero"], [file.graph.output[0].name])
    )
    onnx.save(file, path)
    found = told(tmp_path, "--plan", path)
    assert found.plan is not None and not found.plan.file_was_run
    assert "plan.no_run_infinite" in {note.code for note in found.notes}


@pytest.mark.parametrize(("scale", "known"), [(0.5, True), (np.inf, False), (np.nan, False)])
def test_a_constant_whose_scale_is_impossible_is_not_taken(scale: float, known: bool) -> None:
    model = proto(
        "g (float[N,4] x) => (float[N,4] y) { w = DequantizeLinear (q, s, z) y = Add (x, w) }",
        q=np.array([-1, 0, 1, 2], np.int8),
        s=np.array(scale, np.float32),
        z=np.array(0, np.int8),
    )
    assert bool(operands(ir.from_proto(model).graph)) == known


RESIDUAL = """g (float[N,8] x) => (float[N,8] y) {
    a = Gemm (x, w, b)
    r = Add (a, x)
    n = LayerNormalization (r, one)
    y = Gemm (n, v, b)
}"""


def test_what_the_target_has_no_quantizer_for_is_judged_all_the_same(tmp_path: Path) -> None:
    """TensorRT keeps in float what a normalization reads; the file rounds it to steps of 12."""
    constants = {"w": random(8, 8), "v": random(8, 8, seed=1), "b": random(8)}
    model = proto(RESIDUAL, **constants, one=np.ones(8, np.float32))
    onnx.save(model, tmp_path / "float.onnx")
    data = samples(0, 32, 8)
    np.save(tmp_path / "data.npy", data)
    _, native = planned(tmp_path / "float.onnx", data, "tensorrt")
    path = written(native, exporter("qdq-tensorrt"), tmp_path)
    faithful = told(tmp_path, "--plan", path, "--target", "tensorrt")
    onnx.save(rounded(onnx.load(path), "r", 12.0), path)
    found = told(tmp_path, "--plan", path, "--target", "tensorrt")
    assert found.baseline.sqnr_db == pytest.approx(faithful.baseline.sqnr_db)
    assert faithful.judgement is not None and faithful.judgement.grade is Grade.GOOD
    assert found.judgement is not None and found.judgement.grade is not Grade.GOOD
    codes = {note.code for note in found.notes}
    assert {"plan.unfaithful", "plan.elsewhere"} <= codes
    assert "plan.elsewhere" not in {note.code for note in faithful.notes}


def rounded(model: onnx.ModelProto, tensor: str, step: float) -> onnx.ModelProto:
    """With a pair of quantizers behind a tensor."""
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "rounded" if name == tensor else name
    make, scale = onnx.helper.make_node, np.array(step, np.float32)
    zero = onnx.numpy_helper.from_array(np.array(0, np.int8), "no")
    model.graph.initializer.extend([onnx.numpy_helper.from_array(scale, "step"), zero])
    at = next(i for i, node in enumerate(model.graph.node) if tensor in node.output)
    model.graph.node.insert(at + 1, make("QuantizeLinear", [tensor, "step", "no"], ["coded"]))
    model.graph.node.insert(at + 2, make("DequantizeLinear", ["coded", "step", "no"], ["rounded"]))
    return model


def test_without_the_float_model_the_reference_is_named(tmp_path: Path) -> None:
    _, native = built(tmp_path)
    np.save(tmp_path / "data.npy", DATA)
    path = written(native, exporter("qdq-onnxruntime"), tmp_path)
    path.rename(tmp_path / "float.onnx")
    notes = {note.code for note in told(tmp_path, "--plan", tmp_path / "float.onnx").notes}
    assert "plan.quantized" in notes and "note.quantizers" not in notes


def test_doubts_come_right_after_the_summary(tmp_path: Path) -> None:
    _, native = built(tmp_path)
    np.save(tmp_path / "data.npy", DATA)
    path = written(native, exporter("qdq-onnxruntime"), tmp_path)
    model = ir.load(path)
    scale = model.graph.initializers["b:bias__scale"]
    assert scale.const_value is not None
    scale.const_value = ir.tensor(2 * scale.const_value.numpy(), name=scale.name)
    ir.save(model, path)
    found = told(tmp_path, "--plan", path)
    assert found.plan is not None
    doubt = found.plan.suspicions[0]
    assert (doubt.code, doubt.figures["code"]) == ("doubt.told", "I022")
    assert found.notes[1] == doubt
    chinese = doubt.told(Language.CHINESE)
    assert chinese.startswith("I022") and "累加器" in chinese


@pytest.mark.parametrize(
    ("content", "error", "code"),
    [(b"nothing", ReadError, "I001"), (None, DataError, "D001")],
)
def test_a_plan_that_cannot_be_read_is_status_2(
    content: bytes | None, error: type[Exception], code: str, tmp_path: Path
) -> None:
    built(tmp_path)
    np.save(tmp_path / "data.npy", DATA)
    path = tmp_path / "plan"
    if content is not None:
        path.write_bytes(content)
    result = run(tmp_path, "--plan", path)
    assert result.exit_code == 2
    assert code in result.stderr
    with pytest.raises(error, match=code):
        read_foreign(path)


def test_networks_of_these_tests_have_what_they_are_for() -> None:
    assert {ONNXRUNTIME.bias_bits, OPENVINO.bias_bits, TENSORRT.bias_bits} == {32, None}
    assert any(n.op_type == "Conv" for n in cnn(0).graph.node)


# ---- files of other quantizers -----------------------------------------------------------------

_KINDS = {
    "U8U8": (QuantType.QUInt8, QuantType.QUInt8),
    "U8S8": (QuantType.QUInt8, QuantType.QInt8),
    "S8S8": (QuantType.QInt8, QuantType.QInt8),
}


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_files_of_onnxruntime_are_covered_and_close(
    folder: Path, form: Any, kind: str, per_channel: bool
) -> None:
    activations, weights = _KINDS[kind]
    symmetric = {"ActivationSymmetric": kind == "S8S8", "WeightSymmetric": kind != "U8U8"}
    kinds = {"activation_type": activations, "weight_type": weights, "extra_options": symmetric}
    test_readers.by_onnxruntime(folder, form, per_channel=per_channel, **kinds)
    data = samples(1, 16, 3, 16, 16)
    found = diagnosed(folder / "ready.onnx", data, plan=folder / "quantized.onnx")
    plan = found.plan
    assert plan is not None
    assert plan.matched + plan.idle >= 0.98 * plan.tensors, plan.unmatched
    assert plan.file_was_run
    assert plan.sqnr_db_vs_file is None or plan.sqnr_db_vs_file > 25  # single codes
    assert abs(found.network.residual) < 0.02
    assert all(f.reason != "mistake" for f in found.findings)


def limited(first: float, second: float) -> onnx.ModelProto:
    """A Clip between quantizers of two scales, its upper bound and its padding quantized too."""
    text = """g (float[N,2,4,4] x) => (float[N,3,2,2] y) {
        xq = QuantizeLinear(x, i, z)  xd = DequantizeLinear(xq, i, z)
        c = Conv <kernel_shape = [3,3]> (xd, w)
        cq = QuantizeLinear(c, s, z)  cd = DequantizeLinear(cq, s, z)
        bq = QuantizeLinear(six, s, z)  bd = DequantizeLinear(bq, s, z)
        r = Clip(cd, zero, bd)
        rq = QuantizeLinear(r, t, z)  rd = DequantizeLinear(rq, t, z)
        y = Conv <kernel_shape = [1,1]> (rd, v)
    }"""
    scalars = {"i": 0.02, "s": first, "t": second, "six": 6.0, "zero": 0.0}
    model = proto(
        text,
        w=random(3, 2, 3, 3),
        v=random(3, 3, 1, 1),
        z=np.array(0, np.uint8),
        **{name: np.array(value, np.float32) for name, value in scalars.items()},
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{number}"
    return model


@pytest.mark.parametrize(("first", "sites"), [(6 / 255, {"x", "r"}), (30 / 255, {"x", "c", "r"})])
def test_a_quantizer_before_a_clip_counts_where_it_does_something(
    first: float, sites: set[str], tmp_path: Path
) -> None:
    """AIMET puts one there; with the grid of the Clip's output it rounds nothing by itself."""
    quantized = limited(first, 6 / 255)
    onnx.save(quantized, tmp_path / "q.onnx")
    floats = proto(
        """g (float[N,2,4,4] x) => (float[N,3,2,2] y) {
            c = Conv <kernel_shape = [3,3]> (x, w)
            r = Clip(c, zero, six)
            y = Conv <kernel_shape = [1,1]> (r, v)
        }""",
        w=random(3, 2, 3, 3),
        v=random(3, 3, 1, 1),
        six=np.array(6, np.float32),
        zero=np.array(0, np.float32),
    )
    for number, node in zip((2, 7, 10), floats.graph.node, strict=True):
        node.name = f"{node.op_type}{number}"
    onnx.save(floats, tmp_path / "float.onnx")
    data = 3 * random(16, 2, 4, 4)
    found = diagnosed(tmp_path / "float.onnx", data, plan=tmp_path / "q.onnx")
    assert {s.tensor for s in found.sites} == sites, found
    plan = found.plan
    assert plan is not None
    assert plan.matched + plan.idle == plan.tensors == 4
    assert plan.file_was_run and plan.sqnr_db_vs_file is None
    assert abs(found.network.residual) < 0.02


def test_a_float_bias_that_a_tool_changed_is_a_finding(tmp_path: Path) -> None:
    """As NNCF's bias correction leaves it; here a bias of another model."""
    _, case = built(tmp_path, "openvino")
    bias = constant_of(case.model, next(s for s in case.placed.float_biases if s.tensor == "d"))
    path = written(replace(case, written={"d": bias + 3}), exporter("qdq-openvino"), tmp_path)
    found = diagnosed(tmp_path / "float.onnx", DATA, "openvino", plan=path)
    first = found.findings[0]
    assert (first.tensor, first.reason, first.code) == ("d", "changed", "F008")
    assert first.share > 0.9
    call = f"lb.load(model, data, 'openvino', plan={str(path)!r}, overrides=['d=float'])"
    assert first.command == f"lb.diagnose({call})"
    again = eval(first.command, {"lb": lb, "model": tmp_path / "float.onnx", "data": DATA})
    assert (again.baseline.sqnr_db or 0) - (found.baseline.sqnr_db or 0) > 10
