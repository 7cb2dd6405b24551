"""Every tool is given the same network: constants folded, the batch fixed, opset 13 or later."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.peers.job import BATCH, Job

_OPSET = 17  # per-channel Q/DQ exists from 13 on


def load() -> None:
    """Import."""
    importlib.import_module("onnxsim")


def quantize(job: Job) -> None:
    """Write the simplified network, not quantized."""
    onnx, onnxsim = importlib.import_module("onnx"), importlib.import_module("onnxsim")
    converter = importlib.import_module("onnx.version_converter")
    model: Any = onnx.load(str(job.model))
    if model.opset_import[0].version < _OPSET:
        model = converter.convert_version(model, _OPSET)
    shape = [BATCH, *next(job.batches()).shape[1:]]
    shapes = {model.graph.input[0].name: shape}
    # Its optimisation passes break PP-OCRv4 (0.7.3: a MatMul of rank 3 becomes a Gemm of rank 2).
    simple, _ = onnxsim.simplify(model, overwrite_input_shapes=shapes, perform_optimization=False)
    onnx.save(simple, str(job.result))
