"""What a person may say of outputs: --outputs, --mask-output and --of."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

from lostbits.cli import app as cli
from lostbits.reporters.first_screen import prescription
from output_nets import detector
from small_nets import samples
from text_models import saved


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A diagnosis of boxes and scores in one output."""
    np.save(tmp_path / "x.npy", samples(3, 8, 3, 16, 16))
    model, data = saved(detector(), tmp_path), tmp_path / "x.npy"
    out = str(tmp_path / "out")
    options = ["--target", "snpe", "--quiet", "--json", "-", "--out", out, "--format", "json"]
    return ["diagnose", str(model), "--data", str(data), *options]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def test_the_part_that_is_named_is_attributed(command: list[str]) -> None:
    found = run(*command, "--of", "output0[:4]")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    assert result["network"]["of"] == "output0[:, :4]"
    assert result["network"]["total"] < 1e-2


def test_without_a_name_the_worst_part_is(command: list[str]) -> None:
    result = json.loads(run(*command).stdout)
    (output,) = result["baseline"]["outputs"]
    assert result["network"]["of"] == "output0[:, 4:]" == output["parts"][1]["name"]
    assert output["kind"] == "detections" and output["parts"][1]["dead"]


def test_a_kind_is_told(command: list[str]) -> None:
    result = json.loads(run(*command, "--outputs", "output0=other", "--of", "all").stdout)
    assert [each["kind"] for each in result["baseline"]["outputs"]] == ["other"]
    assert result["network"]["of"] is None


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--outputs", "output=other"], "T040"),
        (["--outputs", "output0=others"], "T041"),
        (["--outputs", "output0=classes"], "T042"),
        (["--mask-output", "output0=y"], "T043"),
        (["--outputs", "output0"], "T044"),
        (["--of", "scores"], "T040"),
        (["--of", "output0[a:]"], "T046"),
    ],
)
def test_what_is_wrong_is_said(command: list[str], options: list[str], code: str) -> None:
    found = run(*command, *options)
    assert found.exit_code == 2 and code in found.output


def test_what_a_recovery_has_no_option_for_is_left_out_of_its_command() -> None:
    given = "lostbits diagnose n.onnx --data d.npy --of 'y[4:]' --outputs y=other"
    assert prescription(given) == (
        "lostbits recover n.onnx --data d.npy --outputs y=other --out recovered"
    )


# What other viewers read.


def test_an_overlay_is_written(command: list[str], tmp_path: Path) -> None:
    place = tmp_path / "view" / "net.json"
    assert run(*command, "--overlay", str(place)).exit_code == 0
    results = json.loads(place.read_text("utf-8"))["results"]
    nodes = {node.name for node in onnx.load(place.with_name("net.netron.onnx")).graph.node}
    assert results and {name for name in results if not name.startswith("[io]")} <= nodes


def test_an_overlay_without_a_place_is_refused_at_once(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.json").mkdir()
    found = run(*command, "--overlay", str(tmp_path / "net.json"))
    assert found.exit_code == 2 and "O001" in found.output
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_recovery_does_not_write_over_an_overlay() -> None:
    given = "lostbits diagnose n.onnx --data d.npy --overlay n.json"
    assert prescription(given) == "lostbits recover n.onnx --data d.npy --out recovered"
