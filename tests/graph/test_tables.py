"""Tables of rows (embeddings) in integers: placed, written, read back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lostbits as lb
from lostbits.graph.place import place
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Target
from lostbits.targets import ONNXRUNTIME, OPENVINO, TENSORRT
from text_models import decibels, normal, outputs, proto, random

ROWS, WIDTH = 300, 8
LOOKED_UP = """net (int64[N, 6] ids) => (float[N, 6, 4] y) {
    e = Gather (table, ids)
    s = LayerNormalization <axis = -1> (e, gain, shift)
    y = MatMul (s, w)
}"""
TIED = """net (int64[N, 6] ids) => (float[N, 300] y) {
    e = Gather (table, ids)
    f = ReduceMean <axes = [1], keepdims = 0> (e)
    y = Gemm <transB = 1> (f, table)
}"""
CONSTANTS: dict[str, NDArray[Any]] = {
    "table": random(ROWS, WIDTH) * np.array([100, *[1] * (WIDTH - 1)], np.float32),
    "gain": 1 + random(WIDTH, seed=2) / 4,
    "shift": random(WIDTH, seed=3),
    "w": random(WIDTH, 4, seed=4),
}
NET, SHARED = proto(LOOKED_UP, **CONSTANTS), proto(TIED, table=CONSTANTS["table"])
IDS = np.random.default_rng(0).integers(0, ROWS, (16, 6))


@pytest.mark.parametrize("target", (ONNXRUNTIME, OPENVINO), ids=lambda t: t.name)
def test_a_table_has_a_scale_for_each_column(target: Target) -> None:
    found = {s.key: s for s in place(normal(NET), target).sites}
    assert (found["table:weight"].axis, found["table:weight"].per_channel) == (1, True)


def test_other_targets_and_shared_tables_stay_as_they_are() -> None:
    assert "table:weight" not in {s.key for s in place(normal(NET), TENSORRT).sites}
    shared = place(normal(SHARED), ONNXRUNTIME).sites
    assert [s.axis for s in shared if s.key == "table:weight"] == [0]


def test_the_file_holds_codes_and_looks_rows_of_them_up() -> None:
    case = lb.load(NET, data={"ids": IDS}, target="onnxruntime")
    model = quantized_model(case)
    kept = {n: v.const_value for n, v in model.graph.initializers.items()}
    table = kept["table"]
    assert table is not None and table.dtype.name == "INT8"
    assert [n.op_type for n in model.graph][:2] == ["Gather", "DequantizeLinear"]
    large = [n for n, a in kept.items() if a is not None and a.nbytes >= ROWS * WIDTH]
    assert large == ["table"], "no float copy beside it"
    (exact,), (other,) = outputs(NET, ids=IDS), outputs(model, ids=IDS)
    assert 30 < decibels(exact, other) < 60


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    case = lb.load(NET, data={"ids": IDS}, target="onnxruntime")
    (made,) = lb.export(case, "qdq-onnxruntime", tmp_path)
    again = lb.load(NET, data={"ids": IDS}, target="onnxruntime", plan=made.files[0].path)
    assert case.plan.keys() == again.plan.keys()
    for key, affine in case.plan.items():
        assert np.array_equal(affine.scale, again.plan[key].scale), key
        assert affine.axis == again.plan[key].axis, key
