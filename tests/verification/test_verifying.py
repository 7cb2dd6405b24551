"""Verify: planted defects are caught and named, runtimes are compared with what they were given."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from jsonschema import validate
from onnx import numpy_helper
from typer.testing import CliRunner, Result

from exported_nets import NET, case_of, net
from field_nets import candidates, suppressed
from lostbits.backend import Backend, Loaded
from lostbits.backends import ALL, backend
from lostbits.backends.onnxruntime import Running
from lostbits.case import Case
from lostbits.cli import app as cli
from lostbits.data import Source, open_source
from lostbits.errors import BackendError
from lostbits.exporters import exporter
from lostbits.graph.qdq_view import Operand, Tap, operands, taps_of
from lostbits.grid import Affine
from lostbits.language import Language, Message, say
from lostbits.plan.ranges import least_scales, make_plan, plan_biases
from lostbits.results.verification import Deviation
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.float_reference import input_specs
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Target
from lostbits.targets import ONNXRUNTIME, QNN_HTP, SNPE
from lostbits.targets import target as find_target
from lostbits.verbs.demo import demo_files
from lostbits.verbs.load import load
from lostbits.verbs.result_files import read
from lostbits.verbs.verify import verify
from lostbits.verification import trace as deviation
from lostbits.verification.file_diff import defects_of
from lostbits.verification.overflow import overflowing, saturates
from lostbits.verification.trace import Trace, first_deviation
from output_nets import top_candidates
from processor import exact_kernels
from runs import SCHEMA, codes, diagnosed, stored
from runs import planned as planned_by
from small_nets import samples
from text_models import proto, random

pytestmark = pytest.mark.slow

FILES = {name: str(path) for name, path in demo_files().items()}
DATA = random(6, 4, 6, 6)
TAKERS = {"encodings-1.0.0": "qnn-htp", "tensorrt-cache": "tensorrt", "baked": "snpe"}
Edit = Callable[[dict[str, np.ndarray], onnx.ModelProto], None]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def source() -> Source:
    return open_source(DATA, input_specs(net()))


def planned() -> Case:
    """The test network with ranges from its data, so that no code is far off by clipping."""
    case = case_of(target=ONNXRUNTIME)
    seen, energy = calibrate(case.model, case.placed.sites, source(), 8)
    from lostbits.case import look_at_constants

    seen |= look_at_constants(case.model, case.placed.sites)
    plan = make_plan(case.model, case.placed, seen, ONNXRUNTIME)
    return replace(case, seen=seen, plan=plan, output_energy=energy, samples=len(DATA))


@pytest.fixture(scope="module")
def case() -> Case:
    return planned()


@pytest.fixture
def recovered(case: Case, tmp_path: Path) -> Path:
    return stored(case, tmp_path / "recovered")


def edited(case: Case, folder: Path, edit: Edit) -> Path:
    """The exported file with some constants changed."""
    content = exporter("qdq-onnxruntime").write(case)["model_qdq.onnx"]
    model = onnx.load_from_string(content)
    arrays = {i.name: numpy_helper.to_array(i).copy() for i in model.graph.initializer}
    edit(arrays, model)
    del model.graph.initializer[:]
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    onnx.save(model, folder / "edited.onnx")
    return folder / "edited.onnx"


AXES = {n: say("defect.along", axis=a) for n, a in (("found", "0"), ("planned", "1"))}


def why(found: Deviation) -> object:
    """The reason that the text of a deviation gives."""
    return found.text.figures["why"]


def wrong_activation_scale(arrays: dict[str, np.ndarray], _: object) -> None:
    arrays["t:activation__scale"] = np.float32(0.5) * arrays["t:activation__scale"]


def wrong_weight_scale(arrays: dict[str, np.ndarray], _: object) -> None:
    arrays["u:weight__scale"] = np.float32(1.25) * arrays["u:weight__scale"]


def wrong_zero_point(arrays: dict[str, np.ndarray], _: object) -> None:
    arrays["x:activation__zero_point"] = arrays["x:activation__zero_point"] + np.uint8(9)


def permuted_weights(arrays: dict[str, np.ndarray], _: object) -> None:
    arrays["w:weight__codes"] = arrays["w:weight__codes"][:, ::-1].copy()


def other_rounding(arrays: dict[str, np.ndarray], _: object) -> None:
    """Down instead of to the nearest: at most one code anywhere."""
    codes, scale = arrays["u:weight__codes"], arrays["u:weight__scale"]
    stored = net().graph.initializers["u"].const_value
    assert stored is not None
    floor = np.floor(stored.numpy() / scale.reshape(-1, 1))
    arrays["u:weight__codes"] = floor.clip(-128, 127).astype(codes.dtype)


def swapped_axis(arrays: dict[str, np.ndarray], model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.name.startswith("m:weight__Dequantize"):
            node.attribute[0].i = 0
    arrays["m:weight__scale"] = np.resize(arrays["m:weight__scale"], 4)
    arrays["m:weight__zero_point"] = np.resize(arrays["m:weight__zero_point"], 4)


@exact_kernels
@pytest.mark.parametrize(
    ("edit", "tensor", "said", "first"),
    [
        (wrong_activation_scale, "t", ("defect.scale", {"ratio": "0.5"}), "t"),
        (wrong_weight_scale, "u", ("defect.scale", {"ratio": "1.25"}), "h"),
        (wrong_zero_point, "x", ("defect.zero_point", {}), "x"),
        (swapped_axis, "m", ("defect.axis", AXES), "y"),
        (permuted_weights, "w", ("defect.order", {}), "r"),
        (other_rounding, "u", ("defect.rounding", {"most": "1"}), "h"),
    ],
)
@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-plain"])
def test_a_planted_defect_is_named_at_the_right_tensor(
    runtime: str,
    edit: Edit,
    tensor: str,
    said: tuple[str, dict[str, Any]],
    first: str,
    case: Case,
    tmp_path: Path,
) -> None:
    folder, (code, figures) = stored(case, tmp_path / "recovered"), said
    file = edited(case, tmp_path, edit)
    row = verify(file, runtime, DATA, against=folder)
    assert not row.passed
    (defect,) = row.defects
    assert (defect.tensor, defect.text.code) == (tensor, code)
    assert figures.items() <= defect.text.figures.items()
    found = row.first_deviation
    assert found is not None
    assert (found.tensor, found.cause) == (first, "parameters")
    assert why(found) == say("deviation.parameters", tensor=tensor, defect=defect.text)


@exact_kernels
@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-plain"])
def test_the_unchanged_file_passes(
    runtime: str, case: Case, recovered: Path, tmp_path: Path
) -> None:
    file = edited(case, tmp_path, lambda arrays, model: None)
    for subject, against in ((file, recovered), (load(recovered), None)):
        row = verify(subject, runtime, DATA, against=against)
        assert row.passed
        assert not row.defects
        assert row.tensors_hidden == 0
        assert row.tensors_compared == len(taps_of(quantized_model(case).graph))


def test_without_rewriting_the_runtime_is_the_simulation(recovered: Path) -> None:
    row = verify(load(recovered), "onnxruntime-plain", DATA)
    assert row.max_abs == 0
    assert row.first_deviation is None
    assert row.vs_float == row.simulation_vs_float
    assert row.executed.integer == 0


def test_integer_kernels_are_seen(recovered: Path) -> None:
    row = verify(load(recovered), "onnxruntime", DATA)
    assert row.executed.integer >= 2


class Rounding:
    """A runtime that is the simulation but for what ``spoil`` does to the codes of a tensor."""

    def __init__(self, case: Case) -> None:
        self.model = quantized_model(case)
        self.trace = Trace(self.model, self.model)
        self.session = Session(self.trace.model, optimise=False)

    def deviation(
        self,
        spoil: Callable[[Tap, np.ndarray], np.ndarray],
        floats: frozenset[str] = frozenset(),
    ) -> Deviation | None:
        values = self.session.run({"x": DATA})
        taps = {tap.codes: tap for tap, _ in self.trace.taps}
        found = {n: spoil(taps[n], v) if n in taps else v for n, v in values.items()}
        self.trace.update({"x": DATA}, found)
        return first_deviation(self.trace, [], floats, on_this_processor=True)


def shifted(name: str, by: int) -> Callable[[Tap, np.ndarray], np.ndarray]:
    def spoil(tap: Tap, codes: np.ndarray) -> np.ndarray:
        return (codes ^ by).astype(codes.dtype) if name in tap.names else codes

    return spoil


def test_one_code_everywhere_is_no_deviation(case: Case) -> None:
    assert Rounding(case).deviation(shifted("r", 1)) is None


@exact_kernels
def test_the_first_tensor_that_is_off_is_reported_with_its_node(case: Case) -> None:
    found = Rounding(case).deviation(shifted("r", 4))
    assert found is not None
    assert (found.tensor, found.codes, found.own_codes) == ("r", 4, 4)
    conv = next(n.name for n in case.model.graph if n.op_type == "Conv")
    assert found.node == conv
    assert found.cause == "arithmetic"


def test_a_layer_left_in_float_is_the_cause_that_is_named(case: Case) -> None:
    conv = next(n.name or "" for n in case.model.graph if n.op_type == "Conv")
    found = Rounding(case).deviation(shifted("r", 4), frozenset({conv}))
    assert found is not None
    assert found.cause == "float"
    assert why(found) == say("deviation.float", node=conv)


def test_a_pool_that_shares_its_inputs_scale_is_told_from_other_arithmetic(case: Case) -> None:
    found = Rounding(case).deviation(shifted("p", 4))
    assert found is not None
    assert (found.tensor, found.cause) == ("p", "shared_scale")


def test_what_follows_from_a_defect_says_so(case: Case, recovered: Path, tmp_path: Path) -> None:
    def slightly(arrays: dict[str, np.ndarray], _: object) -> None:
        arrays["x:activation__scale"] = np.float32(1.004) * arrays["x:activation__scale"]

    file = edited(case, tmp_path, slightly)
    found = verify(file, "onnxruntime-plain", DATA, against=recovered).first_deviation
    assert found is not None and found.cause == "parameters"
    reason = why(found)
    assert isinstance(reason, Message) and reason.figures["tensor"] == "x"
    assert codes(reason) == {"deviation.parameters", "defect.scale"}


def test_a_first_layer_that_rounds_otherwise_is_not_blamed_on_those_before_it(case: Case) -> None:
    """One code, at the first tensor: there is nothing before it that could add up."""
    rounding = Rounding(case)
    assert rounding.deviation(shifted("x", 1)) is None
    found = first_deviation(
        rounding.trace, [], frozenset(), on_this_processor=True, least=deviation.SOME
    )
    assert found is not None
    assert (found.tensor, found.cause, found.own_codes) == ("x", "one_code", 1)
    assert found.text.code == "deviation.text"
    reason = why(found)
    assert isinstance(reason, Message) and reason.code == "deviation.own"


def test_single_codes_that_add_up_are_told_from_an_own_error(case: Case) -> None:
    """A runtime that rounds one tensor otherwise, and computes all that follows rightly."""
    rounding = Rounding(case)
    trace = rounding.trace
    tap = next(t for t, _ in trace.taps if "x" in t.names)
    from lostbits.graph.qdq_view import forced, given

    session = Session(forced(rounding.model, [tap]), optimise=False)
    codes = rounding.session.run({"x": DATA})[tap.codes]
    moved = np.where(codes < 200, codes + 1, codes).astype(codes.dtype)
    values = session.run({"x": DATA, given(tap): moved})
    every = Session(forced(rounding.model, [tap]), optimise=False)
    assert every.names == session.names
    later = _continued(rounding, tap, moved)
    trace.update({"x": DATA}, {**values, **later, tap.codes: moved})
    found = first_deviation(trace, [], frozenset(), on_this_processor=True)
    assert found is not None
    assert found.tensor != "x"
    assert found.cause == "one_code"
    assert found.own_codes <= 1.01 < found.codes
    assert why(found) == say("deviation.before")


@pytest.mark.parametrize(
    ("edit", "parameter", "planned"),
    [
        (wrong_activation_scale, "scale", lambda found: 2 * found),
        (wrong_weight_scale, "scale", lambda found: found / 1.25),
        (wrong_zero_point, "zero_point", lambda found: found - 9),
        (other_rounding, "rounding", lambda found: found + 1),
    ],
)
def test_a_defect_says_what_was_expected_and_what_was_found(
    edit: Edit, parameter: str, planned: Callable[[float], float], case: Case, tmp_path: Path
) -> None:
    file = ir.load(edited(case, tmp_path, edit))
    (defect,) = defects_of(quantized_model(case), file)
    assert defect.parameter == parameter
    assert {defect.expected, defect.found} <= set(defect.text.figures.values())
    assert float(defect.expected) == pytest.approx(planned(float(defect.found)), rel=1e-6)


def test_the_zero_point_of_a_weight_is_told_from_its_rounding() -> None:
    case = case_of(target=SNPE)
    key = "u:weight"
    moved = replace(case.plan[key], zero_point=case.plan[key].zero_point + 3)
    files = exporter("qdq-onnxruntime").write(replace(case, plan={**case.plan, key: moved}))
    file = ir.from_proto(onnx.load_from_string(files["model_qdq.onnx"]))
    (defect,) = defects_of(quantized_model(case), file)
    assert (defect.tensor, defect.parameter) == ("u", "zero_point")


def test_a_tensor_that_the_file_leaves_in_float_is_a_defect(case: Case) -> None:
    others = {key: affine for key, affine in case.plan.items() if key != "h:activation"}
    file = quantized_model(replace(case, plan=others))
    (defect,) = defects_of(quantized_model(case), file)
    assert (defect.tensor, defect.parameter) == ("h", "quantizer")


def _continued(rounding: Rounding, tap: Tap, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Codes of every later tap when one tap has other codes."""
    from lostbits.graph.qdq_view import forced, given, tapped

    others = [t for t, _ in rounding.trace.taps]
    model = forced(tapped(rounding.model, others), [tap])
    return Session(model, optimise=False).run({"x": DATA, given(tap): codes})


