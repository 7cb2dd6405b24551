"""More workers, more data, deeper networks: how time and memory grow.

Run ``python benchmarks/prepare.py`` first, for EfficientNet-Lite0 and the photographs; the rest
needs nothing. Prints the tables of docs/scaling.md::

    python benchmarks/scaling.py [--only workers,growth,memory,large] [--samples 128] [--most 4096]
                                 [--stages calibration,diagnosis,reconstruction] [--repeats 3]
                                 [--plot docs/images/growth.svg]

``large`` runs only where it is named: it takes half an hour and 14 GB of disk.

Times are those of this machine at this moment, and ratios of them mean something only where
nothing else runs on it. Every worker has one thread, so that two of them are two cores.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np

import lostbits
from lostbits.api import build_case
from lostbits.case import Case
from lostbits.data import Preprocess, Source, open_source
from lostbits.diagnoses.run import Run
from lostbits.diagnoses.settings import Settings
from lostbits.diagnosis import NetworkReport
from lostbits.graph.place import place
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import Diagnosed, Effort
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.checkpoint import Folding
from lostbits.runtime.pool import Pool, Resources
from lostbits.runtime.pools import Processes, pool
from lostbits.runtime.progress import silent
from lostbits.runtime.reference import input_specs, open_reference
from lostbits.runtime.session import Session
from lostbits.runtime.threads import limit
from lostbits.targets import target
from scaling_nets import WIDE, blocks, folder_of_images, large, noise

FOLDER = Path(__file__).parents[1] / "build" / "bench"
MODEL, DATA = FOLDER / "efficientnet_lite0.onnx", FOLDER / "many.npy"
TARGET = "snpe"
REPEATS = 3
DEPTHS, COUNTS = (8, 16, 32), (64, 128, 256)
BOUND, LARGE_SAMPLES = "4GiB", 32
WARMING = 32  # samples of the run that starts the workers and lets them import


def workers(samples: int, chosen: Sequence[str], repeats: int) -> None:
    """Two workers against one on EfficientNet-Lite0, and whether they find the same."""
    print(f"\n## Two workers against one (EfficientNet-Lite0, {samples} photographs)\n")
    print(f"Processes that ran or waited to, when it began: {os.getloadavg()[0]:.1f}\n")
    print("| stage | 1 worker, s | 2 workers, s | ratio | the same to the last bit |")
    print("|---|---|---|---|---|")
    source = open_source(DATA, input_specs(open_reference(MODEL).model)).slice(0, samples)
    stages: dict[str, Callable[[Source, Pool], Any]] = {
        "calibration": _calibrated,
        "diagnosis": _diagnosed,
        "reconstruction": _reconstructed,
    }
    for name, stage in stages.items():
        if name not in chosen:
            continue
        found = [_fastest(stage, source, count, repeats) for count in (1, 2)]
        (one, first), (two, second) = found
        same = "yes" if first == second else "NO"
        print(f"| {name} | {one:.2f} | {two:.2f} | {one / two:.2f} | {same} |", flush=True)


def _fastest(
    stage: Callable[[Source, Pool], Any], source: Source, count: int, repeats: int
) -> tuple[float, str]:
    """Seconds of the fastest run with so many workers, which were there before, and its result."""
    limit(1)
    with Processes(count, 1) as several:
        stage(source.slice(0, WARMING), several)
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            found = stage(source, several)
            best = min(best, time.perf_counter() - start)
    return best, found


def _calibrated(source: Source, several: Pool) -> str:
    model = open_reference(MODEL).model
    seen, energy = calibrate(
        model, place(model, target(TARGET)).sites, source, 8, Folding(several, silent)
    )
    sums = {key: [int(s.whole.counts.sum()), s.whole.lo.tolist()] for key, s in seen.items()}
    edges = {key: np.flatnonzero(s.whole.counts).tolist() for key, s in seen.items()}
    return json.dumps([sums, edges, energy])


def _diagnosed(source: Source, several: Pool) -> str:
    settings = Settings(samples=len(source))
    _, used, case = build_case(MODEL, DATA, target(TARGET), settings, silent, several)
    run = Run(case, used, settings, None)
    run.diagnose(silent, several)
    return repr((run.network(), run.site_errors.reports(), run.layer_errors.reports()))


@cache
def _case() -> Case:
    """The network planned from a few photographs: the same for everyone who rounds it."""
    return build_case(MODEL, DATA, target(TARGET), Settings(samples=WARMING))[2]


def _reconstructed(source: Source, several: Pool) -> str:
    nothing = Diagnosed(NetworkReport("", "nsr", 1.0, 0.0, 0.0, [], {}, ""), ())
    change = SecondOrder().propose(_case(), source, nothing, Effort(pool=several), silent)
    digest = hashlib.sha256()
    for name, values in sorted(change.written.items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest() + repr(sorted(change.plan.items())) + change.summary


def growth(plot: Path | None) -> None:
    """Seconds of every stage while the depth and the number of samples double."""
    print("\n## Growth (blocks of 64 x 64 x 32; one process, one thread)\n")
    print("| blocks | samples | float inference, s | calibrate, s | diagnose, s | explain, s |")
    print("|---|---|---|---|---|---|")
    cases = [(depth, COUNTS[0]) for depth in DEPTHS] + [(DEPTHS[0], n) for n in COUNTS[1:]]
    rows = {case: _row(*case) for case in cases}
    for name, stages in zip(("depth", "samples"), _slopes(rows), strict=True):
        shown = ", ".join(f"{stage} {slope:.2f}" for stage, slope in stages.items())
        print(f"\nExponent of the time in the {name}: {shown}.")
    if plot is not None:
        _plot(rows, plot)


def _row(depth: int, samples: int) -> dict[str, float]:
    network, images = blocks(depth, FOLDER / f"blocks{depth}.onnx"), noise(samples)
    settings = Settings(resources=Resources(threads=1))
    lostbits.diagnose(network, images[:16], TARGET, settings)  # imports, first pages of memory
    stages = lostbits.diagnose(network, images, TARGET, settings)["seconds"]
    times = {"float inference": _inference(network, images)}
    times |= {name: stages[name] for name in ("calibrate", "diagnose", "explain")}
    print(f"| {depth} | {samples} | " + " | ".join(f"{t:.2f}" for t in times.values()) + " |")
    return times


Rows = dict[tuple[int, int], dict[str, float]]


def _series(rows: Rows) -> list[tuple[list[int], list[dict[str, float]]]]:
    """The rows along the depth, and those along the number of samples."""
    return [
        (list(DEPTHS), [rows[depth, COUNTS[0]] for depth in DEPTHS]),
        (list(COUNTS), [rows[DEPTHS[0], count] for count in COUNTS]),
    ]


def _slopes(rows: Rows) -> list[dict[str, float]]:
    """Exponent of each stage's time, from the first to the last: 1 is linear."""
    return [
        {
            stage: float(np.log(times[-1][stage] / times[0][stage]) / np.log(xs[-1] / xs[0]))
            for stage in times[0]
        }
        for xs, times in _series(rows)
    ]


