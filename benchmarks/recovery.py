"""Recovery on EfficientNet-Lite0: figures on photographs that neither worked nor judged, and time.

Run ``python benchmarks/prepare.py`` first. Prints the tables of docs/benchmarks.md::

    python benchmarks/recovery.py [--targets snpe,tensorrt,qnn-htp,w4a8] [--budget 5m]
                                  [--methods ...] [--seed 0] [--calibration 128]
                                  [--evaluation 328]
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
from lostbits.api import Wishes, recover
from lostbits.goal import seconds
from lostbits.grid import Grid
from lostbits.recovery import Effort
from lostbits.runtime.measure import Comparison
from lostbits.target import Target
from lostbits.targets import target

FOLDER = Path(__file__).parents[1] / "build" / "bench"
MODEL, DATA, OTHERS = (
    FOLDER / name for name in ("efficientnet_lite0.onnx", "calibration.npy", "evaluation.npy")
)


def w4a8() -> Target:
    """int4 weights, one scale a channel; activations as on the HTP."""
    base = target("qnn-htp")
    weights = replace(base.weights, grid=Grid.of(4, signed=True), symmetric=True, per_channel=True)
    return replace(base, name="w4a8", title="4-bit weights", weights=weights)


def main() -> None:
    """Recover for each target and compare on the evaluation photographs."""
    arguments = _arguments()
    print("| target | SQNR dB before | after | agreement before | after | floor dB | s | tried |")
    print("|---|---|---|---|---|---|---|---|")
    data = np.load(DATA)[: arguments.calibration]
    others = np.load(OTHERS, mmap_mode="r")[: arguments.evaluation]
    for name in arguments.targets.split(","):
        print(_row(name, data, others, arguments), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", default="snpe,tensorrt,qnn-htp,w4a8")
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--methods", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calibration", type=int, default=128)
    parser.add_argument("--evaluation", type=int, default=328)
    return parser.parse_args()


def _row(name: str, data: Any, others: Any, arguments: argparse.Namespace) -> str:
    chosen = w4a8() if name == "w4a8" else target(name)
    methods = tuple(m for m in arguments.methods.split(",") if m)
    effort = Effort(seed=arguments.seed)
    wishes = Wishes(budget=seconds(arguments.budget), methods=methods, effort=effort)
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        result = recover(MODEL, data, chosen, out, lostbits.Settings(), wishes)
        wall = time.perf_counter() - start
        after = _compared(Path(out) / "quantized.onnx", others)
    found = result["recovered"]
    tried = ", ".join(
        f"{'' if r['kept'] else 'not '}{r['method']} {r['gain_db']:+.1f} "
        f"(predicted {r['predicted_gain_db']:+.1f}, {r['seconds']:.0f} s)"
        for r in result["ledger"]
    )
    return (
        f"| {name} | {found['before']['sqnr_db']:.1f} | {after.sqnr_db:.1f} | "
        f"{found['before']['agreement']:.3f} | {after.agreement:.3f} | "
        f"{found['floors_db']['weights_in_float']:.1f} | {wall:.0f} | {tried}; {found['stopped']} |"
    )


def _compared(quantized: Path, others: Any) -> Any:
    """Figures of the exported file in ONNX Runtime, graph optimisations off."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    plain = ort.InferenceSession(str(MODEL), providers=providers)
    exported = ort.InferenceSession(str(quantized), options, providers=providers)
    comparison, name = Comparison(), plain.get_inputs()[0].name
    for first in range(0, len(others), 8):
        part = np.ascontiguousarray(others[first : first + 8])
        wanted, found = ([s.run(None, {name: part})[0]] for s in (plain, exported))
        comparison.update(wanted, found, first, len(part))
    return comparison.baseline(["logits"])


if __name__ == "__main__":
    main()