def test_a_bias_that_takes_all_bits_overflows_the_accumulator() -> None:
    weight = Operand("w", np.array([[1.0], [1e-7]]), np.array([[0.01], [1e-9]]), 0)
    bias = Operand("b", np.array([1.0, 2.1]), np.array([1e-4, 1e-9]), 0)
    assert overflowing(weight, bias, 255).tolist() == []
    near = Operand("b", np.array([1.0, 2.1474]), np.array([1e-4, 1e-9]), 0)
    assert overflowing(weight, near, 255).tolist() == []
    full = Operand("b", np.array([1.0, 2.147483647]), np.array([1e-4, 1e-9]), 0)
    assert overflowing(weight, full, 255).tolist() == [1]


def test_pairs_of_large_weights_exceed_16_bits() -> None:
    step = np.array([[1.0]])
    assert saturates(Operand("w", np.array([[127.0, 100.0]]), step, 0))
    assert not saturates(Operand("w", np.array([[127.0, -100.0]]), step, 0))
    assert not saturates(Operand("w", np.array([[64.0, 64.0]]), step, 0))


def dead(folder: Path) -> Path:
    """A channel of dead weights with a live bias, as EfficientNet has them."""
    model = net()
    for name, value in (("w", -4e-6), ("b", -1.0)):
        stored = model.graph.initializers[name]
        assert stored.const_value is not None
        array = np.array(stored.const_value.numpy())
        array[2] = value
        stored.const_value = ir.tensor(array, name=name)
    path = folder / "dead.onnx"
    ir.save(model, path)
    return path


