"""Outputs of a network in ONNX Runtime without graph optimisations, and their distance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.peers.job import Floats, batches


def outputs(model: Path, data: Floats) -> Iterator[NDArray[Any]]:
    """First output of every batch."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for part in batches(data):
        yield np.asarray(session.run(None, {name: part})[0])


def distance(floats: Floats, others: Floats) -> tuple[float, float]:
    """Signal to noise of the logits in dB, and the share of samples with the same first class."""
    error = float(((others.astype(float) - floats) ** 2).sum())
    sqnr = 10 * np.log10(float((floats.astype(float) ** 2).sum()) / error)
    return float(sqnr), float((floats.argmax(-1) == others.argmax(-1)).mean())
