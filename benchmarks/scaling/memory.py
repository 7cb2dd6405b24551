"""Peak memory of the driver and of its largest worker, each run in a process of its own."""

import json
import os
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from benchmarks.cases import planned
from benchmarks.prepared import BENCH, ROOT
from benchmarks.results import recorded
from benchmarks.scaling.growth import DEPTHS
from benchmarks.scaling.nets import blocks, folder_of_images
from benchmarks.scaling.workers import TARGET
from benchmarks.table import Column
from lostbits.data import Preprocess
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.settings import Settings
from lostbits.workers.pool import Resources
from lostbits.workers.pools import pool
from lostbits.workers.progress import silent

_COLUMNS = (
    Column("images"),
    Column("workers"),
    Column("calibrate: driver", "MiB", ".0f"),
    Column("worker", "MiB", ".0f"),
    Column("diagnose: driver", "MiB", ".0f"),
    Column("worker", "MiB", ".0f"),
)


def memory(most: int, save: bool) -> None:
    """A folder of images, more and more of them, by one process and by two workers."""
    folder_of_images(BENCH / "images", most)
    n = f"one run each, network of {DEPTHS[0]} blocks"
    with recorded("worker_memory", _COLUMNS, n=n, keys=2, save=save) as rows:
        for count in (1, 2):
            for samples in (*(n for n in (64, 512) if n < most), most):
                cells = [_peaks(stage, samples, count) for stage in ("calibrate", "diagnose")]
                rows.add(samples, count, *(peak or None for pair in cells for peak in pair))


def _peaks(stage: str, samples: int, count: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.scaling", "--peak", stage]
    command += [str(samples), str(count)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    peaks: list[float] = json.loads(done.stdout.splitlines()[-1])
    return peaks


def peak(stage: str, samples: int, count: int) -> None:
    """Run a stage here and print the peaks of this process and of its children, in MiB."""
    network = blocks(DEPTHS[0], BENCH / f"blocks{DEPTHS[0]}.onnx")
    resources = Resources(workers=count, threads=1)
    with pool(resources) as several:
        options: dict[str, Any] = {"samples": samples, "preprocess": Preprocess()}
        source, case = planned(network, BENCH / "images", TARGET, workers=several, **options)
        if stage == "diagnose":
            Run(case, source, Settings(resources=resources), None).diagnose(silent, several)
        helpers = [_most_resident(child.pid or 0) for child in active_children()]
        print(json.dumps([_most_resident(os.getpid()), max(helpers, default=0.0)]))


def _most_resident(process: int) -> float:
    """Most memory that a process has had, in MiB. Its ``ru_maxrss`` would begin at its parent's."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
