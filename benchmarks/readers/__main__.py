"""Independent readers of our files: AIMET of encodings, Model Optimizer of calibration caches.

Run ``python -m benchmarks.prepare`` and ``python -m benchmarks.environments peers modelopt``
first::

    python -m benchmarks.readers [--samples 8] [--calibration 32] [--save]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import lostbits
from benchmarks.peers.job import Floats
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION
from benchmarks.readers.compare import by_aimet, by_modelopt, on_grid
from benchmarks.results import parser, recorded
from benchmarks.table import Column
from lostbits.graph.qdq_view import taps_of

FORMATS = {"encodings-0.6.1": "snpe", "encodings-1.0.0": "qnn-htp", "encodings-2.0.0": "qnn-htp"}
AIMET = (
    Column("file"),
    Column("target"),
    Column("tensors"),
    Column("equal"),
    Column("one layer at a time", "codes", ".0f"),
    Column("values that differ", "", ".1e"),
    Column("whole network", "codes", ".0f"),
    Column("values that differ", "", ".1e"),
)
MODELOPT = (
    Column("file"),
    Column("scales written"),
    Column("read"),
    Column("all equal"),
    Column("activations quantized"),
    Column("with our scale"),
)


def main() -> None:
    """EfficientNet-Lite0 through every reader."""
    words = parser(__doc__)
    words.add_argument("--samples", type=int, default=8)
    words.add_argument("--calibration", type=int, default=32)
    arguments = words.parse_args()
    ranges = np.array(np.load(CALIBRATION, mmap_mode="r")[: arguments.calibration])
    data = np.array(np.load(EVALUATION, mmap_mode="r")[: arguments.samples])
    with tempfile.TemporaryDirectory() as folder:
        aimet(ranges, data, Path(folder), arguments.save)
        modelopt(ranges, data, Path(folder), arguments.save)


def aimet(ranges: Floats, data: Floats, scratch: Path, save: bool) -> None:
    """Encodings in each form, with weights as they are and on their grid."""
    n = f"ranges of {len(ranges)} photographs, {len(data)} others compared"
    with recorded("readers_aimet", AIMET, n=n, keys=2, save=save) as rows:
        for form, name in FORMATS.items():
            case = lostbits.load(EFFICIENTNET, ranges, name)
            for title, each in ((form, case), (f"{form}, weights on their grid", on_grid(case))):
                d = by_aimet(each, form, data, scratch)
                own, whole = (d.own, d.own_share), (d.whole, d.share)
                rows.add(title, name, d.tensors, d.equal, *own, *whole)


def modelopt(ranges: Floats, data: Floats, scratch: Path, save: bool) -> None:
    """The calibration cache of TensorRT."""
    case = lostbits.load(EFFICIENTNET, ranges, "tensorrt")
    scales, quantized = by_modelopt(case, data, scratch)
    plan = {s.tensor: float(case.plan[s.key].scale) for s in case.sites if s.streams}
    read = {name.removesuffix("_scale"): scale for name, scale in scales.items()}
    used = {tap.tensor: float(tap.scale) for tap in taps_of(quantized.graph)}
    same = sum(used[tensor] == plan.get(tensor) for tensor in used)
    n = f"ranges of {len(ranges)} photographs"
    with recorded("readers_modelopt", MODELOPT, n=n, save=save) as rows:
        equal = "yes" if read == plan else "no"
        rows.add("tensorrt-cache", len(plan), len(read), equal, len(used), same)


if __name__ == "__main__":
    main()
