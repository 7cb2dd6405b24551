"""PPQ (esp-ppq), with the settings of its own platforms."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.peers.job import BATCH, Job

_PLATFORMS = {"snpe": "SNPE_INT8", "tensorrt": "TRT_INT8"}


def load() -> None:
    """Import."""
    importlib.import_module("esp_ppq.api")


def quantize(job: Job) -> None:
    """Write the network as Q/DQ."""
    if job.setting not in _PLATFORMS:
        raise SystemExit("PPQ has no platform with asymmetric activations and per-channel weights")
    api: Any = importlib.import_module("esp_ppq.api")
    core, torch = importlib.import_module("esp_ppq.core"), importlib.import_module("torch")
    parts = [torch.from_numpy(part) for part in job.batches()]
    graph = api.quantize_onnx_model(
        str(job.model),
        parts,
        len(parts),
        [BATCH, *parts[0].shape[1:]],
        platform=getattr(core.TargetPlatform, _PLATFORMS[job.setting]),
        device="cpu",
    )
    api.export_ppq_graph(graph, core.TargetPlatform.ONNXRUNTIME, str(job.result))
    _repair(job)


def _repair(job: Job) -> None:
    """The file says an older opset than its nodes have, and no runtime opens it: put that right."""
    onnx = importlib.import_module("onnx")
    model, plain = onnx.load(str(job.result)), onnx.load(str(job.model))
    for opset in model.opset_import:
        if not opset.domain:
            opset.version = plain.opset_import[0].version
    onnx.save(model, str(job.result))
