"""NNCF's post-training quantization; variant ``accurate``: full bias correction.

The 7-bit first layer, a precaution against processors without VNNI, is off: the targets compared
here do not saturate.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

from benchmarks.peers.job import Job


def load() -> None:
    """Import."""
    importlib.import_module("nncf")


def quantize(job: Job) -> None:
    """Write the Q/DQ network."""
    onnx, nncf = importlib.import_module("onnx"), importlib.import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    model = onnx.load(str(job.model))
    name = model.graph.input[0].name
    parts = [{name: part} for part in job.batches()]
    quantized = nncf.quantize(
        model,
        nncf.Dataset(parts),
        preset=_preset(job.setting),
        subset_size=len(parts),
        fast_bias_correction=job.variant != "accurate",
        advanced_parameters=_parameters(job.setting),
    )
    onnx.save(quantized, str(job.result))


def _preset(setting: str) -> Any:
    """Symmetric activations for ``tensorrt``; NNCF makes them unsigned where none is negative."""
    presets: Any = importlib.import_module("nncf").QuantizationPreset
    return presets.PERFORMANCE if setting == "tensorrt" else presets.MIXED


def _parameters(setting: str) -> Any:
    api: Any = importlib.import_module("nncf.quantization.advanced_parameters")
    schemes: Any = importlib.import_module("nncf.common.quantization.structs").QuantizationScheme
    weights = api.QuantizationParameters(
        mode=schemes.ASYMMETRIC if setting == "snpe" else schemes.SYMMETRIC,
        per_channel=setting != "snpe",
    )
    return api.AdvancedQuantizationParameters(
        overflow_fix=api.OverflowFix.DISABLE, weights_quantization_params=weights
    )
