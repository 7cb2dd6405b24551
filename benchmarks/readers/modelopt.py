"""NVIDIA's Model Optimizer reads a calibration cache and quantizes by it. Started by compare.py.

python -m benchmarks.readers.modelopt CACHE MODEL DATA OUT

OUT gets ``scales.json``, what its reader makes of the cache, and ``quantized.onnx``.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Read; quantize. The method and the data are for what the cache does not name."""
    cache, model, data, out = (Path(argument) for argument in sys.argv[1:])
    reader = importlib.import_module("modelopt.onnx.quantization.calib_utils")
    scales = reader.import_scales_from_calib_cache(str(cache))
    (out / "scales.json").write_text(json.dumps(scales))
    session = importlib.import_module("onnxruntime").InferenceSession(str(model))
    importlib.import_module("modelopt.onnx.quantization").quantize(
        str(model),
        quantize_mode="int8",
        calibration_cache_path=str(cache),
        calibration_data={session.get_inputs()[0].name: np.load(data)},
        calibration_method="max",
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(out / "quantized.onnx"),
    )


if __name__ == "__main__":
    main()