@exact_kernels
def test_onnxruntime_overflows_where_we_say_so(tmp_path: Path) -> None:
    """With the scale that the weights of the channel have by themselves."""
    positive = np.abs(DATA)
    _, case = planned_by(dead(tmp_path), positive, ONNXRUNTIME)
    w = case.plan["w:weight"]
    narrow = w.scale.copy()
    narrow[2] = 4e-6 / 127
    plan = {**case.plan, "w:weight": replace(w, scale=narrow)}
    plan |= plan_biases(case.model, case.placed, plan, ONNXRUNTIME)
    narrowed = load(stored(replace(case, plan=plan), tmp_path / "narrow"))
    found = verify(narrowed, "onnxruntime", positive).first_own_deviation
    assert found is not None
    assert (found.tensor, found.cause) == ("r", "saturation")
    assert why(found) == say("deviation.overflow", channels="2")


@exact_kernels
def test_no_plan_of_ours_overflows(tmp_path: Path) -> None:
    positive = np.abs(DATA)
    path = dead(tmp_path)
    row = verify(load(path, positive, "onnxruntime"), "onnxruntime")
    own = row.first_own_deviation
    assert own is None or own.cause != "saturation"
    assert row.sqnr_db_vs_simulation is None or row.sqnr_db_vs_simulation > 40
    notes = diagnosed(path, positive, ONNXRUNTIME).notes
    (note,) = (n for n in notes if n.code == "note.widened")
    assert note.figures["where"] == say("note.channels", count="1", tensor="w")


