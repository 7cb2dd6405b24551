"""lostbits itself: recovery in a budget.

Variant ``nearest``: the target's own rules. Variant ``adaround``: of every layer, timed alone.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.peers.job import BATCH, Job, Timed


def load() -> None:
    """Import, what torch puts off until its first optimizer included."""
    importlib.import_module("lostbits.verbs.recover")
    torch = importlib.import_module("torch")
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])


def quantize(job: Job) -> None:
    """Write the Q/DQ network."""
    library: Any = importlib.import_module("lostbits")
    data = np.load(job.data)
    if not job.variant:
        case = library.load(job.model, data, job.setting, hold_out=True)
        library.recover(case, budget=job.budget, out=job.out)
        return
    case = library.load(job.model, data, job.setting)
    source, case = case.origin.judged.source, replace(case, origin=None)
    if job.variant == "adaround":
        importlib.import_module("lostbits.sweep.layers").sweep(case, source, _Learning(job))
    simulation = importlib.import_module("lostbits.runtime.simulation")
    ir = importlib.import_module("onnx_ir")
    proto = ir.to_proto(simulation.quantized_model(case))
    job.result.write_bytes(proto.SerializeToString())


class _Learning:
    """Learns the rounding of a layer, and keeps the weights and the seconds."""

    whole = True

    def __init__(self, job: Job) -> None:
        self.job = job
        self.rounding: Any = importlib.import_module("lostbits.rounding")

    def solve(self, layer: Any, found: Any, open_job: Any) -> None:
        """Change nothing."""

    def look(self, layer: Any) -> None:
        """Learn."""
        weight = self.rounding.RoundedWeight(layer.values, layer.affine)
        with Timed(self.job.out / "learning"):
            found = self._learn(weight, layer)
        (self.job.out / "iterations").write_text(str(found.iterations))
        codes = {"learned": found.codes["weight"], "nearest": weight.nearest}
        values = {name: weight.values(code).numpy() for name, code in codes.items()}
        np.savez(self.job.out / "weights.npz", float=layer.values, **values)

    def _learn(self, weight: Any, layer: Any) -> Any:
        """As the recovery does, but in batches of the size that the others are given."""
        torch = importlib.import_module("torch")
        recovery = importlib.import_module("lostbits.recoveries.adaround")
        alone = replace(layer, quantized_inputs=layer.inputs)
        batches, forward = recovery.problem(alone, BATCH)
        with torch.enable_grad():
            return self.rounding.adaround(weight, batches, forward, self._how())

    def _how(self) -> Any:
        """All iterations: learning that ends early would be no comparison."""
        count = self.job.iterations
        return self.rounding.Reconstruction(iterations=count, patience=count)
