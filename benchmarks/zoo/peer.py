"""One quantization by another tool, in an environment of its own.

python -m benchmarks.zoo.peer onnxruntime|nncf NETWORK TARGET FOLDER OUT
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.zoo.networks import ALL, Network, Samples, load

OPSET = 17  # scales of channels need 13; what is older is converted first


def main() -> None:
    """Write the quantized file."""
    tool, name, target, folder, out = sys.argv[1:]
    network = next(n for n in ALL if n.name == name)
    feeds = network.feeds(load(network.samples(Path(folder))))
    TOOLS[tool](network, network.path(Path(folder)), target, feeds, Path(out))


def by_onnxruntime(
    network: Network, path: Path, target: str, feeds: list[Samples], out: Path
) -> None:
    """quantize_static behind its own preprocessing: Q/DQ, min-max, weights per channel."""
    api: Any = importlib.import_module("onnxruntime.quantization")
    shapes: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    kind, signed = api.QuantType, target == "tensorrt"
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "ready.onnx"
        shapes.quant_pre_process(str(recent(path, scratch)), str(ready), skip_symbolic_shape=True)
        api.quantize_static(
            str(ready),
            str(out),
            type("Feeds", (Feeds, api.CalibrationDataReader), {})(iter(feeds)),
            quant_format=api.QuantFormat.QDQ,
            per_channel=True,
            activation_type=kind.QInt8 if signed else kind.QUInt8,
            weight_type=kind.QInt8,
            extra_options={"ActivationSymmetric": signed},
        )


def by_nncf(network: Network, path: Path, target: str, feeds: list[Samples], out: Path) -> None:
    """nncf.quantize, mixed preset; its own OpenVINO backend for OpenVINO."""
    nncf: Any = importlib.import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    told = {
        "preset": nncf.QuantizationPreset.MIXED,
        "subset_size": len(feeds),
        "model_type": nncf.ModelType.TRANSFORMER if network.transformer else None,
    }
    if target == "openvino":
        openvino: Any = importlib.import_module("openvino")
        model = openvino.Core().read_model(str(path))
        quantized = nncf.quantize(model, nncf.Dataset(feeds), **told)
        openvino.save_model(quantized, str(out.with_suffix(".xml")), compress_to_fp16=False)
        return
    onnx: Any = importlib.import_module("onnx")
    with tempfile.TemporaryDirectory() as scratch:
        model = onnx.load(str(recent(path, scratch)))
        onnx.save(nncf.quantize(model, nncf.Dataset(feeds), **told), str(out))


class Feeds:
    """What quantize_static reads."""

    def __init__(self, feeds: Iterator[Samples]) -> None:
        self._feeds = feeds

    def get_next(self) -> Samples | None:
        """Return the next feed, or None."""
        return next(self._feeds, None)


def recent(path: Path, scratch: str) -> Path:
    """Return the model in an opset that knows scales of channels."""
    onnx: Any = importlib.import_module("onnx")
    model = onnx.load(str(path))
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if version >= 13:
        return path
    for output in model.graph.output:  # the converter wants a shape, if an empty one
        output.type.tensor_type.shape.SetInParent()
    converter: Any = importlib.import_module("onnx.version_converter")
    newer = Path(scratch) / "recent.onnx"
    onnx.save(converter.convert_version(model, OPSET), str(newer))
    return newer


TOOLS = {"onnxruntime": by_onnxruntime, "nncf": by_nncf}


if __name__ == "__main__":
    main()
