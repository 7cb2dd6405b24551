"""Folders of results: what is refused, what ``--force`` and ``--again`` do, and interrupts."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner, Result

from lostbits.attempts.planner import Planner
from lostbits.cli import app as cli
from lostbits.cli.again import with_earlier
from lostbits.cli.progress import Line
from lostbits.errors import CommandError, OutputError
from lostbits.verbs.result_kind import check_place, kind_in
from lostbits.workers.progress import ATTEMPT, FINISH
from small_nets import mlp, samples

COMMAND = "lostbits diagnose n.onnx --data d.npz --set a=mse --set b=float --out old -q"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def held(folder: Path, recovered: object = None, model: str = "n.onnx") -> Path:
    folder.mkdir(exist_ok=True)
    told = {
        "command": COMMAND,
        "model": {"path": model},
        "target": {"name": "snpe"},
        "recovered": recovered,
    }
    (folder / "result.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("recovered", "kind", "model", "target", "form"),
    [
        (None, "diagnosis", "m.onnx", "tensorrt", None),
        (None, "recovery", "n.onnx", "snpe", "O012.kind"),
        ({}, "diagnosis", "n.onnx", "snpe", "O012.kind"),
        ({"x": 1}, "recovery", "n.onnx", "snpe", None),
        ({"x": 1}, "recovery", "m.onnx", "snpe", "O012.model"),
        ({"x": 1}, "recovery", "n.onnx", "tensorrt", "O012.model"),
        ({"x": 1}, "recovery", "n.onnx", None, None),
    ],
)
def test_a_result_of_another_kind_is_not_written_over(
    tmp_path: Path, recovered: Any, kind: Any, model: str, target: str | None, form: str | None
) -> None:
    place = held(tmp_path / "out", recovered or None)
    if recovered is not None:
        (place / "plan.json").write_text("{}")
    if form is None:
        check_place(place, kind, Path(model), target)
        return
    with pytest.raises(OutputError) as caught:
        check_place(place, kind, Path(model), target)
    assert caught.value.form == form


def test_an_empty_or_foreign_folder_is_taken(tmp_path: Path) -> None:
    assert kind_in(tmp_path) is kind_in(tmp_path / "none") is None
    (tmp_path / "result.json").write_text("[]")
    assert kind_in(tmp_path) is None


def test_again_puts_earlier_options_first_and_lets_later_ones_win(tmp_path: Path) -> None:
    old = str(held(tmp_path / "old"))
    found = with_earlier("diagnose", ["--again", old, "--set", "a=16bit", "--out", "t"])
    assert found == [
        *("n.onnx", "--data", "d.npz", "--set", "b=float", "--target", "snpe"),
        *("--set", "a=16bit", "--out", "t"),
    ]
    assert with_earlier("recover", [f"--again={old}"])[:3] == ["n.onnx", "--data", "d.npz"]
    assert with_earlier("export", ["x", "--again", old]) == ["x", "--again", old]


@pytest.mark.parametrize(
    ("content", "form"),
    [(None, "U007.result"), ("{}", "U007.result"), ("python", "U007.command")],
)
def test_again_needs_a_result_whose_command_can_be_run(
    tmp_path: Path, content: str | None, form: str
) -> None:
    if content == "python":
        content = json.dumps({"command": "lostbits diagnose n", "target": {"name": "snpe"}})
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(CommandError) as caught:
        with_earlier("diagnose", ["--again", str(tmp_path)])
    assert caught.value.form == form


def test_the_line_counts_the_budget_down_and_never_says_all() -> None:
    now = 0.0
    line = Line(60.0, clock=lambda: now)
    assert str(line).endswith("1:00 left of 1:00")
    line("diagnosis", 3, 16)
    assert "sample 3 of 16" in str(line)
    line(f"{ATTEMPT}second_order", 3, 7)
    line("layers", 12, 50)
    now = 19.0
    assert str(line) == "3 of 7: second_order, layer 12 of 50   0:41 left of 1:00"
    line("layers", 50, 50)
    assert "50 of 50" not in str(line)
    now = 61.0
    assert str(line).endswith("finishing, 1:01")
    line(FINISH, 0, 1)
    assert "second_order" not in str(line)


@pytest.mark.slow
def test_an_interrupted_recovery_keeps_what_it_has_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    onnx.save(mlp(0), tmp_path / "n.onnx")
    np.savez(tmp_path / "d.npz", x=samples(1, 16, 6))
    original, tried = Planner._attempt, []

    def stopping(self: Planner, *given: Any) -> None:
        tried.append(1)
        if len(tried) > 1:
            raise KeyboardInterrupt
        original(self, *given)

    monkeypatch.setattr(Planner, "_attempt", stopping)
    monkeypatch.chdir(tmp_path)
    options = ("--target", "snpe", "--data", "d.npz", "--out", "out")
    found = run("recover", "n.onnx", *options)
    assert found.exit_code == 130, found.output
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["recovered"]["interrupted"] is True
    assert len(result["ledger"]) == 1
    assert result["next_commands"]
    assert run("report", "out").exit_code == 0
