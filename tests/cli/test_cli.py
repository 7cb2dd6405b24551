"""The command line: what a person types and reads, and the exit status."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from lostbits import __version__
from lostbits.backends import MEMBERS as BACKENDS
from lostbits.cli import app as cli
from lostbits.cli import commands
from lostbits.estimators import MEMBERS as ESTIMATORS
from lostbits.members import Members
from lostbits.metrics import MEMBERS as METRICS
from lostbits.recoveries import MEMBERS as RECOVERIES
from lostbits.targets import MEMBERS as TARGETS
from lostbits.verbs.demo import demo_files

FILES = {name: str(path) for name, path in demo_files().items()}
GIVEN = ("diagnose", FILES["model"], "--data", FILES["data"])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def diagnose(folder: Path, *more: str) -> Result:
    common = ("--data", FILES["data"], "--samples", "8", "--out", str(folder))
    return run("diagnose", FILES["model"], *common, *more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("out")
    return folder, diagnose(folder, "--target", "snpe", "--labels", FILES["labels"])


@pytest.mark.slow
def test_a_diagnosis_prints_the_verdict_and_writes_both_files(
    finished: tuple[Path, Result],
) -> None:
    folder, result = finished
    assert result.exit_code == 0, result.output
    written = json.loads((folder / "result.json").read_text())
    assert written["format"] == "lostbits-result/2"
    assert f"result  {written['judgement']['grade'].upper()} " in result.output
    assert "block2.depthwise" in result.output
    assert (folder / "report.html").stat().st_size > 10_000
    assert {p.name for p in folder.iterdir()} == {"result.json", "report.html"}


@pytest.mark.slow
def test_the_first_weight_that_the_demo_blames_is_depthwise(
    finished: tuple[Path, Result],
) -> None:
    findings = json.loads((finished[0] / "result.json").read_text())["findings"]
    assert findings[0]["reason"] == "collapse"
    found = findings[1]
    assert found["tensor"].endswith("depthwise.conv.weight") and found["reason"] == "granularity"
    assert "--methods equalization" in found["command"]


@pytest.mark.slow
def test_the_command_of_a_finding_wins_what_it_says(
    tmp_path: Path, finished: tuple[Path, Result]
) -> None:
    before = json.loads((finished[0] / "result.json").read_text())["baseline"]["sqnr_db"]
    wish = "block2.depthwise.conv.weight=per_channel"
    assert diagnose(tmp_path, "--target", "snpe", "--set", wish, "--format", "json").exit_code == 0
    after = json.loads((tmp_path / "result.json").read_text())["baseline"]["sqnr_db"]
    assert after > before + 2


@pytest.mark.slow
def test_the_report_is_made_again_from_the_result(finished: tuple[Path, Result]) -> None:
    folder = finished[0]
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert run("report", str(folder)).exit_code == 0
    assert (folder / "report.html").read_bytes() == before


LISTS: dict[str, tuple[Members[Any], ...]] = {
    "targets": (TARGETS,),
    "methods": (ESTIMATORS, RECOVERIES, METRICS),
    "backends": (BACKENDS,),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_name_every_member_in_80_columns(name: str) -> None:
    lines = run(name).output.splitlines()
    first = {line.split()[0] for line in lines if line.strip()}
    assert {member.name for members in LISTS[name] for member in members.all()} <= first
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", ["methods", "backends"])
def test_lists_speak_chinese_to_the_last_title(name: str) -> None:
    text = "".join(run(name, "--lang", "zh-TW").output.split())
    titles = [member.title for members in LISTS[name] for member in members.all()]
    assert len(titles) >= 5
    assert not [title for title in titles if "".join(title.split()) in text]


@pytest.mark.parametrize("command", ["diagnose", "demo", "report", "targets", "methods"])
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "snep"), r"T001.*'?snpe'?"),
        (("--metric", "nrs"), r"T007.*did you mean 'sqnr'"),
        (("--method", "shapley"), r"T010"),
        (("--format", "html,pdf"), r"T009.*pdf"),
        (("--set", "stem.conv.weight"), r"T004"),
        (("--set", "stem.conv.wight=float"), r"T005.*'stem.conv.weight'"),
        (("--set", "stem.conv.weight=mes"), r"T011.*'mse'"),
        (("--set", "stem.conv.weight=pre_channel"), r"T011.*'per_channel'"),
        (("--labels", "nowhere.npy"), r"D001"),
        (("--preprocess", "nowhere.toml"), r"D001|D012"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = diagnose(tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert re.search(message, result.stderr.replace("\n", " ")), result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists(), "nothing half written"


def test_a_missing_model_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"")
    result = run("diagnose", str(tmp_path / "netwrok.onnx"), "--data", FILES["data"])
    assert result.exit_code == 2
    assert "M001" in result.stderr
    assert "network.onnx" in result.stderr


@pytest.mark.parametrize("empty", [("--data=",), ("--data", ""), ("--out", ""), ("",)])
def test_an_empty_value_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("diagnose", FILES["model"], "--data", FILES["data"], *empty)
    assert (result.exit_code, result.stderr[:4]) == (2, "U002")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x00"])
def test_a_corrupt_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    result = run("diagnose", str(path), "--data", FILES["data"], "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert re.search(r"M00[235]|M018", result.stderr), result.stderr


def test_data_under_another_name_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", imag=np.zeros((4, 1, 8, 8), np.float32))
    result = run("diagnose", FILES["model"], "--data", str(tmp_path / "d.npz"))
    assert result.exit_code == 2
    assert "D005" in result.stderr
    assert "imag" in result.stderr


@pytest.mark.parametrize("samples", [0, 1])
def test_too_few_samples_are_refused(tmp_path: Path, samples: int) -> None:
    np.save(tmp_path / "d.npy", np.zeros((samples, 1, 8, 8), np.float32))
    result = run("diagnose", FILES["model"], "--data", str(tmp_path / "d.npy"))
    assert result.exit_code == 2
    assert re.search(r"D004|D032", result.stderr)


def test_not_a_number_in_the_data_is_found(tmp_path: Path) -> None:
    data = np.zeros((6, 1, 8, 8), np.float32)
    data[3, 0, 2, 2] = np.nan
    np.save(tmp_path / "d.npy", data)
    out = ("--out", str(tmp_path / "out"))
    result = run("diagnose", FILES["model"], "--data", str(tmp_path / "d.npy"), *out)
    assert result.exit_code == 2
    assert "D010" in result.stderr
    assert "3" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("where", ["O001", "O006"])
def test_a_full_disk_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (tmp_path / "result.json").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "O001":  # only the last step meets it
        monkeypatch.setattr("lostbits.workers.work_folder.Work.put", lambda *_: None)
    monkeypatch.setattr("os.replace", full)
    result = diagnose(tmp_path, "--format", "json")
    assert result.exit_code == 2
    assert where in result.stderr
    assert "No space left" in result.stderr
    assert (tmp_path / "result.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_an_unwritable_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = diagnose(tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "O001" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lostbits.diagnoses.driver import Run
    from lostbits.diagnoses.worker import Measured, _Measuring

    original = _Measuring.measure

    def stopping(self: _Measuring, chunk: range) -> Measured:
        if chunk.start == 4:
            raise KeyboardInterrupt
        return original(self, chunk)

    monkeypatch.setattr(_Measuring, "measure", stopping)
    monkeypatch.setattr(Run, "_batch", lambda self: 4)
    result = diagnose(tmp_path, "--target", "snpe")
    assert result.exit_code == 130
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["data"]["interrupted"] is True
    assert written["data"]["samples"] == 4
    figures = {note["code"]: note["figures"] for note in written["notes"]}
    assert figures["note.interrupted"] == {"done": "4", "all": "8"}
    assert abs(written["network"]["residual"]) < 0.2  # nothing is refined after an interrupt


def test_an_interrupt_before_the_first_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lostbits.plan.calibrated.calibrate", stopping)
    result = diagnose(tmp_path / "out", "--target", "snpe")
    assert result.exit_code == 130
    assert "nothing was written" in result.stderr
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.slow
def test_a_quiet_run_prints_nothing_and_writes_all(tmp_path: Path) -> None:
    result = diagnose(tmp_path, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "report.html"}


@pytest.mark.slow
def test_the_result_can_be_piped(tmp_path: Path) -> None:
    result = diagnose(tmp_path, "--json", "-", "--format", "json")
    assert result.exit_code == 0
    assert result.stdout == (tmp_path / "result.json").read_text(encoding="utf-8")
    assert json.loads(result.stdout)["format"] == "lostbits-result/2"


@pytest.mark.slow
def test_the_result_can_go_to_a_file_of_its_own(tmp_path: Path) -> None:
    other = tmp_path / "own" / "name.json"
    result = diagnose(tmp_path / "out", "--json", str(other), "--format", "json")
    assert result.exit_code == 0
    assert other.read_bytes() == (tmp_path / "out" / "result.json").read_bytes()


@pytest.mark.slow
def test_a_report_is_rebuilt_in_the_language_that_is_asked_for(
    finished: tuple[Path, Result],
) -> None:
    folder, _ = finished
    page = folder / "report.html"
    before = page.read_bytes()
    assert b'<html lang="en">' in before
    assert run("report", str(folder), "--lang", "zh-Hant").exit_code == 0
    assert b'<html lang="zh-Hant">' in page.read_bytes()
    assert run("report", str(folder)).exit_code == 0
    assert page.read_bytes() == before
    assert run("report", str(folder), "--lang", "tlh").exit_code == 2


def test_no_colour_reaches_a_pipe(finished: tuple[Path, Result]) -> None:
    assert "\x1b[" not in finished[1].output


@pytest.mark.parametrize(
    "command",
    sorted(verb.name for verb in commands.ALL),
)
def test_every_help_has_an_example(command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    assert f"Example: lostbits {command}" in " ".join(shown.output.split())


def test_a_result_without_a_field_is_refused_with_advice(
    tmp_path: Path, finished: tuple[Path, Result]
) -> None:
    old = json.loads((finished[0] / "result.json").read_text(encoding="utf-8"))
    del old["network"]
    (tmp_path / "result.json").write_text(json.dumps(old), encoding="utf-8")
    result = run("report", str(tmp_path))
    assert result.exit_code == 2
    assert "O002" in result.stderr and "`network`" in result.stderr
    assert not (tmp_path / "report.html").exists()


HEAVY = {"torch", "onnxruntime", "onnx", "onnx_ir", "scipy"}


def imported_by(*arguments: str) -> tuple[set[str], str]:
    """Packages that are loaded when a call of the command line ends, and what it printed."""
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', *sorted(sys.modules), file=sys.stderr))\n"
        "from lostbits.cli.app import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    text, _, loaded = done.stderr.rpartition("LOADED")
    return {name.split(".")[0] for name in loaded.split()}, done.stdout + text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--help"], "Make report.html again"), (["diagnoze"], "did you mean 'diagnose'?")],
)
def test_what_runs_nothing_imports_next_to_nothing(arguments: list[str], says: str) -> None:
    packages, text = imported_by(*arguments)
    assert says in " ".join(text.replace("│", " ").split())
    assert not packages & {*HEAVY, "numpy", "PIL"}


@pytest.mark.slow
def test_a_list_of_targets_imports_no_runtime() -> None:
    packages, text = imported_by("targets")
    assert "tensorrt" in text
    assert not packages & HEAVY


def test_the_version_is_printed() -> None:
    packages, text = imported_by("--version")
    assert text == f"lostbits {__version__}\n"
    assert not packages & HEAVY


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "lostbits", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == f"lostbits {__version__}\n"


def test_completion_knows_commands_and_the_options_of_each() -> None:
    group: Any = get_command(cli.app)
    context = group.make_context("lostbits", ["report"], resilient_parsing=True)
    assert [c.value for c in group.shell_complete(context, "re")] == ["recover", "report"]
    _, report, _ = group.resolve_command(context, ["report"])
    own = report.make_context("report", [], resilient_parsing=True)
    assert [c.value for c in report.shell_complete(own, "--la")] == ["--lang"]


@pytest.mark.parametrize("verb", commands.ALL, ids=lambda verb: verb.name)
def test_the_list_says_of_a_command_what_its_own_help_says(verb: commands.Verb) -> None:
    assert (verb.function().__doc__ or "").split("\n")[0] == verb.summary


# ---- how it ends ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("diagnoze",), r"U001: lostbits diagnoze: .*did you mean 'diagnose'\?"),
        (
            ("diagnose", FILES["model"], "--smaples", "3"),
            r"U001: .* --smaples: .*did you mean --samples\?",
        ),
        ((*GIVEN, "--samples", "abc"), r"U002: .*'--samples'"),
        ((*GIVEN, "--samples", "1" * 5000), r"U002: .*'--samples'"),
        (("report", "x", "--lang", "tlh"), r"U002: .*'--lang'"),
        (("report",), r"U003: lostbits report: .*'DIR'"),
        (("report", "a", "b"), r"U003: .*\(b\)"),
    ],
)
def test_a_wrong_use_is_answered_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert re.fullmatch(rf"{message}.*\n", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--permutations", "100000000"),
        ("--seed", "-5"),
        ("--seed", "9" * 400),
        ("--batch", "9" * 400),
        ("--workers", "99999999999"),
        ("--threads", "99999999999"),
    ],
)
def test_numbers_that_nobody_can_mean_are_refused(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = diagnose(tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert re.fullmatch(rf"T017: {arguments[0]}: must lie between .*\n", result.stderr)


@pytest.mark.slow
def test_a_negative_seed_of_a_recovery_is_refused(tmp_path: Path) -> None:
    common = ("--data", FILES["data"], "--out", str(tmp_path / "out"), "--seed", "-5")
    result = run("recover", FILES["model"], *common)
    assert (result.exit_code, result.stderr[:5]) == (2, "T017:")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("lostbits.cli.commands.diagnose.diagnosed", fail)


def test_a_bug_is_one_line_with_a_status_of_its_own_and_a_private_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(monkeypatch, KeyError("w\n1"))
    result = diagnose(tmp_path / "out")
    assert result.exit_code == 70
    assert re.fullmatch(r"U004: lostbits.*: this is a bug of lostbits: KeyError.*\n", result.stderr)
    (trace,) = tmp_path.glob("lostbits-bug-*.txt")
    assert str(trace) in result.stderr
    assert trace.stat().st_mode & 0o077 == 0
    assert "Traceback" in trace.read_text() and "KeyError" in trace.read_text()


@pytest.mark.slow
def test_a_bug_without_room_for_its_trace_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    failing(monkeypatch, ZeroDivisionError())
    result = run("diagnose", FILES["model"], "--data", FILES["data"], "--out", str(tmp_path))
    assert result.exit_code == 70
    assert "could not be saved (FileNotFoundError" in result.stderr


@pytest.mark.parametrize(
    "error",
    [MemoryError("x"), RuntimeError("std::bad_alloc"), OSError(12, "Cannot allocate memory")],
)
def test_a_lack_of_memory_anywhere_has_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, error)
    result = diagnose(tmp_path / "out")
    assert (result.exit_code, result.stderr[:5]) == (2, "W001:")


def test_an_interrupt_of_the_imports_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(_: commands.Verb) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.Verb, "function", stopping)
    result = run("targets")
    assert (result.exit_code, result.stderr) == (130, "interrupted; nothing was written\n")


def test_a_broken_pipe_to_a_worker_is_no_goal_that_was_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(monkeypatch, BrokenPipeError(32, "Broken pipe"))
    assert diagnose(tmp_path / "out").exit_code == 70


# ---- what is on disk --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_folder_named_cache_beside_the_results_stays(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "precious").write_text("mine")
    assert run("diagnose", "typo.onnx", "--data", "d", "--out", str(tmp_path)).exit_code == 2
    assert diagnose(tmp_path, "--format", "json").exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"cache", "result.json"}
    assert (tmp_path / "cache" / "precious").read_text() == "mine"


@pytest.mark.slow
def test_an_interrupt_while_explaining_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lostbits.verbs.diagnose.assemble", stopping)
    result = diagnose(tmp_path)
    assert result.exit_code == 130
    kept = tmp_path / ".lostbits-work"
    assert f"nothing was written; what is finished is kept in {kept}" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == [kept.name]


@pytest.mark.slow
def test_an_interrupt_between_two_files_names_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lostbits.reporters import Html

    def stopping(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Html, "render", stopping)
    result = diagnose(tmp_path)
    assert result.exit_code == 130
    assert f"interrupted; written: {tmp_path / 'result.json'};" in result.stderr


@pytest.mark.slow
def test_a_disk_that_fills_up_between_two_files_says_which_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result.json").write_text("old")
    (tmp_path / "report.html").write_text("old")
    original = os.replace

    def full(part: str, path: Path) -> None:
        if Path(path).name == "report.html":
            raise OSError(28, "No space left on device")
        original(part, path)

    monkeypatch.setattr("os.replace", full)
    result = diagnose(tmp_path)
    assert result.exit_code == 2
    assert "O001" in result.stderr and str(tmp_path / "result.json") in result.stderr
    assert (tmp_path / "report.html").read_text() == "old"
    assert (tmp_path / "result.json").read_text() != "old"
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "report.html"}


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_a_name_that_is_too_long_is_refused(tmp_path: Path, option: str) -> None:
    common = ("--data", FILES["data"], "--samples", "8", "--format", "json")
    out = () if option == "--out" else ("--out", str(tmp_path / "out"))
    long = str(tmp_path / ("x" * 300))
    result = run("diagnose", FILES["model"], *common, *out, option, long)
    assert (result.exit_code, result.stderr[:5]) == (2, "O001:")
    assert not list(tmp_path.iterdir()), "refused before anything is written"


@pytest.mark.slow
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    result = diagnose(tmp_path / "out", "--json", str(pipe), "--format", "json")
    reader.join()
    assert result.exit_code == 0
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert found == [(tmp_path / "out" / "result.json").read_bytes()]


@pytest.mark.slow
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # like /dev/null
        node.write_bytes(b"")
    except OSError:
        pytest.skip("needs the right to make a device")
    assert diagnose(tmp_path / "out", "--json", str(node), "--format", "json").exit_code == 0
    assert stat.S_ISCHR(node.lstat().st_mode)


# ---- what the screen cannot take --------------------------------------------------------------


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Bash, to which ``lb`` is the command line."""
    program = (
        'lb() { "$PYTHON" -c "from lostbits.cli.app import main; main()" "$@"; }; set -o pipefail; '
    )
    known = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run(
        ["bash", "-c", program + line],
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=known,
    )


