"""Quantized files whose names are not those of the float model: exporters number them anew."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import lostbits as lb
from lostbits.foreign.by_structure import named_alike
from lostbits.foreign.file import read_foreign
from lostbits.graph.load import load
from lostbits.verbs.inspect import inspect
from text_models import proto, random, saved

FIRST, SECOND = 0.01, 0.03  # scales of the two activations behind the input
WEIGHTS = {"a": random(6, 6, seed=1), "b": random(6, 6, seed=2), "c": random(6, 4, seed=3)}
FLOAT = """net (float[N,6] x) => (float[N,4] y) {
    n1 = MatMul(x, a) n2 = Relu(n1) n3 = MatMul(n2, b) n4 = Relu(n3) y = MatMul(n4, c) }"""
# The same with pairs, numbered anew: its n4 is the model's n2.
QUANTIZED = """net (float[N,6] x) => (float[N,4] y) {
    n1 = QuantizeLinear(x, s0, z) n2 = DequantizeLinear(n1, s0, z)
    n3 = MatMul(n2, a) n4 = Relu(n3)
    n5 = QuantizeLinear(n4, s1, z) n6 = DequantizeLinear(n5, s1, z)
    n7 = MatMul(n6, b) n8 = Relu(n7)
    n9 = QuantizeLinear(n8, s2, z) n10 = DequantizeLinear(n9, s2, z)
    n11 = MatMul(n10, c)
    n12 = QuantizeLinear(n11, s2, z) y = DequantizeLinear(n12, s2, z) }"""


def quantized(text: str = QUANTIZED) -> onnx.ModelProto:
    scales = {f"s{i}": np.array(s, np.float32) for i, s in enumerate((0.02, FIRST, SECOND))}
    return proto(text, z=np.array(100, np.uint8), **scales, **WEIGHTS)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    plain = saved(proto(FLOAT, **WEIGHTS), tmp_path)
    onnx.save(quantized(), tmp_path / "quantized.onnx")
    return Path(plain), tmp_path / "quantized.onnx"


def test_places_tell_what_belongs_together(pair: tuple[Path, Path]) -> None:
    found = inspect(pair[1], pair[0], target="onnxruntime").match
    assert found is not None and not found.unmatched
    scales = {key: float(affine.scale) for key, affine in found.plan.items()}
    assert scales["n2:activation"] == pytest.approx(FIRST)
    assert scales["n4:activation"] == pytest.approx(SECOND)


def test_a_diagnosis_is_of_the_file_and_says_so(pair: tuple[Path, Path]) -> None:
    data = {"x": random(16, 6, seed=4)}
    found = lb.diagnose(lb.load(pair[0], data, "onnxruntime", plan=pair[1]))
    assert found.plan is not None and not found.plan.unmatched
    assert found.plan.sqnr_db_vs_file is None or found.plan.sqnr_db_vs_file > 60
    assert "plan.by_structure" in {note.code for note in found.notes}


@pytest.mark.parametrize(
    "text",
    [
        QUANTIZED.replace("n8 = Relu(n7)", "n8 = Sigmoid(n7)"),
        QUANTIZED.replace("n8 = Relu(n7)", "n70 = Neg(n7) n8 = Relu(n70)"),
        QUANTIZED.replace("MatMul(n10, c)", "MatMul(n10, n2)").replace("float[N,4]", "float[N,6]"),
    ],
    ids=["another op", "a node more", "a tensor for a constant"],
)
def test_another_structure_keeps_its_names(text: str, pair: tuple[Path, Path]) -> None:
    onnx.save(quantized(text), pair[1])
    foreign = read_foreign(pair[1])
    assert named_alike(foreign, load(pair[0]).model) is foreign


def test_equal_names_are_left_alone(pair: tuple[Path, Path]) -> None:
    foreign = read_foreign(pair[1])
    assert foreign.model is not None
    assert named_alike(foreign, foreign.model) is foreign
