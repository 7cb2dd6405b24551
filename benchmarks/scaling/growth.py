"""Seconds of every stage while the depth and the number of samples double."""

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import lostbits
from benchmarks.prepared import BENCH
from benchmarks.results import Rows, recorded
from benchmarks.scaling.nets import blocks, noise
from benchmarks.scaling.workers import TARGET
from benchmarks.table import Column
from lostbits.runtime.float_reference import open_reference
from lostbits.runtime.session import Session

DEPTHS, COUNTS = (8, 16, 32), (64, 128, 256)
STAGES = ("calibrate", "diagnose", "explain")
_COLUMNS = (
    Column("blocks"),
    Column("samples"),
    Column("float inference", "s", ".2f"),
    *(Column(stage, "s", ".2f") for stage in STAGES),
)
_EXPONENTS = (Column("exponent of the time in"), *(Column(stage, "", ".2f") for stage in STAGES))
Times = dict[tuple[int, int], dict[str, float]]


def growth(plot: Path | None, save: bool) -> None:
    """One process, one thread; exponents are those of the last time over the first."""
    cases = [(depth, COUNTS[0]) for depth in DEPTHS] + [(DEPTHS[0], n) for n in COUNTS[1:]]
    n = "one run each, blocks of 64 x 64 x 32"
    with recorded("growth", _COLUMNS, n=n, keys=2, save=save) as rows:
        times = {case: _row(rows, *case) for case in cases}
    with recorded("growth_exponents", _EXPONENTS, n="these runs", save=save) as rows:
        for name, (xs, series) in zip(("depth", "samples"), _series(times), strict=True):
            rows.add(name, *(_exponent(xs, [each[stage] for each in series]) for stage in STAGES))
    if plot is not None:
        _plot(times, plot)


def _row(rows: Rows, depth: int, samples: int) -> dict[str, float]:
    network, images = blocks(depth, BENCH / f"blocks{depth}.onnx"), noise(samples)
    _stages(network, images[:16])  # imports, first pages of memory
    stages = _stages(network, images)
    times = {"float inference": _inference(network, images)}
    times |= {name: stages[name] for name in STAGES}
    rows.add(depth, samples, *times.values())
    return times


def _stages(network: Path, images: np.ndarray) -> dict[str, float]:
    return lostbits.diagnose(lostbits.load(network, images, TARGET, threads=1)).seconds


def _series(times: Times) -> list[tuple[list[int], list[dict[str, float]]]]:
    """The times along the depth, and those along the number of samples."""
    return [
        (list(DEPTHS), [times[depth, COUNTS[0]] for depth in DEPTHS]),
        (list(COUNTS), [times[DEPTHS[0], count] for count in COUNTS]),
    ]


def _exponent(xs: list[int], times: list[float]) -> float:
    """From the first to the last: 1 is linear."""
    return float(np.log(times[-1] / times[0]) / np.log(xs[-1] / xs[0]))


def _plot(times: Times, path: Path) -> None:
    """Both series beside each other, on axes where a straight line through the corner is linear."""
    pyplot: Any = import_module("matplotlib.pyplot")  # the tables need no library for charts

    pyplot.rcParams["svg.hashsalt"] = "lostbits"
    figure, pair = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, (xs, series), name in zip(pair, _series(times), ("blocks", "samples"), strict=True):
        for stage in series[0]:
            axes.plot(xs, [each[stage] for each in series], marker="o", label=stage)
        axes.set(xlabel=name, xlim=(0, None), ylim=(0, None), xticks=xs)
        axes.grid(alpha=0.3)
    pair[0].set_ylabel("seconds")
    pair[1].legend(loc="upper left")
    figure.savefig(path, metadata={"Date": None})


def _inference(network: Path, images: np.ndarray) -> float:
    session = Session(open_reference(network).model, threads=1)
    start = time.perf_counter()
    for first in range(0, len(images), 8):
        session.run({"image": images[first : first + 8]})
    return time.perf_counter() - start
