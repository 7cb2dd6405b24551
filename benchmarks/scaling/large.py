"""A model of 3 GiB under a bound of 4 GiB: what was estimated, and what was measured."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prepared import BENCH
from benchmarks.results import Rows, recorded
from benchmarks.scaling.nets import WIDE, large
from benchmarks.scaling.workers import TARGET
from benchmarks.table import Column

BOUND, SAMPLES = "4GiB", 32
_COLUMNS = (
    Column("verb"),
    Column("samples"),
    Column("estimate", "MiB", ".0f"),
    Column("measured", "MiB", ".0f"),
    Column("with mapped files", "MiB", ".0f"),
    Column("time", "s", ".0f"),
)


def large_model(count: int, save: bool) -> None:
    """A diagnosis and a recovery, as users run them."""
    network = BENCH / f"large{count}.onnx"
    if not network.exists():
        large(count, network)
    random = np.random.default_rng(1)
    np.save(BENCH / "vectors.npy", random.standard_normal((SAMPLES, WIDE), np.float32))
    size = network.with_suffix(".data").stat().st_size / 2**30
    n = f"one run each, {size:.2f} GiB, --memory {BOUND}, {TARGET}"
    with recorded("large", _COLUMNS, n=n, save=save) as rows:
        _bounded(rows, "diagnose", network, 8)
        recovered = _bounded(rows, "recover", network, SAMPLES, "--methods", "bias_correction")
        before, after = (recovered["recovered"][key]["sqnr_db"] for key in ("before", "after"))
        rows.remark(f"Recovered by bias correction: SQNR {before:.2f} dB, then {after:.2f} dB.")


def _bounded(rows: Rows, verb: str, network: Path, samples: int, *more: str) -> dict[str, Any]:
    """Run a verb as its users do, and add what it took."""
    data, out = BENCH / "vectors.npy", BENCH / f"large-{verb}"
    command = ["lostbits", verb, network, "--data", data, "--samples", samples, "--memory", BOUND]
    command += ["--target", TARGET, "--format", "json", "--out", out, "--quiet", *more]
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    took, whole = result["memory"], result["peak_memory_bytes"]
    sizes = (took["estimate_bytes"], took["peak_bytes"], whole)
    rows.add(verb, samples, *(size / 2**20 for size in sizes), seconds)
    return result