@pytest.mark.parametrize("target", [ONNXRUNTIME, QNN_HTP, SNPE], ids=lambda t: t.name)
def test_accumulators_hold_whatever_the_biases_are(target: Target, tmp_path: Path) -> None:
    """Of every kind of layer, with weights of any size."""
    model, draw = net(), np.random.default_rng(0)
    for name in ("w", "b", "v", "a", "u", "d", "m"):
        stored = model.graph.initializers[name]
        assert stored.const_value is not None
        array = np.array(stored.const_value.numpy())
        exponent = draw.uniform(-8, 0 if name in "bad" else -4, array.shape[:1])
        array *= 10 ** exponent.reshape(-1, *[1] * (array.ndim - 1)).astype(np.float32)
        stored.const_value = ir.tensor(array, name=name)
    ir.save(model, tmp_path / "any.onnx")
    _, case = planned_by(tmp_path / "any.onnx", DATA, target)
    known = operands(quantized_model(case).graph)
    layers = [
        n.name or "" for n in case.model.graph if n.op_type in ("Conv", "ConvTranspose", "Gemm")
    ]
    assert len(layers) == 3
    for layer in layers:
        assert not overflowing(known[layer, 1], known[layer, 2], 255).size
    least = least_scales(case.model, case.placed, case.plan, target, {})
    if target is ONNXRUNTIME:  # the others have a least range, which does it for most channels
        assert any((case.plan[key].scale == scale).any() for key, scale in least.items())


