"""A quantized file beside float, in a runtime, on samples that nobody has worked on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.zoo.networks import BACKENDS, Network, Samples, load
from lostbits.backends import backend
from lostbits.metric import Answers
from lostbits.metrics import metric

PLAIN = "onnxruntime-plain"


@dataclass(frozen=True)
class Figures:
    """How far a file is from float.

    Attributes:
        decibels: SQNR: the mean over outputs, of what is no padding.
        metric: Of the kind of network; higher is better. None where it was not measured.
    """

    decibels: float
    metric: float | None = None


class Judge:
    """Knows what float answers to the samples that judge."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.samples = load(network.samples(folder, judge=True))
        self.floats = outputs(network.path(folder), network, self.samples, "float")

    def figures(self, path: Path, target: str) -> Figures:
        """Of one file, in the runtime of the target."""
        others = outputs(path, self.network, self.samples, BACKENDS.get(target, PLAIN))
        ratios = [self._ratio(self.floats[name], others[name]) for name in self.floats]
        answers = Answers(self._pooled(others), self._pooled(self.floats), self.samples)
        return Figures(float(np.mean(ratios)), metric(self.network.metric).measure(answers))

    def _real(self, values: NDArray[Any]) -> NDArray[Any]:
        """Without padding, float64."""
        exact = values.astype(np.float64)
        mask = self.network.mask
        return exact[self.samples[mask] == 1] if mask else exact

    def _ratio(self, floats: NDArray[Any], others: NDArray[Any]) -> float:
        plain, error = self._real(floats), self._real(others) - self._real(floats)
        return float(10 * np.log10((plain**2).sum() / (error**2).sum()))

    def _pooled(self, values: Samples) -> Samples:
        """Of tokens the mean: the embedding of a sentence."""
        if not self.network.mask:
            return values
        real = (self.samples[self.network.mask] == 1)[..., None]
        return {n: (x * real).sum(1) / real.sum(1) for n, x in values.items()}


def outputs(path: Path, network: Network, samples: Samples, runtime: str) -> Samples:
    """Float outputs by name; axis 0 counts samples."""
    run = _open(path, runtime)
    rows: dict[str, list[NDArray[Any]]] = {}
    for feed in network.feeds(samples):
        for name, value in run(feed).items():
            if value.dtype.kind == "f":
                rows.setdefault(name, []).append(value if network.alone else value[0])
    return {name: np.stack(values) for name, values in rows.items()}


def _open(path: Path, runtime: str) -> Callable[[Samples], Samples]:
    """What runs a file; NNCF's files for OpenVINO have their weights beside them."""
    if runtime == "float":
        return _float(path)
    if path.suffix != ".xml":
        return backend(runtime).load(path.read_bytes()).run
    core: Any = importlib.import_module("openvino").Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [o.get_any_name() for o in compiled.outputs]
    return lambda feed: dict(zip(names, compiled(feed).values(), strict=True))


def _float(path: Path) -> Callable[[Samples], Samples]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(names, feed), strict=True))
