"""The other tools beside lostbits on EfficientNet-Lite0, in an environment of their own.

Run ``python benchmarks/prepare.py`` first. Installs the tools under build/peers-venv (2 GB) unless
they are there, and prints the tables of docs/benchmarks.md::

    python benchmarks/peers.py [--tools onnxruntime,nncf,...] [--settings snpe,tensorrt,qnn-htp]
                               [--iterations 50] [--budget 60s] [--layers]

``aimet-adaround`` takes minutes even at 50 iterations a layer (its default is 10,000) and must be
asked for. ``--layers`` compares AdaRound of single layers instead. What fails is reported with the
reason, and the rest goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import peers_layers
from environments import PEERS, last_line
from peers_job import BATCH, SETTINGS, Floats, Job
from peers_judge import distance, outputs
from peers_run import LIMIT, Done, run

FOLDER = Path(__file__).resolve().parent.parent / "build" / "bench"
MODEL = FOLDER / "efficientnet_lite0.onnx"
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
USUAL = [name for name in TITLES if name != "aimet-adaround"]


def main() -> None:
    """Install, then print the table that was asked for."""
    arguments = _arguments()
    for requirement, reason in PEERS.install().items():
        print(f"not installed: {requirement}: {reason}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = calibration(FOLDER / "calibration.npy", folder, arguments.calibration)
        model = simplified(MODEL, data, folder)
        if arguments.layers:
            peers_layers.table(model, np.load(data), folder, arguments.iterations)
        else:
            table(model, data, arguments, folder)


def table(model: Path, data: Path, arguments: argparse.Namespace, scratch: Path) -> None:
    """Print one row for every tool and setting."""
    photographs = np.load(FOLDER / "evaluation.npy", mmap_mode="r")[: arguments.evaluation]
    floats = np.concatenate(list(outputs(model, photographs)))
    print("| tool | setting | SQNR dB | agreement | s | CPU s |")
    print("|---|---|---|---|---|---|", flush=True)
    for setting in arguments.settings.split(","):
        for tool in arguments.tools.split(","):
            out = scratch / f"{tool}-{setting}"
            budget = float(arguments.budget.removesuffix("s"))
            job = Job(tool, setting, model, data, out, arguments.iterations, budget)
            print(row(run(job, arguments.limit), floats, photographs), flush=True)


def row(done: Done, floats: Floats, photographs: Floats) -> str:
    """Return the row of one run."""
    head = f"| {title(done.job)} | {done.job.setting}: {SETTINGS[done.job.setting]}"
    if done.seconds is None:
        return f"{head} | {done.reason} | | | |"
    try:
        others = np.concatenate(list(outputs(done.job.result, photographs)))
    except Exception as error:  # whatever ONNX Runtime says of a file that it cannot run
        return f"{head} | {last_line(str(error))} | | | |"
    sqnr, agreement = distance(floats, others)
    wall, cores = done.seconds
    return f"{head} | {sqnr:.1f} | {agreement:.3f} | {wall:.0f} | {cores:.0f} |"


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", default=",".join(USUAL), help=", ".join(TITLES))
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--iterations", type=int, default=50, help="of AdaRound")
    parser.add_argument("--budget", default="60s", help="of lostbits recover")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one run")
    parser.add_argument("--calibration", type=int, default=128)
    parser.add_argument("--evaluation", type=int, default=328)
    parser.add_argument("--layers", action="store_true", help="AdaRound of single layers instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