def test_defects_are_none_for_every_variant_of_our_own_files() -> None:
    case = case_of(target=QNN_HTP)
    simulated = quantized_model(case)
    for name in ("qdq-onnxruntime", "qdq-qnn", "qdq-openvino"):
        content = exporter(name).write(case)["model_qdq.onnx"]
        assert not defects_of(simulated, ir.from_proto(onnx.load_from_string(content)))


def test_nodes_that_compute_shapes_are_not_said_to_run_in_float() -> None:
    model = proto(
        """g (float[N,4] x) => (float[N,4] y) {
            n = Shape(x)
            k = Add(n, o)
            m = Sub(k, o)
            r = Reshape(x, m)
            y = Relu(r)
        }""",
        o=np.array([1, 1], np.int64),
    )
    for name in ("onnxruntime", "onnxruntime-plain"):
        ran = backend(name).open(model.SerializeToString()).executed
        assert {e.op for e in ran} == {"Relu"}


def test_a_tensor_that_changes_the_run_when_asked_for_is_left_out(
    case: Case, recovered: Path
) -> None:
    """A runtime that computes its output otherwise as soon as one tensor is tapped."""
    plain = backend("onnxruntime-plain")
    shy = next(t.codes for t in taps_of(quantized_model(case).graph) if "h" in t.names)

    class Shy(Backend):
        name, title, format, module = "shy", "shy", plain.format, "onnxruntime"

        def version(self) -> str:
            return "1"

        def load(self, content: bytes) -> Loaded:
            loaded = plain.load(content)
            run = loaded.run

            def changed(feeds: Any) -> Any:
                values = run(feeds)
                return {**values, "y": values["y"] + 1} if shy in values else values

            loaded.run = changed  # type: ignore[method-assign]
            return loaded

    row = verify(load(recovered), Shy(), DATA)
    everything = len(taps_of(quantized_model(case).graph))
    assert (row.tensors_compared, row.tensors_hidden) == (everything - 1, 1)
    assert row.first_deviation is None


