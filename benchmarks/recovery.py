"""Recovery on EfficientNet-Lite0: figures on unseen photographs, also of another kind, and time.

Run ``python -m benchmarks.prepare`` first::

    python -m benchmarks.recovery [--targets snpe,tensorrt,qnn-htp,w4a8] [--budget 5m]
                                  [--methods ...] [--seed 0] [--calibration 128]
                                  [--evaluation 328] [--save]
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

import lostbits
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION, SHIFTED
from benchmarks.results import parser, recorded
from benchmarks.table import Cell, Column
from lostbits import Recovery
from lostbits.grid import Grid
from lostbits.runtime.metrics import Comparison
from lostbits.target import Target
from lostbits.targets import target

TITLES = {"w4a8": "4-bit weights per channel"}
COLUMNS = (
    Column("target"),
    Column("options"),
    Column("SQNR before", "dB", ".1f"),
    Column("after", "dB", ".1f"),
    Column("agreement before", "", ".3f"),
    Column("after", "", ".3f"),
    Column("on white", "dB", ".1f"),
    Column("agreement on white", "", ".3f"),
    Column("activations alone", "dB", ".1f"),
    Column("time", "s", ".0f"),
    Column("attempts"),
)


def w4a8() -> Target:
    """int4 weights, one scale a channel; activations as on the HTP."""
    base = target("qnn-htp")
    weights = replace(base.weights, grid=Grid.of(4, signed=True), symmetric=True, per_channel=True)
    return replace(base, name="w4a8", title="4-bit weights", weights=weights)


def main() -> None:
    """Recover for each target and compare on the evaluation photographs."""
    words = parser(__doc__)
    words.add_argument("--targets", default="snpe,tensorrt,qnn-htp,w4a8")
    words.add_argument("--budget", default="5m")
    words.add_argument("--methods", default="")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--calibration", type=int, default=128)
    words.add_argument("--evaluation", type=int, default=328)
    arguments = words.parse_args()
    data = np.load(CALIBRATION)[: arguments.calibration]
    others = np.load(EVALUATION, mmap_mode="r")[: arguments.evaluation]
    n = f"{len(data)} photographs to work on, {len(others)} others judged, and 160 on white"
    with recorded("recovery", COLUMNS, n=n, keys=2, save=arguments.save) as rows:
        for name in arguments.targets.split(","):
            told = _told(arguments)
            rows.add(TITLES.get(name, name), told, *_cells(name, data, others, arguments))


def _told(arguments: argparse.Namespace) -> str:
    """The options of ``lostbits recover`` that a row is of."""
    told = [f"--budget {arguments.budget}"]
    told += [f"--methods={arguments.methods}"] * bool(arguments.methods)
    told += [f"--seed {arguments.seed}"] * bool(arguments.seed)
    return " ".join(told)


def _cells(name: str, data: Any, others: Any, arguments: argparse.Namespace) -> tuple[Cell, ...]:
    chosen = w4a8() if name == "w4a8" else target(name)
    methods = tuple(m for m in arguments.methods.split(",") if m)
    told: dict[str, Any] = {"budget": arguments.budget, "seed": arguments.seed}
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        case = lostbits.load(EFFICIENTNET, data, chosen, hold_out=True)
        result = lostbits.recover(case, methods=methods, out=out, **told)
        wall = time.perf_counter() - start
        after = _compared(Path(out) / "quantized.onnx", others)
        white = _compared(Path(out) / "quantized.onnx", np.load(SHIFTED, mmap_mode="r"))
    before, floors = result.before, result.outcome.floors_db
    sqnr, agreement = (before.sqnr_db, after.sqnr_db), (before.agreement, after.agreement)
    shifted = white.sqnr_db, white.agreement
    return *sqnr, *agreement, *shifted, floors["weights_in_float"], wall, _attempts(result)


def _attempts(result: Recovery) -> str:
    """Gains in dB, what was predicted, and seconds; and why it stopped."""
    tried = [
        f"{'' if r.kept else 'not '}{r.method} {r.gain_db:+.1f} "
        f"(predicted {r.predicted_gain_db:+.1f}, {r.seconds:.0f} s)"
        for r in result.ledger
    ]
    return "; ".join([", ".join(tried), str(result.outcome.stopped)])


def _compared(quantized: Path, others: Any) -> Any:
    """Figures of the exported file in ONNX Runtime, graph optimisations off."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    plain = ort.InferenceSession(str(EFFICIENTNET), providers=providers)
    exported = ort.InferenceSession(str(quantized), options, providers=providers)
    comparison, name = Comparison(), plain.get_inputs()[0].name
    for first in range(0, len(others), 8):
        part = np.ascontiguousarray(others[first : first + 8])
        wanted, found = ([s.run(None, {name: part})[0]] for s in (plain, exported))
        comparison.update(wanted, found, range(first, first + len(part)))
    return comparison.baseline(["logits"])


if __name__ == "__main__":
    main()
