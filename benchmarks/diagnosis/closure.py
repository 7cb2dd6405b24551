"""Sum of the attributions against the measured total, coverage, and time."""

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

import lostbits
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, MANY
from benchmarks.results import Rows, recorded
from benchmarks.table import Cell, Column
from lostbits.results.diagnosis import Diagnosis

TARGETS = ("snpe", "tensorrt", "qnn-htp")
SAMPLES = 64
STAGES = ("calibrate", "diagnose", "explain")
_WHICH = (Column("target"), Column("photographs"))
_CLOSURE = (
    *_WHICH,
    Column("sites"),
    Column("SQNR", "dB", ".1f"),
    Column("agreement", "", ".3f"),
    Column("sum / total", "", ".4f"),
    Column("passes", "", ".1f"),
)
_TIME = (
    *_WHICH,
    Column("ONNX Runtime float", "s", ".2f"),
    Column("full diagnosis", "s", ".1f"),
    Column("ratio", "", ".0f"),
    *(Column(stage, "s", ".1f") for stage in STAGES),
)


def closure(save: bool) -> None:
    """Three targets, two sets of photographs; times are of the same runs.

    Where errors of batches do not cancel, more of them are refined.
    """
    times: list[tuple[Cell, ...]] = []
    with recorded("closure", _CLOSURE, n=f"{SAMPLES} photographs", keys=2, save=save) as rows:
        for data in (CALIBRATION, MANY):
            times += [_closure_row(rows, name, data) for name in TARGETS]
    with recorded("time", _TIME, n=f"{SAMPLES} photographs", keys=2, save=save) as rows:
        for row in times:
            rows.add(*row)


def _closure_row(rows: Rows, name: str, data: Path) -> tuple[Cell, ...]:
    """Add what the diagnosis says; return the row of the times."""
    unit, start = inference(data), time.perf_counter()
    result = lostbits.diagnose(lostbits.load(EFFICIENTNET, data, name, samples=SAMPLES))
    wall = time.perf_counter() - start
    unit = min(unit, inference(data))
    rows.add(name, data.stem, *_cells(result))
    rows.remark(f"{name}, {data.stem}: worst |round + clip - total| / total = {_split(result):.1e}")
    stages = (float(result.seconds[stage]) for stage in STAGES)
    return name, data.stem, unit, wall, wall / unit, *stages


def _cells(result: Diagnosis) -> tuple[Cell, ...]:
    network, coverage, base = result.network, result.coverage, result.baseline
    sites = f"{coverage.sites_matched} of {coverage.sites_total}"
    return sites, base.sqnr_db, base.agreement, 1 + network.residual, network.evaluations


def _split(result: Diagnosis) -> float:
    """How far the two causes of a site are from its error, at worst, relative to it."""
    return float(
        max(abs(s.mse_round + s.mse_clip - s.mse) / max(s.mse, 1e-300) for s in result.sites)
    )


def inference(path: Path, samples: int = SAMPLES) -> float:
    """Return the seconds of ONNX Runtime's float inference, the best of three."""
    session = ort.InferenceSession(str(EFFICIENTNET), providers=["CPUExecutionProvider"])
    data, name = np.load(path, mmap_mode="r")[:samples], session.get_inputs()[0].name
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for first in range(0, samples, 8):
            session.run(None, {name: data[first : first + 8]})
        best = min(best, time.perf_counter() - start)
    return best