# ---- the command ----------------------------------------------------------------------------


@exact_kernels
def test_the_command_fails_out_of_tolerance_and_writes_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "recovered"
    budget = ("--samples", 16, "--budget", "1s", "--methods", "ranges", "--format", "json")
    assert (
        run("recover", FILES["model"], "--data", FILES["data"], "--out", out, *budget).exit_code
        == 0
    )
    common = ("verify", out, "--backend", "onnxruntime", "--data", FILES["data"])
    result = run(*common, "--labels", FILES["labels"], "--tolerance", 30)
    assert result.exit_code == 0, result.output
    assert "passed" in result.output and "accuracy" in result.output
    exact = Running.run

    def shifted(self: Running, feeds: Any) -> Any:
        return {n: v + np.asarray(0.1, v.dtype) for n, v in exact(self, feeds).items()}

    monkeypatch.setattr(Running, "run", shifted)
    failed = run(*common, "--tolerance", 200)
    assert failed.exit_code == 1, failed.output
    found = json.loads((out / "result.json").read_text())
    validate(found, SCHEMA)
    assert [row["passed"] for row in found["verify"]] == [False], (
        "of one file and backend, the last"
    )
    (row,) = read(out).verify
    said = row.text.told(Language.CHINESE)
    assert row.backend in said and "模擬" in said


@exact_kernels
def test_the_command_plans_a_float_model(tmp_path: Path) -> None:
    arguments = ("--data", FILES["data"], "--samples", 8, "--target", "onnxruntime")
    result = run("verify", FILES["model"], "--backend", "onnxruntime", *arguments)
    assert result.exit_code == 0, result.output
    assert "nodes ran in integer" in result.output


@exact_kernels
def test_a_file_of_a_model_is_verified_against_the_model(case: Case, tmp_path: Path) -> None:
    file = edited(case, tmp_path, lambda arrays, model: None)
    ir.save(case.model, tmp_path / "float.onnx")
    row = verify(file, "onnxruntime", DATA, against=tmp_path / "float.onnx")
    assert row.vs_float.sqnr_db == pytest.approx(row.simulation_vs_float.sqnr_db, abs=1)
    alone = verify(file, "onnxruntime", DATA)
    assert (alone.vs_float.sqnr_db or 0) > (row.vs_float.sqnr_db or 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("model", "--backend", "onnxrutime"), "B004"),
        (("text", "--backend", "onnxruntime"), "B005"),
        (("encodings", "--backend", "onnxruntime"), "B005"),
        (("cache", "--backend", "onnxruntime"), "B005"),
        (("baked", "--backend", "onnxruntime"), "B006"),
        (("nowhere.onnx", "--backend", "onnxruntime"), "M001"),
        (("empty", "--backend", "onnxruntime"), "O003"),
    ],
)
def test_wrong_input_is_status_2(arguments: tuple[str, ...], code: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no model")
    (tmp_path / "empty").mkdir()
    paths = {"model": Path(FILES["model"]), "text": tmp_path / "text.txt"}
    paths["empty"] = tmp_path / "empty"
    for name, form, file in (
        ("encodings", "encodings-1.0.0", "model.encodings"),
        ("cache", "tensorrt-cache", "calibration.cache"),
        ("baked", "baked", "model_baked.onnx"),
    ):
        paths[name] = tmp_path / file
        written = exporter(form).write(case_of(target=find_target(TAKERS[form])))
        paths[name].write_bytes(written[file])
    first = paths.get(arguments[0], tmp_path / arguments[0])
    result = run("verify", first, *arguments[1:], "--data", FILES["data"])
    assert result.exit_code == 2
    assert code in result.stderr


def test_a_missing_runtime_is_an_error_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backend, "installed", lambda self: False)
    result = run("verify", FILES["model"], "--backend", "openvino", "--data", FILES["data"])
    assert result.exit_code == 2
    assert "B001" in result.stderr
    assert "pip install 'lostbits[openvino]'" in result.stderr
    listed = " ".join(run("backends").output.split())
    assert "not installed: pip install 'lostbits[qnn]'" in listed