@pytest.fixture
def quick(tmp_path: Path) -> str:
    shown = f"diagnose {FILES['model']} --data {FILES['data']} --samples 8 --out {tmp_path}"
    return f"lb {shown} --target snpe"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rest", "says"),
    [
        (" | head -c 1", ""),
        (" | true", ""),
        (" > /dev/full", "standard output: "),
        (" >&-", ""),
        (" >&- 2>&- <&-", ""),
    ],
)
def test_a_screen_that_takes_nothing_costs_no_result(
    tmp_path: Path, quick: str, rest: str, says: str
) -> None:
    done = shell(quick + rest)
    assert done.returncode == 0, done
    assert done.stderr.startswith(says) and done.stderr.count("\n") == bool(says)
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "report.html"}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_letter_that_the_terminal_lacks_is_replaced(
    tmp_path: Path, quick: str, encoding: str
) -> None:
    done = shell(quick, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?????" in done.stdout and "depthwise" in done.stdout
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "report.html"}


@pytest.mark.slow
def test_a_result_that_standard_output_does_not_take_is_an_error(quick: str) -> None:
    done = shell(f"{quick} --json - > /dev/full")
    assert (done.returncode, done.stderr[:5]) == (2, "O009:")
    assert shell(f"{quick} --json - | head -c 1").returncode == 0


@pytest.mark.slow
def test_help_may_be_cut_off() -> None:
    done = shell("lb --help | true")
    assert (done.returncode, done.stderr) == (0, "")
