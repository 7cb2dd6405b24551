"""What a diagnosis costs, fitted to runs on EfficientNet-Lite0, and what that predicts.

Run ``python -m benchmarks.prepare`` first::

    python -m benchmarks.cost_model [--fit 64,256] [--check 128] [--save]

Each stage is taken to last ``t + a n / w + b n`` seconds for n samples and w workers of one
thread, and ``p`` more where there are several: t is start-up, p that of workers, a what they share,
b what the driver does by itself for every sample. That one is measured: reading and hashing a
sample, and taking in what a task of the calibration sends back. The other three are fitted to runs
with one and with two workers, by least squares of the relative error; a run which the fit has not
seen says how far it can be trusted. Bytes are counted.
"""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

import lostbits
from benchmarks.prepared import EFFICIENTNET, MANY
from benchmarks.results import parser, recorded
from benchmarks.table import Column
from lostbits.data import open_source
from lostbits.graph.instrument import with_outputs
from lostbits.graph.place import place
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.runtime.session import Session
from lostbits.statistics import Tally
from lostbits.targets import target

TARGET = "snpe"
STAGES = ("calibrate", "diagnose", "explain")
TASK = 256  # samples of a task of the calibration, where there are thousands
IMAGES, NODES, CORES = 1_000_000, 100, 16


@dataclass(frozen=True)
class Fit:
    """Seconds of a stage: to start, also workers; of a worker a sample, and of the driver."""

    start: float
    workers: float
    shared: float
    alone: float

    def seconds(self, samples: int, workers: int) -> float:
        """Return what the model says."""
        start = self.start + (self.workers if workers > 1 else 0.0)
        return start + self.shared * samples / workers + self.alone * samples


def measured(samples: int, workers: int) -> dict[str, float]:
    """Return the seconds of every stage of one diagnosis."""
    options: dict[str, Any] = {"samples": samples, "workers": workers, "threads": 1}
    return lostbits.diagnose(lostbits.load(EFFICIENTNET, MANY, TARGET, **options)).seconds


def fitted(runs: dict[tuple[int, int], dict[str, float]], stage: str, alone: float) -> Fit:
    """Return the three terms that are fitted, none of them negative, beside the measured one."""
    seconds = np.array([run[stage] for run in runs.values()])
    rest = seconds - alone * np.array([n for n, _ in runs])
    terms = np.array([[1.0, w > 1, n / w] for n, w in runs])
    found = lsq_linear(terms / seconds[:, None], rest / seconds, bounds=(0, np.inf))
    start, workers, shared = (float(v) for v in found.x)
    return Fit(start, workers, shared, alone)


def inference() -> float:
    """Return the seconds of a float inference of one sample, on one thread, at best."""
    session = Session(open_reference(EFFICIENTNET).model, threads=1)
    images = np.load(MANY, mmap_mode="r")
    feeds = {session_input(): np.ascontiguousarray(images[:8])}
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        session.run(feeds)
        best = min(best, time.perf_counter() - start)
    return best / 8


def session_input() -> str:
    """Return the name of the network's input."""
    return open_reference(EFFICIENTNET).model.graph.inputs[0].name or ""


def sent_back() -> bytes:
    """Return what a task of the calibration sends back."""
    model, images = open_reference(EFFICIENTNET).model, np.load(MANY, mmap_mode="r")
    sites = [s for s in place(model, target(TARGET)).sites if s.streams]
    feeds = {session_input(): np.ascontiguousarray(images[:32])}
    values = feeds | Session(with_outputs(model, [s.tensor for s in sites])).run(feeds)
    return pickle.dumps({s.key: Tally(s.axis).update(values[s.tensor]) for s in sites}, 5)


def driver_seconds(sent: bytes) -> tuple[float, float]:
    """Return what the driver takes to hash a sample, and to merge what a task sends back."""
    total, start = pickle.loads(sent), time.perf_counter()
    for _ in range(10):
        for key, tally in pickle.loads(sent).items():
            total[key].merge(tally)
    merge = (time.perf_counter() - start) / 10
    source = open_source(MANY, input_specs(open_reference(EFFICIENTNET).model)).slice(0, 256)
    start = time.perf_counter()
    source.fingerprint()
    return (time.perf_counter() - start) / 256, merge


