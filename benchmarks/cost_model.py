"""What a diagnosis costs, fitted to runs on EfficientNet-Lite0, and what that predicts.

Run ``python benchmarks/prepare.py`` first. Prints the figures of docs/scaling.md::

    python benchmarks/cost_model.py [--fit 48,96,144] [--check 192]

Each stage is taken to last ``t + a n / w + b n`` seconds for n samples and w workers of one
thread, and ``p`` more where there are several: t is start-up, p that of workers, a what they share,
b what the driver does by itself for every sample. That one is measured: reading and hashing a
sample, and taking in what a task of the calibration sends back. The other three are fitted to runs
with one and with two workers, by least squares of the relative error; a run which the fit has not
seen says how far it can be trusted. Bytes are counted.
"""

from __future__ import annotations

import argparse
import pickle
import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

import lostbits
from lostbits.data import open_source
from lostbits.diagnoses.settings import Settings
from lostbits.graph.instrument import with_outputs
from lostbits.graph.place import place
from lostbits.runtime.pool import Resources
from lostbits.runtime.reference import input_specs, open_reference
from lostbits.runtime.session import Session
from lostbits.statistics import Tally
from lostbits.targets import target
from scaling import DATA, MODEL, TARGET

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
    settings = Settings(samples=samples, resources=Resources(workers=workers, threads=1))
    return dict(lostbits.diagnose(MODEL, DATA, TARGET, settings)["seconds"])


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
    session, images = Session(open_reference(MODEL).model, threads=1), np.load(DATA, mmap_mode="r")
    feeds = {session_input(): np.ascontiguousarray(images[:8])}
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        session.run(feeds)
        best = min(best, time.perf_counter() - start)
    return best / 8


def session_input() -> str:
    """Return the name of the network's input."""
    return open_reference(MODEL).model.graph.inputs[0].name or ""


def sent_back() -> bytes:
    """Return what a task of the calibration sends back."""
    model, images = open_reference(MODEL).model, np.load(DATA, mmap_mode="r")
    sites = [s for s in place(model, target(TARGET)).sites if s.streams]
    feeds = {session_input(): np.ascontiguousarray(images[:32])}
    values = feeds | Session(with_outputs(model, [s.tensor for s in sites])).run(feeds)
    return pickle.dumps({s.key: Tally(s.axis).update(values[s.tensor]) for s in sites}, 5)


def driver_seconds(sent: bytes) -> float:
    """Return what a sample of a calibration costs the driver: its hash, its part of a merge."""
    total, start = pickle.loads(sent), time.perf_counter()
    for _ in range(10):
        for key, tally in pickle.loads(sent).items():
            total[key].merge(tally)
    merge = (time.perf_counter() - start) / 10
    source = open_source(DATA, input_specs(open_reference(MODEL).model)).slice(0, 256)
    start = time.perf_counter()
    source.fingerprint()
    hashed = (time.perf_counter() - start) / 256
    print(f"The driver hashes a sample in {1e3 * hashed:.2f} ms", end=", ")
    print(f"and merges a task in {1e3 * merge:.0f} ms.")
    return hashed + merge / TASK


def main() -> None:
    """Measure, fit, check, predict."""
    arguments = _arguments()
    counts = [int(n) for n in arguments.fit.split(",")]
    measured(16, 1)  # imports, first pages of memory
    unit = inference()
    print(f"Float inference, one thread: {1e3 * unit:.1f} ms a photograph.\n")
    print("| samples | workers | " + " | ".join(f"{s}, s" for s in STAGES) + " |")
    print("|---|---|---|---|---|", flush=True)
    runs = {(n, w): _shown(n, w) for w in (1, 2) for n in counts}
    sent = sent_back()
    print()
    alone = {"calibrate": driver_seconds(sent)}
    fits = {stage: fitted(runs, stage, alone.get(stage, 0.0)) for stage in STAGES}
    _print_fits(fits, unit)
    _print_check(fits, arguments.check)
    _print_prediction(fits, len(sent))


def _shown(samples: int, workers: int) -> dict[str, float]:
    run = measured(samples, workers)
    cells = " | ".join(f"{run[stage]:.1f}" for stage in STAGES)
    print(f"| {samples} | {workers} | {cells} |", flush=True)
    return run


def _print_fits(fits: dict[str, Fit], unit: float) -> None:
    print("\n| stage | start, s | of workers, s | shared, ms | in inferences | driver, ms |")
    print("|---|---|---|---|---|---|")
    for stage, fit in fits.items():
        cells = f"{1e3 * fit.shared:.1f} | {fit.shared / unit:.1f} | {1e3 * fit.alone:.2f}"
        print(f"| {stage} | {fit.start:.1f} | {fit.workers:.1f} | {cells} |")


def _print_check(fits: dict[str, Fit], samples: int) -> None:
    print("\n| samples | workers | stage | predicted, s | measured, s |\n|---|---|---|---|---|")
    run = measured(samples, 2)
    for stage, fit in fits.items():
        print(f"| {samples} | 2 | {stage} | {fit.seconds(samples, 2):.1f} | {run[stage]:.1f} |")


def _print_prediction(fits: dict[str, Fit], size: int) -> None:
    workers = NODES * CORES
    print(f"\n{IMAGES:,} images, {NODES} nodes of {CORES} cores of this kind:\n")
    print("| stage | one worker | all | of it the driver alone |\n|---|---|---|---|")
    for stage, fit in fits.items():
        times = fit.seconds(IMAGES, 1), fit.seconds(IMAGES, workers), fit.alone * IMAGES
        print(f"| {stage} | " + " | ".join(f"{t / 60:,.1f} min" for t in times) + " |")
    total = size * -(-IMAGES // TASK)
    print(f"\nStatistics sent back: {size / 1e6:.1f} MB a task, {total / 1e9:,.0f} GB in all.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", default="48,96,144", help="samples of the runs to fit")
    parser.add_argument("--check", type=int, default=192, help="samples of the run to check by")
    return parser.parse_args()


if __name__ == "__main__":
    main()
