"""lostbits itself: recovery in a budget; variant ``nearest``: the target's own plan."""

from __future__ import annotations

import importlib

import numpy as np
from peers_job import Job


def load() -> None:
    """Import."""
    importlib.import_module("lostbits.api")


def quantize(job: Job) -> None:
    """Write the Q/DQ network."""
    api = importlib.import_module("lostbits.api")
    data = np.load(job.data)
    if job.variant == "nearest":
        _nearest(job, data)
        return
    wishes = api.Wishes(budget=job.budget)
    api.recover(job.model, data, job.setting, job.out, api.Settings(), wishes)


def _nearest(job: Job, data: object) -> None:
    api = importlib.import_module("lostbits.api")
    simulation = importlib.import_module("lostbits.runtime.simulation")
    targets = importlib.import_module("lostbits.targets")
    ir = importlib.import_module("onnx_ir")
    _, _, case = api.build_case(job.model, data, targets.target(job.setting), api.Settings())
    proto = ir.to_proto(simulation.quantized_model(case))
    job.result.write_bytes(proto.SerializeToString())
