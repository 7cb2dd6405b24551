"""``verify`` with dumps: names, missing and damaged files, other samples and models."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from jsonschema import validate
from typer.testing import CliRunner

import lostbits as lb
from device import Array, Device, Fault
from device_faults import NETS, case_of, dumped
from lostbits.case import Case
from lostbits.cli import app as cli
from lostbits.errors import DumpError
from lostbits.results.dumps import DumpVerification
from runs import SCHEMA, stored

pytestmark = pytest.mark.slow
NET = "residual"


@pytest.fixture(scope="module")
def planned() -> tuple[Case, Array]:
    return case_of(NET)


@pytest.fixture
def dumps(planned: tuple[Case, Array], tmp_path: Path) -> Path:
    return dumped(planned[0], None, planned[1], NET, tmp_path / "dump")


def codes_of(found: DumpVerification) -> list[str]:
    return sorted({str(problem.figures["code"]) for problem in found.problems})


def test_a_missing_tensor_is_told_and_the_others_are_compared(
    planned: tuple[Case, Array], dumps: Path
) -> None:
    for file in dumps.rglob("clip4.raw"):
        file.unlink()
    found = lb.verify(planned[0], dumps=dumps)
    assert (found.missing, codes_of(found), found.passed) == (["clip4"], ["V003"], True)
    assert found.tensors_compared == found.tensors_planned - 1


@pytest.mark.parametrize(("size", "code"), [(100, "V005"), (2056, "V004")])
def test_a_raw_file_of_another_size_is_told(
    planned: tuple[Case, Array], dumps: Path, size: int, code: str
) -> None:
    for file in dumps.rglob("conv2.raw"):
        file.write_bytes((file.read_bytes() + bytes(size))[:size])
    found = lb.verify(planned[0], dumps=dumps)
    assert codes_of(found) == ["V003", code]
    assert found.missing == ["conv2"]


def test_one_damaged_run_leaves_the_other_runs(planned: tuple[Case, Array], dumps: Path) -> None:
    (dumps / "Result_3" / "conv2.raw").write_bytes(b"\x00" * 99)
    found = lb.verify(planned[0], dumps=dumps)
    assert found.passed
    assert codes_of(found) == ["V005"]
    runs = {row.tensor: row.runs for row in found.tensors}
    assert (runs["conv2"], runs["clip4"]) == (7, 8)


def test_values_that_are_no_numbers_are_told(planned: tuple[Case, Array], dumps: Path) -> None:
    file = dumps / "Result_0" / "conv2.raw"
    values = np.frombuffer(file.read_bytes(), np.float32).copy()
    values[5] = np.nan
    file.write_bytes(values.tobytes())
    found = lb.verify(planned[0], dumps=dumps)
    assert codes_of(found) == ["V010"]
    assert found.passed


def test_dumps_of_other_samples_are_told(planned: tuple[Case, Array], tmp_path: Path) -> None:
    case, data = planned
    found = lb.verify(case, dumps=dumped(case, None, data[::-1].copy(), NET, tmp_path / "other"))
    assert "V007" in codes_of(found)


def test_dumps_of_another_model_are_told(planned: tuple[Case, Array], tmp_path: Path) -> None:
    """All names are unknown, and nothing has the shape of anything."""
    other, data = case_of("attention")
    found = lb.verify(planned[0], dumps=dumped(other, None, data, "attention", tmp_path / "other"))
    assert "V008" in codes_of(found)
    assert not found.passed


def test_names_that_were_changed_are_found(planned: tuple[Case, Array], dumps: Path) -> None:
    """An unknown name by its values; a known one in other letters by itself."""
    for file in [*dumps.rglob("conv2.raw"), *dumps.rglob("clip4.raw")]:
        file.rename(file.with_name({"conv2": "out_17", "clip4": "_Clip4_0"}[file.stem] + ".raw"))
    found = lb.verify(planned[0], dumps=dumps)
    names = {row.tensor: row.name for row in found.tensors}
    assert (names["conv2"], names["clip4"]) == ("out_17", "_Clip4_0")
    assert found.passed
    assert not found.problems


def test_a_file_of_names_decides(planned: tuple[Case, Array], dumps: Path, tmp_path: Path) -> None:
    for file in [*dumps.rglob("conv2.raw")]:
        file.rename(file.with_name("out_17.raw"))
    (tmp_path / "names.txt").write_text("out_17 conv2\n")
    found = lb.verify(planned[0], dumps=dumps, names=tmp_path / "names.txt")
    assert {row.tensor: row.name for row in found.tensors}["conv2"] == "out_17"


def test_two_names_for_one_tensor_are_told_and_the_nearer_is_taken(
    planned: tuple[Case, Array], dumps: Path
) -> None:
    for file in [*dumps.rglob("conv2.raw")]:
        file.with_name("_conv2.raw").write_bytes(np.zeros(512, np.float32).tobytes())
        file.rename(file.with_name("conv2_.raw"))
    found = lb.verify(planned[0], dumps=dumps)
    assert codes_of(found) == ["V006"]
    assert {row.tensor: row.name for row in found.tensors}["conv2"] == "conv2_"
    assert found.passed


def test_nothing_to_compare_ends_it(planned: tuple[Case, Array], tmp_path: Path) -> None:
    with pytest.raises(DumpError) as error:
        lb.verify(planned[0], dumps=tmp_path)
    assert error.value.code == "V001"


def test_float_tensors_are_compared_too(planned: tuple[Case, Array], dumps: Path) -> None:
    """A device may put out what the plan leaves in float; it has no codes."""
    for run in range(8):
        np.save(dumps / f"Result_{run}" / "conv0.npy", np.zeros((1, 8, 8, 8), np.float32))
    found = lb.verify(planned[0], dumps=dumps)
    row = next(row for row in found.tensors if row.tensor == "conv0")
    assert (row.quantized, row.codes, row.deviates) == (False, None, False)


def test_the_command_line_gives_json_and_status(tmp_path: Path) -> None:
    model, shape, target, tensor = NETS[NET]
    data = np.random.default_rng(5).normal(size=(4, *shape)).astype(np.float32)
    onnx.save(model(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", data)
    case = lb.load(tmp_path / "m.onnx", data=str(tmp_path / "x.npy"), target=target)
    wrong = dumped(case, Fault(tensor, rounded=np.floor), data, NET, tmp_path / "dump")
    words = ["verify", str(tmp_path / "m.onnx"), "--data", str(tmp_path / "x.npy")]
    words += ["--target", target, "--json", str(tmp_path / "found.json")]
    run = CliRunner().invoke(cli.app, [*words, "--dumps", str(wrong)])
    assert run.exit_code == 1
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["first_deviation"]["tensor"] == tensor
    assert told["first_deviation"]["explanation"] == "arithmetic"
    assert [row["tensor"] for row in told["tensors"]][:3] == ["x", "clip1", "conv2"]
    neither = CliRunner().invoke(cli.app, words)
    assert neither.exit_code == 2


def test_a_folder_keeps_what_its_device_put_out(
    planned: tuple[Case, Array], tmp_path: Path
) -> None:
    case, data = planned
    folder = stored(case, tmp_path / "recovered")
    lb.write(lb.diagnose(case), folder, ["json"])
    np.save(tmp_path / "x.npy", data)
    loaded = lb.load(folder)
    dumps = dumped(loaded, None, data, NET, tmp_path / "dump")
    for _ in range(2):
        lb.verify(loaded, data=str(tmp_path / "x.npy"), dumps=dumps)
    content = json.loads((folder / "result.json").read_text())
    validate(content, SCHEMA)
    assert [each["path"] for each in content["dumps"]] == [str(dumps)]
    lb.write(lb.read(folder), tmp_path, ["html"])
    assert 'id="dumps-1"' in (tmp_path / "report.html").read_text()


def test_a_quantized_file_is_its_own_plan(planned: tuple[Case, Array], tmp_path: Path) -> None:
    case, data = planned
    lb.export(case, "qdq-onnxruntime", tmp_path)
    dumps = dumped(case, None, data, NET, tmp_path / "dump")
    file = tmp_path / "qdq-onnxruntime" / "model_qdq.onnx"
    found = lb.verify(file, data=data, dumps=dumps)
    assert found.passed
    assert found.tensors_compared == found.tensors_dumped
    assert Device(case).tensors()
