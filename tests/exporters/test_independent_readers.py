"""Our files in the hands of others: AIMET simulates our encodings, ModelOpt reads our caches.

Each lives in an environment of its own (``benchmarks.environments``); where it has not been
made, the tests are skipped and name the command.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import runs
from benchmarks.environments import MODELOPT, PEERS
from benchmarks.readers import compare
from exported_nets import net
from lostbits.case import Case
from lostbits.graph.qdq_view import taps_of
from lostbits.grid import Affine, Grid
from lostbits.target import Target
from lostbits.targets import QNN_HTP, SNPE, TENSORRT
from small_nets import cnn, samples
from text_models import random

needs_aimet = pytest.mark.skipif(bool(PEERS.missing), reason=PEERS.missing)
needs_modelopt = pytest.mark.skipif(bool(MODELOPT.missing), reason=MODELOPT.missing)
DATA = random(32, 4, 6, 6)
TARGETS = {
    "per tensor": SNPE,
    "per channel": QNN_HTP,
    "16 bits": replace(
        QNN_HTP, activations=replace(QNN_HTP.activations, grid=Grid.of(16, signed=False))
    ),
    "4-bit weights": replace(
        QNN_HTP, weights=replace(QNN_HTP.weights, grid=Grid.of(4, signed=True))
    ),
}


def planned(target: Target, folder: Path) -> Case:
    """Conv, ConvTranspose, Concat, Gemm and MatMul."""
    ir.save(net(), folder / "net.onnx")
    return runs.planned(folder / "net.onnx", DATA, target)[1]


@needs_aimet
@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("per tensor", "encodings-0.6.1"),
        ("per channel", "encodings-0.6.1"),
        ("per channel", "encodings-1.0.0"),
        ("4-bit weights", "encodings-1.0.0"),
        ("16 bits", "encodings-2.0.0"),
    ],
)
def test_aimet_simulates_our_encodings_within_one_code(
    kind: str, form: str, tmp_path: Path
) -> None:
    case = planned(TARGETS[kind], tmp_path)
    found = compare.by_aimet(case, form, DATA, tmp_path)
    assert found.tensors == len([s for s in case.sites if s.streams])
    assert found.own < 1.01  # codes; sums of float32 in another order, at a tie
    assert found.own_share < 0.002


@needs_aimet
def test_aimet_simulates_clips_adds_and_pools_too(tmp_path: Path) -> None:
    onnx.save(cnn(0), tmp_path / "net.onnx")
    data = samples(0, 16, 3, 16, 16)
    case = runs.planned(tmp_path / "net.onnx", data, QNN_HTP)[1]
    found = compare.by_aimet(case, "encodings-1.0.0", data, tmp_path)
    assert found.own < 1.01
    assert found.own_share < 0.002


@needs_aimet
def test_another_scale_would_be_seen(tmp_path: Path) -> None:
    """The comparison itself: AIMET is given a plan that is not the one it is compared with."""
    case = planned(QNN_HTP, tmp_path)
    key = "h:activation"
    other = replace(case.plan[key], scale=np.float32(1.1) * case.plan[key].scale)
    compare.by_aimet(
        replace(case, plan={**case.plan, key: other}), "encodings-1.0.0", DATA, tmp_path
    )
    with np.load(tmp_path / "values.npz") as kept:
        values = {n: kept[f"arr_{i}"] for i, n in enumerate(kept["names"].tolist())}
    assert compare.distance(case, DATA, values).own > 3


@needs_modelopt
def test_modelopt_reads_and_uses_the_scales_of_our_cache(tmp_path: Path) -> None:
    case = planned(TENSORRT, tmp_path)
    scales, quantized = compare.by_modelopt(case, DATA, tmp_path)
    plan = {s.tensor: case.plan[s.key] for s in case.sites if s.streams}
    assert scales == {f"{t}_scale": float(a.scale) for t, a in plan.items()}
    used = taps_of(quantized.graph)
    assert used
    for tap in used:
        assert isinstance(plan[tap.tensor], Affine)
        assert float(tap.scale) == float(plan[tap.tensor].scale)
        assert not tap.zero_point.any()
