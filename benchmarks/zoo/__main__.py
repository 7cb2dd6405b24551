"""Open networks, one row a network and target: diagnosed, recovered, and beside other tools.

The networks and samples lie in ``$LOSTBITS_ZOO`` (or ``--folder``): models/NAME.onnx, data/NAME.npz
to work on, data/NAME_eval.npz to judge. Other tools are run with ``--peers`` (in the folder's own
``venv``, or in build/peers-venv), and their figures are kept there::

    python -m benchmarks.zoo [--rows minilm,crepe_full] [--targets onnxruntime,openvino]
                             [--budget 2m] [--peers] [--save]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Cell, Column
from benchmarks.zoo.judge import Figures, Judge
from benchmarks.zoo.networks import ALL, Network, folder
from benchmarks.zoo.own import diagnosed, recovered
from benchmarks.zoo.peers import peer
from lostbits.errors import LostbitsError
from lostbits.runtime.goal import seconds

COLUMNS = (
    Column("network"),
    Column("target"),
    Column("sites, gradients, residual"),
    Column("diagnosis", "float runs", ".0f"),
    Column("recovery", "of the budget", ".2f"),
    Column("kept"),
    Column("plan", "dB", ".1f"),
    Column("recovered", "dB", ".1f"),
    Column("ONNX Runtime", "dB", ".1f"),
    Column("NNCF", "dB", ".1f"),
    Column("metric"),
    Column("of the plan", "", ".3f"),
    Column("recovered", "", ".3f"),
    Column("ONNX Runtime", "", ".3f"),
    Column("NNCF", "", ".3f"),
)
TOOLS = ("onnxruntime", "nncf")
USUAL = "2m"  # of a recovery; on a machine that others use, it takes more


def main() -> None:
    """Measure the rows that were asked for."""
    told = _arguments()
    names = [n for n in told.rows.split(",") if n]
    n = f"samples that nobody has worked on judge; recover --budget {USUAL}, where none is named"
    with recorded("zoo", COLUMNS, n=n, keys=2, save=told.save) as rows:
        for network in (each for each in ALL if not names or each.model in names):
            judge = Judge(network, told.folder)
            for target in (t for t in network.targets if t in told.targets.split(",")):
                add(rows, network, target, judge, told)


def add(rows: Rows, network: Network, target: str, judge: Judge, told: argparse.Namespace) -> None:
    """Add one row; what is refused is reported with its reason."""
    others = [peer(t, network, target, told.folder, judge, run=told.peers) for t in TOOLS]
    for tool, each in zip(TOOLS, others, strict=True):
        if each.reason:
            rows.remark(f"{network.name}, {target}, {tool}: {each.reason}")
    try:
        told_of, before, after = own(network, target, judge, told)
    except LostbitsError as error:
        rows.add(network.name, target, str(error))
        return
    figures = (before, after, *(each.figures for each in others))
    decibels = [None if f is None else f.decibels for f in figures]
    metrics = [None if f is None else f.metric for f in figures]
    rows.add(network.name, target, *told_of, *decibels, network.metric, *metrics)


def own(
    network: Network, target: str, judge: Judge, told: argparse.Namespace
) -> tuple[tuple[Cell, ...], Figures, Figures]:
    """What a diagnosis and a recovery tell, and the files before and after."""
    found = diagnosed(network, told.folder, target)
    with tempfile.TemporaryDirectory() as scratch:
        made = recovered(network, told.folder, target, told.budget, Path(scratch))
        before, after = (judge.figures(path, target) for path in (made.planned, made.file))
    runs, part = found.seconds / found.floats, made.seconds / seconds(told.budget)
    spent: Cell = part if told.budget == USUAL else f"{part:.2f} of {told.budget}"
    return (found.coverage, runs, spent, made.methods), before, after


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument("--folder", type=Path, default=folder())
    words.add_argument("--rows", default="", help="files of the networks; default, all")
    words.add_argument("--targets", default="onnxruntime,openvino,tensorrt")
    words.add_argument("--budget", default=USUAL, help="of a recovery")
    words.add_argument("--peers", action="store_true", help="run the other tools as well")
    return words.parse_args()


if __name__ == "__main__":
    main()
