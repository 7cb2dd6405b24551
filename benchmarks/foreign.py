"""Other tools' quantized EfficientNet-Lite0, diagnosed as it is: coverage and closure.

Run ``python benchmarks/prepare.py`` first. The files are made in the environment of peers.py.
Prints the table of docs/benchmarks.md::

    python benchmarks/foreign.py [--tools onnxruntime,nncf,aimet] [--settings snpe,tensorrt,qnn-htp]
                                 [--samples 16] [--calibration 32]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from environments import PEERS
from lostbits.api import Settings, diagnose
from lostbits.matching import IDLE
from peers import MODEL, TITLES, calibration, simplified
from peers_job import SETTINGS, Floats, Job
from peers_run import Done, run

FOLDER = MODEL.parent


def main() -> None:
    """Make every file, diagnose it, print a row for each."""
    arguments = _arguments()
    for requirement, reason in PEERS.install().items():
        print(f"not installed: {requirement}: {reason}", flush=True)
    photographs = np.load(FOLDER / "evaluation.npy", mmap_mode="r")[: arguments.samples]
    print(
        "| tool | file | its tensors | with a site | idle | covered | sites | SQNR dB "
        "| sum / total | to the file run |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = calibration(FOLDER / "calibration.npy", scratch, arguments.calibration)
        model = simplified(MODEL, data, scratch)
        for tool in arguments.tools.split(","):
            for setting in arguments.settings.split(","):
                job = Job(tool, setting, model, data, scratch / f"{tool}-{setting}")
                print(row(run(job), np.array(photographs)), flush=True)


def row(done: Done, photographs: Floats) -> str:
    """Return what the diagnosis of a file says of coverage and closure."""
    head = f"| {TITLES[done.job.tool]} | {SETTINGS[done.job.setting]}"
    if done.seconds is None:
        return f"{head} | {done.reason} | | | | | | | |"
    settings = Settings(plan=done.job.result)
    found = diagnose(done.job.model, photographs, None, settings)
    plan, coverage, network = found["plan"], found["coverage"], found["network"]
    distance = plan["sqnr_db_vs_file"]
    apart = "equal" if distance is None and plan["file_was_run"] else f"{distance:.1f} dB"
    cells = (
        f"{plan['tensors']}",
        f"{plan['matched']}",
        f"{plan['idle']}",
        f"{(plan['matched'] + plan['idle']) / plan['tensors']:.1%}",
        f"{coverage['sites_matched']} of {coverage['sites_total']} of {found['target']['name']}",
        f"{found['baseline']['sqnr_db']:.1f}",
        f"{1 + network['residual']:.4f}",
        apart if plan["file_was_run"] else "not run",
    )
    for each in plan["unmatched"]:
        if each["reason"] != IDLE:
            print(f"unmatched: {each['tensor']}: {each['reason']}", flush=True)
    return f"{head} | " + " | ".join(cells) + " |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", default="onnxruntime,nncf,aimet", help=", ".join(TITLES))
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--calibration", type=int, default=32)
    return parser.parse_args()


if __name__ == "__main__":
    main()
