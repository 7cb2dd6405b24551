"""The verb export: from a folder or a model, all formats or none, and what it says."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate
from typer.testing import CliRunner, Result

import lostbits
from exported_nets import case_of, rounded_down
from lostbits.case import Case
from lostbits.cli import app as cli
from lostbits.errors import ExportError
from lostbits.exporter import one_file
from lostbits.exporters import ALL, exporter
from lostbits.runtime.float_reference import open_reference
from lostbits.runtime.ort import ort
from lostbits.targets import ONNXRUNTIME, OPENVINO, QNN_HTP, SNPE, TENSORRT
from lostbits.verbs.demo import demo_files
from lostbits.verbs.export import chosen_exporters, export
from lostbits.verbs.load import load
from runs import stored

FILES = {name: str(path) for name, path in demo_files().items()}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


@pytest.fixture
def recovered(tmp_path: Path) -> Path:
    return stored(rounded_down(case_of()), tmp_path / "recovered")


def planned() -> Case:
    return rounded_down(case_of())


def test_every_format_of_a_folder_is_what_the_exporter_writes(
    recovered: Path, tmp_path: Path
) -> None:
    names = ["json", "qdq-onnxruntime", "encodings-1.0.0"]
    done = export(load(recovered), names, tmp_path / "out")
    assert [each.format for each in done] == names
    for each in done:
        for name, content in exporter(each.format).write(planned()).items():
            path = tmp_path / "out" / each.format / name
            assert path.read_bytes() == content
            assert hashlib.sha256(content).hexdigest() in {f.sha256 for f in each.files}


def test_beyond_one_file_constants_lie_beside_the_model_and_move_with_it(
    recovered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = export(load(recovered), ["qdq-onnxruntime", "encodings-1.0.0", "json"], tmp_path / "a")
    monkeypatch.setattr("lostbits.exporter.ONE_FILE", 64)
    monkeypatch.setattr("lostbits.graph.large.LARGE_MODEL", 64)
    monkeypatch.setattr("lostbits.graph.large.LARGE", 32)
    parts = export(load(recovered), [each.format for each in whole], tmp_path / "b")
    with pytest.raises(ExportError, match="E010"):
        one_file(exporter("qdq-onnxruntime").write(planned()))
    monkeypatch.undo()
    (tmp_path / "b").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path.parent)
    for one, two in zip(whole, parts, strict=True):
        (single,) = (f.path for f in one.files if f.path.suffix == ".onnx")
        names = [f.path.name for f in two.files]
        assert names.index(f"{single.name}.data") < names.index(single.name)
        moved = tmp_path / "moved" / two.format / single.name
        assert moved.stat().st_size < single.stat().st_size
        runs = [ort.InferenceSession(path) for path in (single, moved)]
        name = runs[0].get_inputs()[0].name
        shape = [d if isinstance(d, int) else 2 for d in runs[0].get_inputs()[0].shape]
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        before, after = (run.run(None, {name: x}) for run in runs)
        assert all(map(np.array_equal, before, after))
        open_reference(moved)


def test_a_format_without_a_model_gets_the_one_its_names_belong_to(
    recovered: Path, tmp_path: Path
) -> None:
    export(load(recovered), ["json", "qdq-qnn"], tmp_path)
    weights = open_reference(tmp_path / "json" / "model.onnx").model.graph.initializers["w"]
    assert weights.const_value is not None
    assert np.array_equal(weights.const_value.numpy(), planned().written["w"])
    assert [p.name for p in (tmp_path / "qdq-qnn").iterdir()] == ["model_qdq.onnx"]


def test_one_format_that_cannot_hold_the_plan_leaves_nothing_behind(
    recovered: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="E001"):
        export(load(recovered), ["json", "tensorrt-cache"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (ONNXRUNTIME, "qdq-onnxruntime"),
        (OPENVINO, "qdq-openvino"),
        (TENSORRT, "qdq-tensorrt"),
        (QNN_HTP, "qdq-qnn"),
        (SNPE, "qdq-onnxruntime"),
    ],
)
def test_qdq_is_the_variant_of_the_target(target: object, name: str) -> None:
    assert [e.name for e in chosen_exporters(["qdq"], target)] == [name]  # type: ignore[arg-type]


def test_a_file_that_changes_is_said_to_be_replaced(recovered: Path, tmp_path: Path) -> None:
    first = export(load(recovered), ["json"], tmp_path)[0]
    again = export(load(recovered), ["json"], tmp_path)[0]
    (tmp_path / "json" / "plan.json").write_text("something else")
    other = export(load(recovered), ["json"], tmp_path)[0]
    assert [f.replaced for f in (*first.files, *again.files, *other.files)].count(True) == 1
    assert other.files[0].replaced


@pytest.mark.slow
def test_the_command_plans_a_model_by_the_targets_rules(tmp_path: Path) -> None:
    arguments = ("--data", FILES["calibration"], "--samples", 8, "--target", "tensorrt")
    names = "qdq,tensorrt-cache"
    result = run("export", FILES["model"], "--to", names, "--out", tmp_path, *arguments)
    assert result.exit_code == 0, result.output
    cache = tmp_path / "tensorrt-cache" / "calibration.cache"
    digest = hashlib.sha256(cache.read_bytes()).hexdigest()
    assert f"{digest}  {cache}" in result.output
    assert "not quantized by this file" in result.output
    assert "TensorRT quantizes weights itself" in result.output
    assert (tmp_path / "qdq-tensorrt" / "model_qdq.onnx").is_file()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--to", "qdp"), "E016"),
        (("--to", "json"), "E020"),
        (("--to", "json", "--data", "nowhere.npz"), "D001"),
        (("--to", "json", "--data", FILES["calibration"], "--target", "snep"), "T001"),
    ],
)
def test_wrong_input_is_status_2(tmp_path: Path, arguments: tuple[str, ...], code: str) -> None:
    result = run("export", FILES["model"], "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert code in result.stderr
    assert not list((tmp_path / "out").glob("*"))


def test_an_empty_folder_is_no_case(tmp_path: Path) -> None:
    result = run("export", tmp_path, "--to", "json", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "O003" in result.stderr


@pytest.mark.slow
def test_the_result_of_a_recovery_lists_what_was_exported(tmp_path: Path) -> None:
    out = tmp_path / "recovered"
    arguments = ("--data", FILES["calibration"], "--samples", 16, "--budget", "1s")
    options = ("--methods", "ranges", "--format", "json", "--export", "qdq,json")
    result = run("recover", FILES["model"], "--out", out, *arguments, *options)
    assert result.exit_code == 0, result.output
    for _ in range(2):  # a second export takes the place of the first
        found = json.loads((out / "result.json").read_text())
        schema = Path(lostbits.__file__).with_name("result.schema.json").read_text()
        validate(found, json.loads(schema))
        assert {row["format"] for row in found["exports"]} == {"qdq-onnxruntime", "json"}
        for row in found["exports"]:
            content = Path(row["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert run("export", out, "--to", "json", "--out", out / "export").exit_code == 0


def test_every_exporter_can_be_named() -> None:
    assert chosen_exporters([e.name for e in ALL]) == list(ALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "header"),
    [("8.6.1", "TRT-8601-"), ("10.13.0.35", "TRT-101300-"), (None, "TRT-100300-")],
)
def test_the_version_in_the_header_of_a_cache_can_be_chosen(
    given: str | None, header: str, tmp_path: Path
) -> None:
    arguments = ("--to", "tensorrt-cache", "--target", "tensorrt", "--out", tmp_path)
    chosen = () if given is None else ("--tensorrt", given)
    result = run("export", FILES["model"], "--data", FILES["calibration"], *arguments, *chosen)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "tensorrt-cache/calibration.cache").read_text().startswith(header)


@pytest.mark.parametrize("given", ["11.0.0", "8", "eight.six"])
def test_a_version_that_reads_no_caches_is_refused(given: str, tmp_path: Path) -> None:
    arguments = ("--data", FILES["calibration"], "--to", "tensorrt-cache", "--tensorrt", given)
    result = run("export", FILES["model"], *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "E021" in result.stderr
    assert not list((tmp_path / "out").glob("*"))
