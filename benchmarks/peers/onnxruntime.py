"""ONNX Runtime's own quantize_static, min-max."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from benchmarks.peers.job import Floats, Job

_TYPES = {"snpe": ("QUInt8", "QUInt8"), "tensorrt": ("QInt8", "QInt8")}


class Reader:
    """Feeds of the calibration."""

    def __init__(self, name: str, batches: Iterator[Floats]) -> None:
        self._name, self._batches = name, batches

    def get_next(self) -> dict[str, Floats] | None:
        """Return the next feed, or None."""
        part = next(self._batches, None)
        return None if part is None else {self._name: part}


def load() -> None:
    """Import."""
    importlib.import_module("onnxruntime.quantization")


def quantize(job: Job) -> None:
    """Write the Q/DQ network."""
    api: Any = importlib.import_module("onnxruntime.quantization")
    onnx = importlib.import_module("onnx")
    name = onnx.load(str(job.model)).graph.input[0].name
    activations, weights = _TYPES.get(job.setting, ("QUInt8", "QInt8"))
    api.quantize_static(
        str(job.model),
        str(job.result),
        type("Feeds", (Reader, api.CalibrationDataReader), {})(name, job.batches()),
        quant_format=api.QuantFormat.QDQ,
        per_channel=job.setting != "snpe",
        activation_type=getattr(api.QuantType, activations),
        weight_type=getattr(api.QuantType, weights),
        extra_options={
            "ActivationSymmetric": job.setting == "tensorrt",
            "WeightSymmetric": job.setting != "snpe",
        },
    )
