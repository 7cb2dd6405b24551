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

from peers_job import Job


def load() -> None:
    """Import; torchvision, of which AIMET uses nothing, has no build for a torch without CUDA."""
    for name in ("torchvision", "torchvision.ops"):
        sys.modules[name] = MagicMock(spec=ModuleType(name))
    importlib.import_module("aimet_onnx")
    importlib.import_module("aimet_onnx.cross_layer_equalization")
    logging.disable(logging.WARNING)


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
        aimet.apply_adaround(sim, parts, job.iterations)
    sim.compute_encodings(parts)
    onnx.save(sim.to_onnx_qdq(), str(job.result))


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
