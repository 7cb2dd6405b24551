"""Scripts for platforms that do not run here: well formed, with the samples, and read back."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import lostbits as lb
from device import Device, residual

pytestmark = pytest.mark.slow
SHELL = ("qdq-tensorrt", "encodings-0.6.1", "encodings-1.0.0", "encodings-2.0.0", "baked")
TARGETS = {"qdq-tensorrt": "tensorrt", "cambricon": "cnrt", "baked": "snpe"}


def exported(form: str, folder: Path) -> tuple[lb.Case, Path]:
    data = np.random.default_rng(0).normal(size=(6, 3, 16, 16)).astype(np.float32)
    onnx.save(residual(), folder / "m.onnx")
    case = lb.load(folder / "m.onnx", data=data, target=TARGETS.get(form, "qnn-htp"))
    lb.export(case, form, folder)
    return case, folder / form


@pytest.mark.parametrize("form", [*SHELL, "cambricon"])
def test_a_script_is_well_formed_and_has_its_samples(form: str, tmp_path: Path) -> None:
    case, folder = exported(form, tmp_path)
    script = folder / ("run_on_mlu.py" if form == "cambricon" else "run_on_device.sh")
    check = ["sh", "-n"] if script.suffix == ".sh" else [sys.executable, "-m", "py_compile"]
    subprocess.run([*check, str(script)], check=True)
    stacked = np.load(folder / "inputs.npz")["x"]
    assert stacked.shape == (4, 3, 16, 16)
    for number, line in enumerate((folder / "input_list.txt").read_text().splitlines()):
        assert line == f"x:=inputs/{number}/x.raw"
        if form != "cambricon":
            raw = np.fromfile(folder / "inputs" / str(number) / "x.raw", np.float32)
            assert np.array_equal(raw, stacked[number].ravel())
    assert case.plan


def test_formats_that_run_here_have_no_script(tmp_path: Path) -> None:
    _, folder = exported("qdq-onnxruntime", tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["model_qdq.onnx"]


def test_dumps_of_the_script_are_read_without_an_option(tmp_path: Path) -> None:
    """The tools are stand-ins that log their calls; the device's values are put where they go."""
    case, folder = exported("qdq-tensorrt", tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "trtexec").write_text('#!/bin/sh\necho "$@" >> "$LOG"\n')
    (tools / "trtexec").chmod(0o755)
    log = tmp_path / "log"
    words = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log)}
    subprocess.run(["sh", "run_on_device.sh"], cwd=folder, env=words, check=True)
    calls = log.read_text().splitlines()
    assert len(calls) == 6  # help, building, and four samples
    assert "--shapes=x:1x3x16x16" in calls[1]
    assert "--loadInputs=x:../../inputs/2/x.raw" in calls[4].replace("'", "")
    samples, device = np.load(folder / "inputs.npz")["x"], Device(case)
    for number, sample in enumerate(samples):
        for name, (_, reals) in device.run({"x": sample[None]}).items():
            place = folder / "dumps" / f"Result_{number}"
            np.save(place / f"0000_{name.removesuffix('__float')}.npy", reals)
    found = lb.verify(case, data=str(folder / "inputs.npz"), dumps=folder / "dumps")
    assert found.passed
    assert found.tensors_compared == found.tensors_dumped == found.tensors_planned
