"""The tools by name, and what each of them is given: the same network and the same samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.run import run

TITLES = {
    "onnxruntime": "ONNX Runtime, min-max",
    "nncf": "NNCF",
    "nncf-accurate": "NNCF, full bias correction",
    "aimet": "AIMET",
    "aimet-cle": "AIMET, CLE",
    "aimet-seqmse": "AIMET, sequential MSE",
    "aimet-adaround": "AIMET, AdaRound",
    "ppq": "PPQ (esp-ppq)",
    "lostbits-nearest": "lostbits, the target's own rules",
    "lostbits": "lostbits recover",
}


def title(job: Job) -> str:
    """Return the tool's name and how long it was told to try."""
    told = {
        "aimet-adaround": f", {job.iterations} iterations",
        "lostbits": f", budget {job.budget:.0f} s",
    }
    return TITLES[job.tool] + told.get(job.tool, "")


def calibration(path: Path, scratch: Path, count: int) -> Path:
    """Write the first samples by themselves; return where."""
    part = scratch / "calibration.npy"
    np.save(part, np.load(path, mmap_mode="r")[: count // BATCH * BATCH])
    return part


def simplified(model: Path, data: Path, scratch: Path) -> Path:
    """Return the network as every tool is given it.

    Raises:
        SystemExit: When the environment cannot do that.
    """
    done = run(Job("simplify", "", model, data, scratch / "simple"))
    if done.seconds is None:
        raise SystemExit(f"{model.name} cannot be simplified: {done.reason}")
    return done.job.result
