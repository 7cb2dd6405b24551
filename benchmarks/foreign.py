"""Other tools' quantized EfficientNet-Lite0, diagnosed as it is: coverage and closure.

Run ``python -m benchmarks.prepare`` first. The files are made in the environment of the
other tools::

    python -m benchmarks.foreign [--tools onnxruntime,nncf,aimet] [--settings snpe,tensorrt,qnn-htp]
                                 [--samples 16] [--calibration 32] [--save]
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.environments import PEERS
from benchmarks.peers.job import SETTINGS, Floats, Job
from benchmarks.peers.run import Done, run
from benchmarks.peers.tools import TITLES, calibration, simplified
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION
from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Cell, Column
from lostbits import Diagnosis, diagnose, load
from lostbits.foreign.match_names import IDLE

COLUMNS = (
    Column("tool"),
    Column("file"),
    Column("its tensors"),
    Column("with a site"),
    Column("idle"),
    Column("covered", "", ".1%"),
    Column("sites"),
    Column("SQNR", "dB", ".1f"),
    Column("sum / total", "", ".4f"),
    Column("to the file run", "dB", ".1f"),
)


def main() -> None:
    """Make every file and diagnose it."""
    arguments = _arguments()
    for requirement, reason in PEERS.install().items():
        print(f"not installed: {requirement}: {reason}", flush=True)
    photographs = np.array(np.load(EVALUATION, mmap_mode="r")[: arguments.samples])
    n = f"ranges of {arguments.calibration} photographs, {len(photographs)} others diagnosed"
    with (
        tempfile.TemporaryDirectory() as folder,
        recorded("foreign", COLUMNS, n=n, keys=2, save=arguments.save) as rows,
    ):
        scratch = Path(folder)
        data = calibration(CALIBRATION, scratch, arguments.calibration)
        model = simplified(EFFICIENTNET, data, scratch)
        for tool, setting in product(arguments.tools.split(","), arguments.settings.split(",")):
            job = Job(tool, setting, model, data, scratch / f"{tool}-{setting}")
            add(rows, run(job), photographs)


def add(rows: Rows, done: Done, photographs: Floats) -> None:
    """Add what the diagnosis of a file says of coverage and closure."""
    head = (TITLES[done.job.tool], SETTINGS[done.job.setting])
    if done.seconds is None:
        rows.add(*head, done.reason)
        return
    found = diagnose(load(done.job.model, photographs, plan=done.job.result))
    rows.add(*head, *_cells(found))
    assert found.plan is not None
    for each in found.plan.unmatched:
        if each.reason != IDLE:
            rows.remark(f"unmatched: {each.tensor}: {each.reason}")


def _cells(found: Diagnosis) -> tuple[Cell, ...]:
    plan, coverage = found.plan, found.coverage
    assert plan is not None
    covered = (plan.matched + plan.idle) / plan.tensors
    distance = plan.sqnr_db_vs_file
    apart = "equal" if distance is None else distance
    return (
        plan.tensors,
        plan.matched,
        plan.idle,
        covered,
        f"{coverage.sites_matched} of {coverage.sites_total} of {found.target.name}",
        found.baseline.sqnr_db,
        1 + found.network.residual,
        apart if plan.file_was_run else "not run",
    )


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument("--tools", default="onnxruntime,nncf,aimet", help=", ".join(TITLES))
    words.add_argument("--settings", default=",".join(SETTINGS))
    words.add_argument("--samples", type=int, default=16)
    words.add_argument("--calibration", type=int, default=32)
    return words.parse_args()


if __name__ == "__main__":
    main()