def main() -> None:
    """Measure, fit, check, predict."""
    words = parser(__doc__)
    words.add_argument("--fit", default="64,256", help="samples of the runs to fit")
    words.add_argument("--check", type=int, default=128, help="samples of the run to check by")
    arguments = words.parse_args()
    measured(16, 1)  # imports, first pages of memory
    unit, save = inference(), arguments.save
    runs = _runs([int(n) for n in arguments.fit.split(",")], save)
    alone = {"calibrate": _parts(unit, sent_back(), save)}
    fits = {stage: fitted(runs, stage, alone.get(stage, 0.0)) for stage in STAGES}
    _fits(fits, unit, save)
    _check(fits, arguments.check, save)
    _prediction(fits, save)


def _runs(counts: list[int], save: bool) -> dict[tuple[int, int], dict[str, float]]:
    columns = (Column("samples"), Column("workers"), *(Column(s, "s", ".1f") for s in STAGES))
    runs = {}
    with recorded("cost_runs", columns, n="one run each", keys=2, save=save) as rows:
        for workers, samples in product((1, 2), counts):
            runs[samples, workers] = run = measured(samples, workers)
            rows.add(samples, workers, *(run[stage] for stage in STAGES))
    return runs


def _parts(unit: float, sent: bytes, save: bool) -> float:
    """Record what is measured by itself; return what a sample costs the driver."""
    hashed, merge = driver_seconds(sent)
    columns = (Column("part"), Column("figure", "", ".3g"), Column("unit"))
    n = "best of ten inferences, ten merges, 256 hashes"
    with recorded("cost_parts", columns, n=n, save=save) as rows:
        rows.add("float inference of a sample, one thread", 1e3 * unit, "ms")
        rows.add("reading and hashing a sample, driver", 1e3 * hashed, "ms")
        rows.add("merging what a task has counted, driver", 1e3 * merge, "ms")
        rows.add(f"sent back by a task of {TASK} samples", len(sent) / 1e6, "MB")
        rows.add(f"sent back for {IMAGES:,} images", len(sent) * -(-IMAGES // TASK) / 1e9, "GB")
    return hashed + merge / TASK


def _fits(fits: dict[str, Fit], unit: float, save: bool) -> None:
    columns = (
        Column("stage"),
        Column("`t`", "s", ".1f"),
        Column("`p`", "s", ".1f"),
        Column("`a`", "ms a sample", ".1f"),
        Column("`a` in inferences", "", ".1f"),
        Column("`b`", "ms a sample", ".2f"),
    )
    with recorded("cost_fit", columns, n="least squares of these runs", save=save) as rows:
        for stage, fit in fits.items():
            shared = (1e3 * fit.shared, fit.shared / unit)
            rows.add(stage, fit.start, fit.workers, *shared, 1e3 * fit.alone)


def _check(fits: dict[str, Fit], samples: int, save: bool) -> None:
    columns = (Column("stage"), Column("predicted", "s", ".1f"), Column("measured", "s", ".1f"))
    run, n = measured(samples, 2), f"one run, {samples} samples, two workers"
    with recorded("cost_check", columns, n=n, save=save) as rows:
        for stage, fit in fits.items():
            rows.add(stage, fit.seconds(samples, 2), run[stage])


def _prediction(fits: dict[str, Fit], save: bool) -> None:
    workers = NODES * CORES
    titles = ("one worker", f"all {workers:,}", "of it the driver alone")
    columns = (Column("stage"), *(Column(title, "min", ",.4g") for title in titles))
    n = f"{IMAGES:,} images, {NODES} nodes of {CORES} cores, by the fit"
    with recorded("cost_prediction", columns, n=n, save=save) as rows:
        for stage, fit in fits.items():
            times = fit.seconds(IMAGES, 1), fit.seconds(IMAGES, workers), fit.alone * IMAGES
            rows.add(stage, *(seconds / 60 for seconds in times))


if __name__ == "__main__":
    main()
