"""Weights of a Q/DQ file that have a scale for each block of an axis."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import lostbits as lb
from lostbits.errors import ReadError, edge
from lostbits.graph.simplify import opened
from lostbits.reader import damaged
from lostbits.readers.constants import constants_of
from text_models import Array, outputs, proto, random

MODEL = "g (float[N, 32] x) => (float[N, 6] y) { y = MatMul(x, w) }"


def file(axis: int, *, zeros: bool) -> tuple[onnx.ModelProto, Array]:
    """A float model's weight in int4, and what ONNX Runtime makes of it."""
    shape = [32, 6]
    rng = np.random.default_rng(axis)
    codes = rng.integers(-8, 8, shape)
    blocks = [-(-n // 4) if i == axis else n for i, n in enumerate(shape)]
    scale = rng.uniform(0.1, 2.0, blocks).astype(np.float32)
    read = f"w = DequantizeLinear<axis = {axis}, block_size = 4>(c, s{', z' if zeros else ''})"
    graph = f"g (float[N, 32] x) => (float[N, 6] y) {{ {read} y = MatMul(x, w) }}"
    model = proto(graph, opset=21, s=scale)
    kept = {"c": codes, **({"z": rng.integers(-3, 3, blocks)} if zeros else {})}
    for name, values in kept.items():
        packed = helper.make_tensor(name, TensorProto.INT4, values.shape, values.ravel())
        model.graph.initializer.append(packed)
    (weight,) = outputs(model, x=np.eye(32, dtype=np.float32))
    return model, weight


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_are_dequantized_as_onnxruntime_does_it(axis: int, zeros: bool) -> None:
    model, weight = file(axis, zeros=zeros)
    found = constants_of(opened(ir.from_proto(model)).graph).names["w"]
    assert np.allclose(found, weight, rtol=1e-6)


def test_a_file_of_blocks_is_judged_by_its_own_values(tmp_path: Path) -> None:
    model, weight = file(0, zeros=False)
    onnx.save(model, tmp_path / "blocks.onnx")
    near = weight + random(*weight.shape) / 10
    onnx.save(proto(MODEL, w=near), tmp_path / "model.onnx")
    x = random(8, 32)
    case = lb.load(tmp_path / "model.onnx", x, "onnxruntime", plan=tmp_path / "blocks.onnx")
    result = lb.diagnose(case)
    wanted, error = x @ near, x @ (weight - near)
    assert result.baseline.sqnr_db == pytest.approx(
        10 * np.log10((wanted**2).sum() / (error**2).sum()), abs=1e-3
    )
    assert result.judgement is not None and result.judgement.grade is not None
    assert (result.findings[0].reason, result.findings[0].role) == ("changed", "weight")


def test_a_file_of_float8_is_refused_for_its_type(tmp_path: Path) -> None:
    graph = """g (float[N, 32] x) => (float[N, 6] y) {
        c = QuantizeLinear(x, s, z)
        d = DequantizeLinear(c, s, z)
        y = MatMul(d, w)
    }"""
    model = proto(graph, opset=19, s=np.full((), 0.1, np.float32), w=random(32, 6))
    zero = np.zeros((), ml_dtypes.float8_e4m3fn)
    model.graph.initializer.append(numpy_helper.from_array(zero, "z"))
    onnx.save(model, tmp_path / "float8.onnx")
    onnx.save(proto(MODEL, w=random(32, 6)), tmp_path / "model.onnx")
    with pytest.raises(ReadError) as caught:
        lb.load(tmp_path / "model.onnx", random(8, 32), plan=tmp_path / "float8.onnx")
    assert caught.value.code == "I028" and "FLOAT8E4M3FN" in str(caught.value.found)


def test_what_a_library_was_told_first_is_said() -> None:
    with pytest.raises(ReadError) as caught, edge(damaged):
        try:
            raise ValueError("output 'y' twice")
        except ValueError as error:
            raise RuntimeError("error calling a function") from error
    assert caught.value.found == "ValueError: output 'y' twice"