def test_backends_lists_every_member() -> None:
    output = run("backends").output
    assert all(b.name in output for b in ALL)


def test_a_file_that_a_runtime_refuses_is_named() -> None:
    with pytest.raises(BackendError, match="B002"):
        backend("onnxruntime").open(b"\x08\x08nonsense")


def test_a_run_that_stops_is_an_error(case: Case) -> None:
    content = exporter("qdq-onnxruntime").write(case)["model_qdq.onnx"]
    with pytest.raises(BackendError, match="B003"):
        backend("onnxruntime").open(content).run({"x": np.zeros((1, 9, 6, 6), np.float32)})


@exact_kernels
@pytest.mark.parametrize("member", ALL, ids=lambda b: b.name)
def test_every_installed_backend_runs_the_demo_near_the_simulation(
    member: Backend, tmp_path: Path
) -> None:
    if not member.installed():
        pytest.skip(f"{member.package} is not installed")
    target = {"qdq-openvino": "openvino", "qdq-qnn": "qnn-htp"}.get(member.format, "onnxruntime")
    case = load(FILES["model"], FILES["calibration"], target, samples=16)
    row = verify(case, member.name, FILES["data"], samples=16)
    assert row.passed
    assert row.sqnr_db_vs_simulation is None or row.sqnr_db_vs_simulation > 30
    assert row.tensors_compared > 10
    if member.name != "onnxruntime-plain":
        assert row.executed.integer > 10


def test_affine_of_the_test_network_is_per_channel(case: Case) -> None:
    affine = case.plan["m:weight"]
    assert isinstance(affine, Affine) and affine.axis == 1, "swapped_axis relies on it"
    assert "MatMul(h, m)" in NET


# Behind a selection.


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        (top_candidates(), {"boxes_all", "scores_all"}),
        (suppressed(), {"boxes_all", "scores_flat"}),
    ],
)
def test_behind_a_selection_the_candidates_are_compared(
    model: onnx.ModelProto, outputs: set[str], tmp_path: Path
) -> None:
    """As case 40; the same figures as those of the network that ends before it."""
    data = samples(4, 24, 3, 16, 16)
    case = load(model, data, "onnxruntime")
    found = verify(case, "onnxruntime")
    plain = verify(load(candidates(), data, "onnxruntime"), "onnxruntime")
    assert {each.name for each in found.vs_float.outputs} == outputs
    assert found.sqnr_db_vs_simulation == pytest.approx(plain.sqnr_db_vs_simulation)
    assert found.vs_float.sqnr_db == pytest.approx(plain.vs_float.sqnr_db)
    assert [note.code for note in found.notes] == ["note.chosen"] and not plain.notes
    assert found.tensors_compared == plain.tensors_compared and found.passed
    # the file alone, as anybody's: its own pairs are the simulation
    path = tmp_path / "net_qdq.onnx"
    path.write_bytes(exporter("qdq-onnxruntime").write(case)["model_qdq.onnx"])
    alone = verify(path, "onnxruntime", data, against=model)
    assert {each.name for each in alone.vs_float.outputs} == outputs
