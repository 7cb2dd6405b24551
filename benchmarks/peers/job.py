"""What a tool is told: one network, one setting, calibration data, and where the result goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SETTINGS = {
    "snpe": "per-tensor U8U8",
    "tensorrt": "per-channel S8S8, symmetric",
    "qnn-htp": "per-channel U8S8",
}
BATCH = 8
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """One quantization.

    Attributes:
        tool: Such as ``nncf`` or, with a variant, ``nncf-accurate``.
        setting: One of ``SETTINGS``.
        model: Float network, its batch fixed at ``BATCH``.
        data: Calibration samples, .npy.
        out: Folder for ``quantized.onnx``.
        iterations: Of learning, where the tool learns.
        budget: Seconds, where the tool takes a budget.
    """

    tool: str
    setting: str
    model: Path
    data: Path
    out: Path
    iterations: int = 0
    budget: float = 60.0

    @property
    def variant(self) -> str:
        """What follows the name of the tool."""
        return self.tool.partition("-")[2]

    @property
    def result(self) -> Path:
        """Where the quantized network goes."""
        return self.out / "quantized.onnx"

    def batches(self) -> Iterator[Floats]:
        """Calibration batches, all of the same size."""
        return batches(np.load(self.data, mmap_mode="r"))


class Timed:
    """Writes the seconds of a block into a file: by the clock, and of all cores."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        now = time.perf_counter(), time.process_time()
        both = (end - start for end, start in zip(now, self._start, strict=True))
        self._path.write_text(" ".join(f"{seconds:.3f}" for seconds in both))


def seconds(path: Path) -> tuple[float, float]:
    """Return what ``Timed`` wrote: seconds by the clock, seconds of all cores."""
    wall, cores = map(float, path.read_text().split())
    return wall, cores


def batches(data: Floats) -> Iterator[Floats]:
    """Parts of ``BATCH`` samples; what is left over is not used."""
    for first in range(0, len(data) - BATCH + 1, BATCH):
        yield np.ascontiguousarray(data[first : first + BATCH])
