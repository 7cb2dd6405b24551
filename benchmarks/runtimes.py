"""EfficientNet-Lite0 on real runtimes: how far they are from the simulation, and from their own.

Run ``python benchmarks/prepare.py`` first. Prints the table of docs/benchmarks.md; a runtime that
is not installed is reported as such::

    python benchmarks/runtimes.py [--backends onnxruntime,openvino,qnn-htp] [--samples 32]
                                  [--calibration 32] [--recovered]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lostbits.api import Settings, Wishes, recover
from lostbits.backends import backend
from lostbits.exporting import Origin
from lostbits.verifying import verify

FOLDER = Path(__file__).parents[1] / "build" / "bench"
MODEL = FOLDER / "efficientnet_lite0.onnx"
TARGETS = {"openvino": "openvino", "openvino-default": "openvino", "qnn-htp": "qnn-htp"}


def main() -> None:
    """Verify on every runtime and print a row for each."""
    arguments = _arguments()
    data, others = (
        np.array(np.load(FOLDER / name, mmap_mode="r")[:count])
        for name, count in (
            ("calibration.npy", arguments.calibration),
            ("evaluation.npy", arguments.samples),
        )
    )
    print(
        "| runtime | plan | SQNR dB, runtime to Q/DQ simulation | to its own arithmetic "
        "| tensors equal | agreement with float: simulation | runtime | first deviation |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.backends.split(","):
        print(_row(name, data, others, arguments.recovered), flush=True)


def _row(name: str, data: Any, others: Any, recovered: bool) -> str:
    plan = "recovered" if recovered else "min-max"
    if not backend(name).installed():
        return f"| {name} | {plan} | not installed | | | | | |"
    target = TARGETS.get(name, "onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        origin = Origin(MODEL, data, target)
        if recovered:
            wishes = Wishes(methods=("ranges", "second_order"))
            recover(MODEL, data, target, folder, Settings(), wishes)
            origin = Origin(Path(folder))
        row = verify(origin, name, others).row
    cells = [_figure(row["sqnr_db_vs_simulation"]), *_kernels(row)]
    cells += [f"{row[key]['agreement']:.3f}" for key in ("simulation_vs_float", "vs_float")]
    first = row["first_deviation"] if row["kernels"] is None else row["kernels"]["first_deviation"]
    cells.append("none" if first is None else first["text"])
    return f"| {name} {row['version']} | {plan} | " + " | ".join(cells) + " |"


def _kernels(row: dict[str, Any]) -> list[str]:
    kernels = row["kernels"]
    if kernels is None:
        return ["not known", ""]
    equal = f"{kernels['tensors_equal']} of {row['tensors_compared']}"
    return [_figure(kernels["sqnr_db"]), equal]


def _figure(decibels: float | None) -> str:
    return "equal" if decibels is None else f"{decibels:.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="onnxruntime,openvino,qnn-htp")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--calibration", type=int, default=32)
    parser.add_argument("--recovered", action="store_true", help="verify what recover made")
    return parser.parse_args()


if __name__ == "__main__":
    main()
