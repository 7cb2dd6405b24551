"""How far another reader of what lostbits exports is from our simulation of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from benchmarks.environments import MODELOPT, PEERS, Environment, last_line
from benchmarks.peers.job import Floats
from lostbits.case import Case
from lostbits.exporter import constant_values, float_model, serialized
from lostbits.exporters import exporter
from lostbits.graph.qdq_view import taps_of
from lostbits.graph.queries import name_of
from lostbits.runtime.simulation import quantized_model
from lostbits.verification.trace import SOME, Trace


@dataclass(frozen=True)
class Distance:
    """How far another simulation of a plan is from ours, over all quantized activations.

    Attributes:
        tensors: How many there are; all of them are compared.
        equal: How many have the same codes everywhere.
        own: Largest difference, in codes, of a layer that starts from the other's codes.
        own_share: Part of all values that differ so.
        whole: Largest difference of the two on their own ways through the network.
        share: Part of all values that differ so.
    """

    tensors: int
    equal: int
    own: float
    own_share: float
    whole: float
    share: float


def by_aimet(case: Case, form: str, data: Floats, scratch: Path) -> Distance:
    """Export, let AIMET load and simulate it, and compare every activation.

    Raises:
        RuntimeError: When AIMET fails, or has no quantizer where the plan has one.
    """
    for name, content in exporter(form).write(case).items():
        (scratch / name).write_bytes(content)
    np.save(scratch / "data.npy", data)
    out = scratch / "values.npz"
    _run(PEERS, "aimet", scratch, scratch / "data.npy", out)
    with np.load(out) as kept:
        names = kept["names"].tolist()
        values = {name: kept[f"arr_{number}"] for number, name in enumerate(names)}
    return distance(case, data, values)


def on_grid(case: Case) -> Case:
    """Give the platform weights that are rounded already, so that no tie is left to round."""
    weights = (site for site in case.sites if site.role == "weight")
    rounded = {s.tensor: case.plan[s.key].fake_quantize(constant_values(case, s)) for s in weights}
    return replace(case, written={**case.written, **rounded})


def distance(case: Case, data: Floats, values: dict[str, Floats]) -> Distance:
    """Compare the activations of a simulation that adds biases in float, as AIMET's does.

    Raises:
        RuntimeError: When it has no quantizer where the plan has one.
    """
    biases = {site.key for site in case.placed.biases}
    plan = {key: affine for key, affine in case.plan.items() if key not in biases}
    simulated = quantized_model(replace(case, plan=plan))
    taps = taps_of(simulated.graph)
    if left := [tap.tensor for tap in taps if tap.tensor not in values]:
        raise RuntimeError(f"left in float: {', '.join(left)}")
    trace = Trace(simulated, simulated)
    found = {tap.codes: _codes(values[tap.tensor], tap) for tap in taps}
    trace.update({name_of(simulated.graph.inputs[0]): data}, found)
    rows = [figures for _, figures in trace.rows()]
    count = sum(row.values for row in rows)
    return Distance(
        len(rows),
        sum(row.codes <= SOME for row in rows),
        max(row.own for row in rows),
        sum(row.own_differing for row in rows) / count,
        max(row.codes for row in rows),
        sum(row.differing for row in rows) / count,
    )


def _codes(values: Floats, tap: Any) -> NDArray[np.float64]:
    """What the other simulation rounded to, on our grid; between two codes if it was another."""
    codes: NDArray[np.float64] = values / tap.step(values.ndim) + tap.zero(values.ndim)
    return codes


def by_modelopt(case: Case, data: Floats, scratch: Path) -> tuple[dict[str, float], ir.Model]:
    """Export a calibration cache; what the other reader makes of it, and the model it quantizes.

    Raises:
        RuntimeError: When it fails.
    """
    ((name, cache),) = exporter("tensorrt-cache").write(case).items()
    (scratch / name).write_bytes(cache)
    (scratch / "model.onnx").write_bytes(serialized(float_model(case)))
    np.save(scratch / "data.npy", data)
    paths = (scratch / name, scratch / "model.onnx", scratch / "data.npy", scratch)
    _run(MODELOPT, "modelopt", *paths)
    scales = json.loads((scratch / "scales.json").read_text())
    return scales, ir.load(scratch / "quantized.onnx")


def _run(environment: Environment, worker: str, *arguments: Path) -> None:
    ended = environment.run("-m", f"benchmarks.readers.{worker}", *arguments)
    if ended.returncode:
        raise RuntimeError(f"{worker}: {last_line(ended.stderr)}")
