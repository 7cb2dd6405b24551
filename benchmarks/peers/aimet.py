"""AIMET's quantization simulation; variants ``cle``, ``seqmse`` and ``adaround``.

Its own configurations of the DSP and of the HTP V73; for ``tensorrt`` its per-channel
configuration with symmetric activations.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np

from benchmarks.peers.job import Floats, Job, Timed


def load() -> None:
    """Import; torchvision, of which AIMET uses nothing, has no build for a torch without CUDA."""
    for name in ("torchvision", "torchvision.ops"):
        sys.modules[name] = MagicMock(spec=ModuleType(name))
    importlib.import_module("aimet_onnx")
    importlib.import_module("aimet_onnx.cross_layer_equalization")
    logging.disable(logging.WARNING)
    torch = importlib.import_module("torch")
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the rest of torch's imports


def quantize(job: Job) -> None:
    """Write the Q/DQ network."""
    onnx, aimet = importlib.import_module("onnx"), importlib.import_module("aimet_onnx")
    model = onnx.load(str(job.model))
    parts = [{model.graph.input[0].name: part} for part in job.batches()]
    if job.variant == "cle":
        importlib.import_module("aimet_onnx.cross_layer_equalization").equalize_model(model)
    sim = simulation(model, job.setting, job.out)
    if job.variant == "seqmse":
        aimet.apply_seq_mse(sim, parts)
    if job.variant == "adaround":
        _adaround(sim, parts, job)
    sim.compute_encodings(parts)
    exported = sim.to_onnx_qdq()
    onnx.save(exported, str(job.result))
    keep_weights(onnx.load(str(job.model)), exported, job.out)


def _adaround(sim: Any, parts: list[dict[str, Floats]], job: Job) -> None:
    aimet = importlib.import_module("aimet_onnx")
    with Timed(job.out / "learning"):
        aimet.apply_adaround(sim, parts, job.iterations)


def keep_weights(plain: Any, exported: Any, folder: Path) -> None:
    """Keep the only convolution's weights: float, as a device will have them, and nearest."""
    read = importlib.import_module("onnx.numpy_helper").to_array
    floats = [read(t) for t in plain.graph.initializer if len(t.dims) == 4]
    if len(floats) != 1:
        return
    known = {t.name: read(t) for t in exported.graph.initializer}
    for node in exported.graph.node:
        if node.op_type == "QuantizeLinear" and known.get(node.input[0], floats[0][0]).ndim == 4:
            scale = known[node.input[1]].reshape(-1, 1, 1, 1)
            both = {"learned": known[node.input[0]], "nearest": floats[0]}
            found = {name: np.rint(w / scale).clip(-128, 127) * scale for name, w in both.items()}
            np.savez(folder / "weights.npz", float=floats[0], **found)


def simulation(model: Any, setting: str, folder: Path) -> Any:
    """Return AIMET's simulation of a network."""
    aimet = importlib.import_module("aimet_onnx")
    return aimet.QuantizationSimModel(model, config_file=_configuration(setting, folder))


def _configuration(setting: str, folder: Path) -> str:
    package = importlib.import_module("aimet_onnx.common.quantsim_config").__path__[0]
    names = {"snpe": "dsp_quantsim_config.json", "qnn-htp": "htp_quantsim_config_v73.json"}
    if setting in names:
        return str(Path(package) / names[setting])
    rules = json.loads((Path(package) / "default_config_per_channel.json").read_text())
    rules["defaults"]["ops"]["is_symmetric"] = "True"
    path = folder / "configuration.json"
    path.write_text(json.dumps(rules))
    return str(path)
