"""Distance of our simulations to the Q/DQ model as a file in ONNX Runtime."""

from typing import Any

import numpy as np
import torch

from benchmarks.cases import planned
from benchmarks.diagnosis.closure import TARGETS
from benchmarks.prepared import CALIBRATION, EFFICIENTNET
from benchmarks.results import recorded
from benchmarks.table import Cell, Column
from lostbits.case import Case
from lostbits.data import Batch
from lostbits.runtime.decibels import decibels
from lostbits.runtime.executor import Executor
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Simulation, live, quantized_model, replayed

_SAMPLES = 16
_COLUMNS = (
    Column("target"),
    Column("replayed errors (what is attributed)", "dB", ".1f"),
    Column("live torch rounding", "dB", ".1f"),
    Column("default int8 kernels", "dB", ".1f"),
)


def simulation(save: bool) -> None:
    """Replayed, live, and by the kernels that ONNX Runtime chooses, for each target."""
    with recorded("simulation", _COLUMNS, n=f"{_SAMPLES} photographs", save=save) as rows:
        for name in TARGETS:
            rows.add(name, *_row(name))


def _row(name: str) -> list[Cell]:
    source, case = planned(EFFICIENTNET, CALIBRATION, name, samples=_SAMPLES)
    plain, fused = (Session(quantized_model(case), optimise=o) for o in (False, True))
    simulated, executor = Simulation(case), Executor(case.model, case.sites)
    sums = np.zeros(4)
    for part in source.batches(8):
        sums += _distances(part, plain, fused, simulated, executor, case)
    found = (decibels(sums[0], error) for error in sums[1:])
    return ["equal" if each is None else float(each) for each in found]


def _distances(
    part: Batch,
    plain: Session,
    fused: Session,
    simulated: Simulation,
    executor: Executor,
    case: Case,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    reference = plain.run(part.feeds)["logits" if "logits" in plain.names else plain.names[0]]
    _, frozen = simulated.run(part)
    with torch.no_grad():
        replay = executor.run(part.feeds, replayed(frozen))[0].numpy()
        alive = executor.run(part.feeds, live(case.plan))[0].numpy()
    others = (replay, alive, next(iter(fused.run(part.feeds).values())))
    return np.array(
        [
            (reference.astype(float) ** 2).sum(),
            *(((o - reference).astype(float) ** 2).sum() for o in others),
        ]
    )
