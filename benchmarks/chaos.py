"""Kill a worker or the driver of a recovery at random moments, resume, and compare.

Needs nothing but the embedded network, and Linux::

    python -m benchmarks.chaos [--times 20] [--seed 0] [--save]

Every run recovers the embedded network with two workers, by a rounding that they share and one that
they do not. A run whose worker died must end by itself; one whose driver died is started again with
the same folder. Either must end with the files and figures of a run that nobody disturbed, and a
layer that was finished before the death must be the same file, not written again, after it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lostbits
from benchmarks.prepared import ROOT
from benchmarks.results import parser, recorded
from benchmarks.table import Column
from lostbits.verbs.demo import demo_files
from lostbits.verbs.result_files import read, write

FILES = ("quantized.onnx", "plan.json", "written.npz", "float.onnx")
WORKERS = 2
COLUMNS = (
    Column("moments"),
    Column("worker killed"),
    Column("driver killed"),
    Column("same result"),
    Column("layers finished before"),
    Column("written again"),
)
METHODS = ("equalization", "second_order", "adaround")


@dataclass(frozen=True)
class Outcome:
    """What came of a run that was disturbed."""

    victim: str
    moment: float
    layers: int
    again: int
    same: bool


def drive(folder: Path) -> None:
    """One recovery, into a folder."""
    files = demo_files()
    resources: dict[str, Any] = {"workers": WORKERS, "threads": 1, "hold_out": True}
    case = lostbits.load(files["model"], files["calibration"], "snpe", **resources)
    effort: dict[str, Any] = {"methods": METHODS, "budget": 1e6, "iterations": 300}
    write(lostbits.recover(case, out=folder, **effort), folder)


def started(folder: Path) -> "subprocess.Popen[bytes]":
    """A driver in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.chaos", "--drive", str(folder)]
    return subprocess.Popen(command, cwd=ROOT)


def disturbed(folder: Path, victim: str, moment: float, whole: Path) -> Outcome:
    """Kill somebody after ``moment`` seconds; resume if that was the driver."""
    driver = started(folder)
    time.sleep(moment)
    if victim == "worker" and (processes := workers(driver.pid)):
        os.kill(processes[0], signal.SIGKILL)
    elif victim == "driver":
        driver.kill()
    before = layers(folder)
    status = driver.wait()
    if victim == "driver":
        status = started(folder).wait()
    after = layers(folder)
    again = sum(after.get(name) != moment for name, moment in before.items())
    return Outcome(victim, moment, len(before), again, status == 0 and same(folder, whole))


def workers(driver: int) -> list[int]:
    """Processes that the driver has started to work for it."""
    children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def layers(folder: Path) -> dict[str, int]:
    """Finished layers, and when each was written."""
    found = (folder / "cache").glob("*/*.npz")
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in found}


def same(folder: Path, whole: Path) -> bool:
    """Whether files and figures are those of the run that nobody disturbed."""
    mine, theirs = (read(f).recovered for f in (folder, whole))
    return mine == theirs and all(
        (folder / name).read_bytes() == (whole / name).read_bytes() for name in FILES
    )


def deaths(times: int, seed: int) -> Iterator[Outcome]:
    """Runs that were disturbed at random moments; each is told at once."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        whole, begun = Path(name) / "whole", time.monotonic()
        if status := started(whole).wait():
            raise SystemExit(f"the run that nobody disturbs ended with {status}")
        length = time.monotonic() - begun
        for number in range(times):
            victim = str(random.choice(["worker", "driver"]))
            moment = float(random.uniform(0, length))
            found = disturbed(Path(name) / str(number), victim, moment, whole)
            print(f"{victim} killed after {moment:.1f} of {length:.1f} s: {found}", flush=True)
            yield found


def main() -> None:
    """Drive one run, or kill many and count."""
    words = parser(__doc__)
    words.add_argument("--times", type=int, default=20)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    arguments = words.parse_args()
    if arguments.drive:
        drive(arguments.drive)
        return
    found = list(deaths(arguments.times, arguments.seed))
    n = f"{arguments.times} runs of the embedded network, {WORKERS} workers"
    with recorded("chaos", COLUMNS, n=n, save=arguments.save) as rows:
        killed = [sum(f.victim == victim for f in found) for victim in ("worker", "driver")]
        totals = (sum(f.layers for f in found), sum(f.again for f in found))
        rows.add(f"--seed {arguments.seed}", *killed, sum(f.same for f in found), *totals)


if __name__ == "__main__":
    main()
