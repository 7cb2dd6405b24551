"""The verb inspect: what a file says, as text and as JSON, alone and beside its float model."""

import json
from pathlib import Path

import onnx_ir as ir
import pytest
from typer.testing import CliRunner, Result

from exported_nets import case_of
from lostbits.cli import app as cli
from lostbits.exporter import float_model, serialized
from lostbits.exporters import exporter
from lostbits.foreign.match_names import IDLE
from lostbits.targets import ALL, TENSORRT
from lostbits.targets import target as find_target
from lostbits.verbs.inspect import inspect


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["inspect", *map(str, arguments)])


def written(folder: Path, name: str = "qdq-qnn", target: str = "qnn-htp") -> tuple[Path, Path]:
    """A file of an exporter, and the float model that it belongs to."""
    case = case_of(target=find_target(target))
    floats = folder / "float.onnx"
    floats.write_bytes(serialized(float_model(case)))
    for file, content in exporter(name).write(case).items():
        (folder / file).write_bytes(content)
    return folder / exporter(name).files[0], floats


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("qdq-qnn", "qnn-htp"),
        ("qdq-tensorrt", "tensorrt"),
        ("tensorrt-cache", "tensorrt"),
        ("encodings-2.0.0", "qnn-htp"),
        ("json", "onnxruntime"),
        ("cambricon", "cnrt"),
    ],
)
def test_every_tensor_of_our_own_files_belongs_to_a_site(
    name: str, target: str, tmp_path: Path
) -> None:
    file, floats = written(tmp_path, name, target)
    found = inspect(file, floats, target)
    assert found.match is not None
    handed_on = found.match.unmatched
    assert set(handed_on.values()) <= {IDLE}
    entries = found.parameters.entries
    assert all(found.sites(entry) for entry in entries if entry.tensor not in handed_on)
    assert not found.suspicions


@pytest.mark.slow
def test_without_a_name_the_target_that_fits_best_is_taken(tmp_path: Path) -> None:
    file, floats = written(tmp_path, "qdq-tensorrt", "tensorrt")
    found = inspect(file, floats)
    assert found.target is not None and found.match is not None
    taken = {t.name: inspect(file, floats, t.name).match for t in ALL}
    best = max(len(m.origin) for m in taken.values() if m is not None)
    assert len(found.match.origin) == best == len(case_of(target=TENSORRT).plan)


def test_the_text_shows_grids_scales_and_ranges(tmp_path: Path) -> None:
    file, floats = written(tmp_path)
    result = run(file, "--model", floats)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert "quantized ONNX model" in lines[0]
    row = next(line.split() for line in lines if line.startswith("w "))
    assert row[:5] == ["w", "int8", "x", "5", "(axis"]
    assert row[-1] == "weight"
    count = len(case_of().plan)
    assert any(f"{count} of {count} tensors belong to sites" in line for line in lines)


def test_json_has_every_number(tmp_path: Path) -> None:
    file, floats = written(tmp_path)
    printed = json.loads(run(file, "--model", floats, "--json", "-").stdout)
    saved = tmp_path / "out.json"
    assert run(file, "--model", floats, "--json", saved).exit_code == 0
    assert json.loads(saved.read_text()) == printed
    assert printed["format"] == "lostbits-inspection/1"
    rows = {row["tensor"]: row for row in printed["tensors"]}
    plan = case_of().plan
    assert rows["w"]["scale"] == [float(s) for s in plan["w:weight"].scale]
    assert rows["w"]["sites"] == ["w:weight"]
    assert printed["missing"] == []


def test_a_name_that_is_lost_is_listed_with_its_nearest(tmp_path: Path) -> None:
    file, floats = written(tmp_path, "encodings-1.0.0")
    text = json.loads(file.read_text())
    for entry in text["activation_encodings"]:
        if entry["name"] == "r":
            entry["name"] = "rr"
    file.write_text(json.dumps(text))
    result = run(file, "--model", floats, "--target", "qnn-htp")
    assert "unmatched rr: no such tensor; did you mean 'r'?" in result.output
    assert "missing, 4: not in the file (b:bias, r:output, a:bias, ...)" in result.output


def test_without_a_model_nothing_is_matched(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    found = inspect(file)
    assert found.match is None
    assert found.as_json()["unmatched"] is None
    assert "belong to sites" not in run(file).output


def test_problems_and_suspicions_are_told_apart(tmp_path: Path) -> None:
    file, floats = written(tmp_path)
    model = ir.load(file)
    scale = next(v for n, v in model.graph.initializers.items() if n == "b:bias__scale")
    assert scale.const_value is not None
    scale.const_value = ir.tensor(2 * scale.const_value.numpy(), name=scale.name)
    ir.save(model, file)
    output = run(file, "--model", floats).output
    assert "suspicion I022" in output
    zero = 0 * scale.const_value.numpy()
    scale.const_value = ir.tensor(zero, name=scale.name)
    ir.save(model, file)
    assert "problem I005" in run(file).output


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "I001"), (b"what is this", "I001"), (b"\x08\x08\xff", "I002"), (None, "D001")],
)
def test_what_cannot_be_read_is_status_2(content: bytes | None, code: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    result = run(path)
    assert result.exit_code == 2
    assert code in result.stderr


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "D002" in run(tmp_path).stderr
