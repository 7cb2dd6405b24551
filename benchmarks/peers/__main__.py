"""The other tools beside lostbits on EfficientNet-Lite0, in an environment of their own.

Run ``python -m benchmarks.prepare`` first. Installs the tools under build/peers-venv (2 GB) unless
they are there::

    python -m benchmarks.peers [--tools onnxruntime,nncf,...] [--settings snpe,tensorrt,qnn-htp]
                               [--iterations 50] [--budget 60s] [--layers] [--save]

``aimet-adaround`` takes minutes even at 50 iterations a layer (its default is 10,000) and must be
asked for. ``--layers`` compares AdaRound of single layers instead. What fails is reported with the
reason, and the rest goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.environments import PEERS, last_line
from benchmarks.peers import layers
from benchmarks.peers.job import SETTINGS, Floats, Job
from benchmarks.peers.judge import distance, outputs
from benchmarks.peers.run import LIMIT, Done, run
from benchmarks.peers.tools import TITLES, calibration, simplified, title
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION
from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Column

USUAL = [name for name in TITLES if name != "aimet-adaround"]
COLUMNS = (
    Column("setting"),
    Column("tool"),
    Column("SQNR", "dB", ".1f"),
    Column("agreement", "", ".3f"),
    Column("quantizing", "s", ".0f"),
    Column("of all cores", "s", ".0f"),
)


def main() -> None:
    """Install, then measure the table that was asked for."""
    arguments = _arguments()
    for requirement, reason in PEERS.install().items():
        print(f"not installed: {requirement}: {reason}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = calibration(CALIBRATION, folder, arguments.calibration)
        model = simplified(EFFICIENTNET, data, folder)
        if arguments.layers:
            layers.compare(model, np.load(data), folder, arguments.iterations, arguments.save)
        else:
            compare(model, data, arguments, folder)


def compare(model: Path, data: Path, arguments: argparse.Namespace, scratch: Path) -> None:
    """One row for every setting and tool."""
    photographs = np.load(EVALUATION, mmap_mode="r")[: arguments.evaluation]
    floats = np.concatenate(list(outputs(model, photographs)))
    budget = float(arguments.budget.removesuffix("s"))
    n = f"{arguments.calibration} photographs to work on, {len(photographs)} others judged"
    with recorded("peers", COLUMNS, n=n, keys=2, save=arguments.save) as rows:
        for setting, tool in product(arguments.settings.split(","), arguments.tools.split(",")):
            out = scratch / f"{tool}-{setting}"
            job = Job(tool, setting, model, data, out, arguments.iterations, budget)
            add(rows, run(job, arguments.limit), floats, photographs)


def add(rows: Rows, done: Done, floats: Floats, photographs: Floats) -> None:
    """Add the row of one run."""
    head = (f"{done.job.setting}: {SETTINGS[done.job.setting]}", title(done.job))
    if done.seconds is None:
        rows.add(*head, done.reason)
        return
    try:
        others = np.concatenate(list(outputs(done.job.result, photographs)))
    except Exception as error:  # whatever ONNX Runtime says of a file that it cannot run
        rows.add(*head, last_line(str(error)))
        return
    rows.add(*head, *distance(floats, others), *done.seconds)


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument("--tools", default=",".join(USUAL), help=", ".join(TITLES))
    words.add_argument("--settings", default=",".join(SETTINGS))
    words.add_argument("--iterations", type=int, default=50, help="of AdaRound")
    words.add_argument("--budget", default="60s", help="of lostbits recover")
    words.add_argument("--limit", type=float, default=LIMIT, help="seconds for one run")
    words.add_argument("--calibration", type=int, default=128)
    words.add_argument("--evaluation", type=int, default=328)
    words.add_argument("--layers", action="store_true", help="AdaRound of single layers instead")
    return words.parse_args()


if __name__ == "__main__":
    main()
