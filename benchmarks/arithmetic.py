"""EfficientNet-Lite0 in the arithmetic of kernels: what it costs, and whether the shares add up.

Run ``python -m benchmarks.prepare`` first::

    python -m benchmarks.arithmetic [--samples 8] [--targets qnn-htp,onnxruntime]
                                    [--only x86-avx2,truncating] [--save]
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from benchmarks.prepared import EFFICIENTNET, EVALUATION
from benchmarks.results import parser, recorded
from benchmarks.table import Column
from lostbits import Arithmetic, diagnose, find_arithmetic, load

_VNNI = find_arithmetic("x86-vnni")
ARITHMETICS: tuple[Arithmetic | None, ...] = (
    None,
    _VNNI,
    find_arithmetic("x86-avx2"),
    find_arithmetic("tflite"),
    find_arithmetic("htp"),
    replace(_VNNI, name="sums-20", accumulator_bits=20, overflow="saturate"),
    replace(_VNNI, name="sums-16", accumulator_bits=16, overflow="saturate"),
    replace(_VNNI, name="truncating", requantization="fixed", rounding="floor", addition="fixed"),
)
COLUMNS = (
    Column("target"),
    Column("arithmetic"),
    Column("output", "dB", ".2f"),
    Column("accumulate", "of the error", ".3f"),
    Column("layers that overflow"),
    Column("residual", "", "+.4f"),
    Column("time", "s", ".0f"),
)


def main() -> None:
    """Diagnose in every arithmetic, a row for each."""
    arguments = _arguments()
    data = np.array(np.load(EVALUATION, mmap_mode="r")[: arguments.samples])
    n = f"{len(data)} photographs"
    with recorded("arithmetic", COLUMNS, n=n, keys=2, save=arguments.save) as rows:
        for target in arguments.targets.split(","):
            for own in _chosen(arguments.only):
                start = time.perf_counter()
                found = diagnose(load(EFFICIENTNET, data, target, arithmetic=own))
                shares = [a.share for a in found.network.attributions if a.cause == "accumulate"]
                layers = 0 if found.arithmetic is None else len(found.arithmetic.layers)
                name = "ideal sums" if own is None else own.name
                figures = found.baseline.sqnr_db, sum(shares), layers, found.network.residual
                rows.add(target, name, *figures, time.perf_counter() - start)


def _chosen(names: str) -> list[Arithmetic | None]:
    """All of them, or those that were named; ``ideal`` for ideal sums."""
    wanted = set(names.split(",")) if names else None
    known = {"ideal" if own is None else own.name: own for own in ARITHMETICS}
    return [own for name, own in known.items() if wanted is None or name in wanted]


def _arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=8)
    options.add_argument("--targets", default="qnn-htp")
    options.add_argument("--only", default="", help="arithmetics, by name")
    return options.parse_args()


if __name__ == "__main__":
    main()
