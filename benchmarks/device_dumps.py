"""Dumps of runtimes that run here, read by ``verify --dumps``: what is compared, and what differs.

A runtime that is not installed is reported as such::

    python -m benchmarks.device_dumps [--backends onnxruntime,openvino,qnn-htp] [--samples 8]
                                      [--save]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Column
from lostbits import Case, load, verify
from lostbits.backend import Backend
from lostbits.backends import backend
from lostbits.data import open_source
from lostbits.exporter import one_file, serialized
from lostbits.exporters import exporter
from lostbits.graph.qdq_view import tapped, taps_of
from lostbits.runtime.float_reference import input_specs
from lostbits.verbs.demo import demo_files
from lostbits.verbs.quantized_file import graph_of, in_float32

TARGETS = {"openvino": "openvino", "qnn-htp": "qnn-htp"}
COLUMNS = (
    Column("runtime"),
    Column("version"),
    Column("dumped tensors"),
    Column("compared"),
    Column("of the plan"),
    Column("most codes off"),
    Column("explanation of the first"),
)


def main() -> None:
    """Dump and compare on every runtime, a row for each."""
    arguments = _arguments()
    files = demo_files()
    data = np.load(files["data"])
    samples = {name: data[name][: arguments.samples] for name in data.files}
    n = f"{arguments.samples} digits"
    with recorded("device_dumps", COLUMNS, n=n, save=arguments.save) as rows:
        for name in arguments.backends.split(","):
            if backend(name).installed():
                target = TARGETS.get(name, "onnxruntime")
                case = load(files["model"], str(files["calibration"]), target)
                _add(rows, backend(name), case, samples)
            else:
                rows.remark(f"{name} is not installed")


def _add(rows: Rows, runtime: Backend, case: Case, samples: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _dump(runtime, case, samples, Path(folder))
        found = verify(case, data=samples, dumps=folder)
    first = found.first_deviation
    rows.add(
        runtime.name,
        runtime.version(),
        found.tensors_dumped,
        found.tensors_compared,
        found.tensors_planned,
        max((row.codes or 0.0 for row in found.tensors), default=0.0),
        "none differs" if first is None else first.explanation,
    )
    for problem in found.problems:
        rows.remark(f"{runtime.name}: {problem}")
    if first is not None:
        rows.remark(f"{runtime.name}: {first.text}")


def _dump(runtime: Backend, case: Case, samples: Any, folder: Path) -> None:
    """Every tensor that the runtime has in integers, a file a run, by the names of its file."""
    content = in_float32(one_file(exporter(runtime.format).write(case)))
    file = graph_of(content)
    loaded = runtime.open(serialized(tapped(file, taps_of(file.graph))))
    for number, part in enumerate(open_source(samples, input_specs(case.model)).batches(1)):
        place = folder / f"Result_{number}"
        place.mkdir()
        values: dict[str, Any] = dict(loaded.run(part.feeds))
        np.savez(place / "tensors.npz", **values)


def _arguments() -> argparse.Namespace:
    command = parser(__doc__)
    command.add_argument("--backends", default="onnxruntime,openvino,qnn-htp")
    command.add_argument("--samples", type=int, default=8)
    return command.parse_args()


if __name__ == "__main__":
    main()