def _plot(rows: Rows, path: Path) -> None:
    """Both series beside each other, on axes where a straight line through the corner is linear."""
    pyplot: Any = import_module("matplotlib.pyplot")  # the tables need no library for charts

    pyplot.rcParams["svg.hashsalt"] = "lostbits"
    figure, pair = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, (xs, times), name in zip(pair, _series(rows), ("blocks", "samples"), strict=True):
        for stage in times[0]:
            axes.plot(xs, [t[stage] for t in times], marker="o", label=stage)
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


def memory(most: int) -> None:
    """Peak memory of the driver and of its largest worker, each in a process of its own."""
    print("\n## Peak memory (folder of images)\n")
    print("| images | workers | calibrate: driver, MiB | worker | diagnose: driver | worker |")
    print("|---|---|---|---|---|---|")
    folder_of_images(FOLDER / "images", most)
    for count in (1, 2):
        for samples in (64, 512, most):
            cells = [_peaks(stage, samples, count) for stage in ("calibrate", "diagnose")]
            shown = " | ".join(f"{peak:.0f}" if peak else "-" for pair in cells for peak in pair)
            print(f"| {samples} | {count} | {shown} |")


def _peaks(stage: str, samples: int, count: int) -> list[float]:
    command = [sys.executable, __file__, "--peak", stage, str(samples), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peaks: list[float] = json.loads(done.stdout.splitlines()[-1])
    return peaks


def peak(stage: str, samples: int, count: int) -> None:
    """Run a stage here and print the peaks of this process and of its children, in MiB."""
    network = blocks(DEPTHS[0], FOLDER / f"blocks{DEPTHS[0]}.onnx")
    resources = Resources(workers=count, threads=1)
    settings = Settings(samples=samples, preprocess=Preprocess(), resources=resources)
    with pool(resources) as several:
        _, source, case = build_case(
            network, FOLDER / "images", target(TARGET), settings, silent, several
        )
        if stage == "diagnose":
            Run(case, source, settings, None).diagnose(silent, several)
        helpers = [_most_resident(child.pid or 0) for child in active_children()]
        print(json.dumps([_most_resident(os.getpid()), max(helpers, default=0.0)]))


def _most_resident(process: int) -> float:
    """Most memory that a process has had, in MiB. Its ``ru_maxrss`` would begin at its parent's."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def large_model(count: int) -> None:
    """A model of 3 GiB under a bound of 4 GiB: what was estimated, what was measured."""
    network = FOLDER / f"large{count}.onnx"
    if not network.exists():
        large(count, network)
    random = np.random.default_rng(1)
    np.save(FOLDER / "vectors.npy", random.standard_normal((LARGE_SAMPLES, WIDE), np.float32))
    size = network.with_suffix(".data").stat().st_size / 2**30
    print(f"\n## A model larger than memory ({size:.2f} GiB, --memory {BOUND}, {TARGET})\n")
    print("| verb | samples | estimate, MiB | measured, MiB | with mapped files, MiB | seconds |")
    print("|---|---|---|---|---|---|")
    _bounded("diagnose", network, 8)
    recovered = _bounded("recover", network, LARGE_SAMPLES, "--methods", "bias_correction")
    before, after = (recovered["recovered"][key]["sqnr_db"] for key in ("before", "after"))
    print(f"\nRecovered by bias correction: SQNR {before:.2f} dB before, {after:.2f} dB after.")


def _bounded(verb: str, network: Path, samples: int, *more: str) -> dict[str, Any]:
    """Run a verb as its users do, and print what it took."""
    data, out = FOLDER / "vectors.npy", FOLDER / f"large-{verb}"
    command = ["lostbits", verb, network, "--data", data, "--samples", samples, "--memory", BOUND]
    command += ["--target", TARGET, "--format", "json", "--out", out, "--quiet", *more]
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    took, whole = result["memory"], result["peak_memory_bytes"]
    sizes = (took["estimate_bytes"], took["peak_bytes"], whole)
    cells = " | ".join(f"{size / 2**20:.0f}" for size in sizes)
    print(f"| {verb} | {samples} | {cells} | {seconds:.0f} |", flush=True)
    return result


def main() -> None:
    """Print the chosen tables."""
    arguments = _arguments()
    if arguments.peak:
        stage, samples, count = arguments.peak
        peak(stage, int(samples), int(count))
        return
    tables: dict[str, Callable[[], None]] = {
        "workers": lambda: workers(
            arguments.samples, arguments.stages.split(","), arguments.repeats
        ),
        "growth": lambda: growth(arguments.plot),
        "memory": lambda: memory(arguments.most),
        "large": lambda: large_model(arguments.blocks),
    }
    for name in arguments.only.split(","):
        tables[name]()


def _arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="workers,growth,memory")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--stages", default="calibration,diagnosis,reconstruction")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--most", type=int, default=4096)
    parser.add_argument("--blocks", type=int, default=48, help="64 MiB each, of the large model")
    parser.add_argument("--plot", type=Path, help="SVG of the growth: pip install matplotlib")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(line)


if __name__ == "__main__":
    main()
