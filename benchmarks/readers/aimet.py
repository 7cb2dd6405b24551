"""AIMET loads encodings as somebody else's and simulates them. Started by compare.py.

python -m benchmarks.readers.aimet FOLDER DATA OUT

FOLDER holds ``model.onnx`` and ``model.encodings``; OUT gets every quantized activation.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import aimet as simulator
from benchmarks.peers.job import Floats

_BATCH = 8


def main() -> None:
    """Load, run, keep."""
    folder, data, out = (Path(argument) for argument in sys.argv[1:])
    simulator.load()
    sim = loaded(folder)
    names = [n for n in sim.activation_names if sim.qc_quantize_op_dict[n].enabled]
    ask_for(sim, names)
    np.savez(out, *values(sim, names, np.load(data)), names=np.asarray(names))


def loaded(folder: Path) -> Any:
    """Return the simulation; what the encodings do not name is turned off, as AIMET does it."""
    onnx, aimet = importlib.import_module("onnx"), importlib.import_module("aimet_onnx")
    sim = aimet.QuantizationSimModel(onnx.load(str(folder / "model.onnx")))
    load = importlib.import_module("aimet_onnx.quantsim").load_encodings_to_sim
    load(sim, str(folder / "model.encodings"), strict=False)
    return sim


def ask_for(sim: Any, names: list[str]) -> None:
    """Make these tensors outputs, as they are behind their quantizers."""
    helper = importlib.import_module("onnx").helper
    graph = sim.model.model.graph
    known = {output.name for output in graph.output}
    for name in (f"{name}_updated" for name in names):
        if name not in known:
            graph.output.append(helper.make_tensor_value_info(name, 1, None))
    sim._rebuild_session()


def values(sim: Any, names: list[str], data: Floats) -> list[Floats]:
    """Return the tensors for all samples."""
    entry, wanted = sim.session.get_inputs()[0].name, [f"{name}_updated" for name in names]
    parts = [data[first : first + _BATCH] for first in range(0, len(data), _BATCH)]
    runs = [sim.session.run(wanted, {entry: part}) for part in parts]
    return [np.concatenate(pieces) for pieces in zip(*runs, strict=True)]


if __name__ == "__main__":
    main()
