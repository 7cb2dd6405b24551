"""EfficientNet-Lite0 on real runtimes: how far they are from the simulation, and from their own.

Run ``python -m benchmarks.prepare`` first. A runtime that is not installed is reported as
such::

    python -m benchmarks.runtimes [--backends onnxruntime,openvino,qnn-htp] [--samples 32]
                                  [--calibration 32] [--recovered] [--save]
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION
from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Cell, Column
from lostbits import Verification, load, recover, verify
from lostbits.backends import backend

TARGETS = {"openvino": "openvino", "openvino-default": "openvino", "qnn-htp": "qnn-htp"}
COLUMNS = (
    Column("runtime"),
    Column("plan"),
    Column("version"),
    Column("photographs"),
    Column("to the Q/DQ simulation", "dB", ".1f"),
    Column("to its own arithmetic", "dB", ".1f"),
    Column("tensors equal"),
    Column("agreement with float: simulation", "", ".3f"),
    Column("runtime", "", ".3f"),
)


def main() -> None:
    """Verify on every runtime, a row for each."""
    arguments = _arguments()
    data = np.array(np.load(CALIBRATION, mmap_mode="r")[: arguments.calibration])
    others = np.array(np.load(EVALUATION, mmap_mode="r")[: arguments.samples])
    n = "other photographs than those of the plan"
    with recorded("runtimes", COLUMNS, n=n, keys=2, save=arguments.save) as rows:
        for name in arguments.backends.split(","):
            if backend(name).installed():
                _add(rows, name, data, others, arguments.recovered)
            else:
                rows.remark(f"{name} is not installed")


def _add(rows: Rows, name: str, data: Any, others: Any, recovered: bool) -> None:
    target, plan = TARGETS.get(name, "onnxruntime"), "recovered" if recovered else "min-max"
    case = load(EFFICIENTNET, data, target, hold_out=recovered)
    if recovered:
        case = recover(case, methods=("ranges", "second_order")).case
    row = verify(case, name, others)
    figures = (_figure(row.sqnr_db_vs_simulation), *_kernels(row))
    agreements = (row.simulation_vs_float.agreement, row.vs_float.agreement)
    rows.add(name, plan, row.version, len(others), *figures, *agreements)
    first = row.first_deviation if row.kernels is None else row.kernels.first_deviation
    rows.remark(f"first deviation of {name}: {'none' if first is None else first.text}")


def _kernels(row: Verification) -> tuple[Cell, ...]:
    kernels = row.kernels
    if kernels is None:
        return ("not known", None)
    return _figure(kernels.sqnr_db), f"{kernels.tensors_equal} of {row.tensors_compared}"


def _figure(decibels: float | None) -> Cell:
    return "equal" if decibels is None else decibels


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument("--backends", default="onnxruntime,openvino,qnn-htp")
    words.add_argument("--samples", type=int, default=32)
    words.add_argument("--calibration", type=int, default=32)
    words.add_argument("--recovered", action="store_true", help="verify what recover made")
    return words.parse_args()


if __name__ == "__main__":
    main()
