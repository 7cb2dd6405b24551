"""Models as people have them, from the file to the figures: each equals its plain twin."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lostbits as lb
from text_models import proto, random, saved

Change = Callable[[onnx.ModelProto], onnx.ModelProto]
W, V = random(16, 16), random(16, 4, seed=1)
ADDED = """g (float[N,10,16] x, float[10,16] p) => (float[N,10,4] y) {
    a = Add(x, p) m = MatMul(a, w) r = Relu(m) y = MatMul(r, v)
}"""
IMAGE = """g (float[N,3,8,8] x) => (float[N,4] y) {
    a = Conv<pads=[1,1,1,1]>(x, k) b = Relu(a) c = GlobalAveragePool(b) d = Flatten(c)
    y = MatMul(d, v)
}"""
SOUND = """g (float[N,8,T] x) => (float[N,4] y) {
    a = Conv<pads=[1,1]>(x, k) b = Relu(a) c = GlobalAveragePool(b) d = Flatten(c)
    y = MatMul(d, v)
}"""


def sqnr(model: object, data: object, target: str = "onnxruntime") -> float | None:
    return lb.diagnose(lb.load(model, data, target)).baseline.sqnr_db


@pytest.mark.parametrize("samples", [16, 10])
def test_an_input_without_batch_axis_may_be_given_once_or_repeated(samples: int) -> None:
    model = proto(ADDED, w=W, v=V)
    x, p = random(samples, 10, 16), random(10, 16)
    once = lb.diagnose(lb.load(model, {"x": x, "p": p}, "qnn-htp"))
    repeated = {"x": x, "p": np.repeat(p[None], samples, 0)}
    assert once.baseline.sqnr_db == sqnr(model, repeated, "qnn-htp")
    assert (once.data.samples, "p the same for all" in once.data.source) == (samples, True)


def external(model: onnx.ModelProto, folder: Path) -> Path:
    """The model with one weight a file, in a sub-folder too, one of them of a Constant node."""
    (folder / "weights").mkdir()
    places = dict(zip(("k", "v"), ("k.data", "weights/v.bin"), strict=True))
    for tensor in model.graph.initializer:
        (folder / places[tensor.name]).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=places[tensor.name])
    constant = TensorProto.FromString(model.graph.initializer[1].SerializeToString())
    del model.graph.initializer[1]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["v"], value=constant))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_may_lie_in_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, data = {"k": random(16, 3, 3, 3), "v": V}, random(16, 3, 8, 8)
    whole = sqnr(proto(IMAGE, **weights), data)
    path = external(proto(IMAGE, **weights), tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert sqnr(path.relative_to(tmp_path.parent), data) == whole
    (tmp_path / "weights" / "v.bin").unlink()
    with pytest.raises(lb.LostbitsError, match=r"M004.*v\.bin"):
        lb.load(path, data, "onnxruntime")


@pytest.mark.parametrize("target", ["tensorrt", "onnxruntime"])
def test_lengths_may_differ_from_file_to_file(target: str, tmp_path: Path) -> None:
    model = saved(proto(SOUND, k=random(16, 8, 3), v=V), tmp_path)
    (tmp_path / "samples").mkdir()
    for i in range(24):
        np.save(tmp_path / "samples" / f"{i:02}.npy", random(1, 8, 9 + i % 7, seed=i))
    case = lb.load(model, tmp_path / "samples", target, hold_out=True)
    found = lb.diagnose(case)
    assert abs(found.network.residual) < 0.05
    better = lb.recover(case, methods=["ranges", "bias_correction", "second_order"], budget=20)
    after, before = better.after.sqnr_db, better.before.sqnr_db
    assert after is not None and before is not None and after >= before


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def _old(model: onnx.ModelProto) -> onnx.ModelProto:
    model.opset_import[0].version = 9
    return model


@pytest.mark.parametrize("change", [_halved, _old])
def test_other_floats_and_opsets_give_the_figures_of_float32(change: Change) -> None:
    weights, data = {"k": random(16, 3, 3, 3), "v": V}, random(16, 3, 8, 8)
    halves = {name: x.astype(np.float16).astype(np.float32) for name, x in weights.items()}
    assert sqnr(change(proto(IMAGE, **halves)), data) == sqnr(proto(IMAGE, **halves), data)
