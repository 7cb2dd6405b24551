"""Mistakes of other tools, planted into files as those tools write them, are the first finding."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from lostbits import Diagnosis
from lostbits.case import Case
from lostbits.data import Source
from lostbits.exporters import exporter
from lostbits.foreign.cost_of_faults import placed_first
from lostbits.grid import affine_from_range
from lostbits.language import Figure, Message, say, verbatim
from lostbits.results.diagnosis import Finding, Reason
from runs import assert_valid, diagnosed, planned
from text_models import proto, random

pytestmark = pytest.mark.slow

SAMPLES = 24

# Two layers share the weight w; the branches of the Concat differ in size by the factor of g.
NET = """g (float[N,4,6,6] x) => (float[N,3] y) {
    c = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu(c)
    d = Conv <pads = [1,1,1,1]> (r, w, a)
    s = Relu(d)
    e = Conv (r, g)
    k = Concat <axis = 1> (s, e)
    p = GlobalAveragePool(k)
    f = Flatten(p)
    y = Gemm <transB = 1> (f, u, t)
}"""


def data() -> Any:
    """Values that reach further below zero than above, as some preprocessing makes them."""
    return random(SAMPLES, 4, 6, 6) - np.float32(2)


def weights(branch: float = 1.0) -> dict[str, Any]:
    return {
        "w": random(4, 4, 3, 3) / 4,
        "b": random(4) - 1,
        "a": random(4, seed=1),
        "g": np.float32(branch) * random(4, 4, 1, 1),
        "u": random(3, 8),
        "t": random(3),
    }


@dataclass(frozen=True)
class Bench:
    """A float network in a folder, its data, and what other tools would make of it."""

    folder: Path
    arrays: dict[str, Any]

    @property
    def model(self) -> Path:
        path = self.folder / "float.onnx"
        if not path.exists():
            graph = proto(NET, **self.arrays)
            for number, node in enumerate(graph.graph.node):
                node.name = f"{node.op_type}{number}"
            onnx.save(graph, path)
        return path

    def case(self, target: str) -> tuple[Source, Case]:
        return planned(self.model, data(), target)

    def diagnosed(self, file: Path, target: str | None = None) -> Diagnosis:
        result = diagnosed(self.model, data(), target, plan=file)
        assert_valid(result)
        return result

    def by_onnxruntime(self, edit: Callable[["Edited"], None], **options: Any) -> Path:
        """A Q/DQ file of ONNX Runtime's own quantizer, edited."""
        file = self.folder / "quantized.onnx"
        quantize_static(
            self.model,
            file,
            _Feeds(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **options,
        )
        edited = Edited(onnx.load(file))
        edit(edited)
        onnx.save(edited.model, file)
        return file

    def cache(self, end: Callable[[float, float], float]) -> Path:
        """A TensorRT cache with ``end(lo, hi)`` as the range of every tensor."""
        _, case = self.case("tensorrt")
        lines = ["TRT-10300-EntropyCalibration2"]
        for site in case.placed.sites:
            if site.streams:
                seen = case.seen[site.key].whole
                amax = end(float(seen.lo.min()), float(seen.hi.max()))
                bits = struct.pack("!f", amax / 127).hex()
                lines.append(f"{site.tensor}: {bits}")
        file = self.folder / "calibration.cache"
        file.write_text("\n".join(lines) + "\n")
        return file


class Edited:
    """A model whose constants are replaced by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model

    def __getitem__(self, name: str) -> Any:
        (found,) = [t for t in self.model.graph.initializer if t.name == name]
        return numpy_helper.to_array(found)

    def __setitem__(self, name: str, value: Any) -> None:
        for tensor in self.model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))
                return
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.rest: Iterator[Any] = iter({"x": x[None]} for x in data())

    def get_next(self) -> Any:
        return next(self.rest, None)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, weights())


def doubt(text: Message) -> Figure:
    """The code of the doubt that a text is about."""
    told = text.figures.get("doubt", text)
    assert isinstance(told, Message) and told.code == "doubt.told"
    return told.figures["code"]


def first(result: Diagnosis, code: str, share: float = 0.5) -> Finding:
    """The first finding, which must be the mistake, and most of the loss."""
    found = result.findings[0]
    assert found.reason == "mistake"
    assert doubt(found.text) == code
    assert found.share > share
    assert result.verdict.code == "verdict.mistake"
    assert result.verdict.figures["text"] == found.text
    return found


def absolute(lo: float, hi: float) -> float:
    return max(-lo, hi)


def nothing(model: Edited) -> None:
    pass


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_sound_file_of_onnxruntime_has_no_mistake(bench: Bench, per_channel: bool) -> None:
    result = bench.diagnosed(bench.by_onnxruntime(nothing, per_channel=per_channel))
    assert all(f.reason != "mistake" for f in result.findings)
    assert (result.baseline.sqnr_db or 0) > 25


@pytest.mark.parametrize("scale", [0.0, 1e-41])
def test_a_scale_of_zero(bench: Bench, scale: float) -> None:
    def dead(model: Edited) -> None:
        model["r_scale"] = np.float32(scale)

    found = first(bench.diagnosed(bench.by_onnxruntime(dead)), "I005", 0.95)
    assert (found.tensor, found.role) == ("r", "activation")
    assert found.gain_db > 20
    assert found.command.endswith("overrides=['r=min_max']))")


def test_the_maximum_in_place_of_the_largest_magnitude(bench: Bench) -> None:
    result = bench.diagnosed(bench.cache(lambda lo, hi: hi), "tensorrt")
    found = first(result, "I021", 0.9)
    assert found.tensor == "x"
    assert found.cause == "clip"


def test_a_bias_off_the_scale_of_the_accumulator(bench: Bench) -> None:
    def rescaled(model: Edited) -> None:
        model["a_quantized_scale"] = np.float32(3) * model["a_quantized_scale"]

    found = first(bench.diagnosed(bench.by_onnxruntime(rescaled)), "I022", 0.9)
    assert (found.tensor, found.role) == ("a", "bias")
    assert found.command.endswith("overrides=['a=float']))")


def test_a_bias_that_only_integer_kernels_read_wrongly(bench: Bench) -> None:
    """Codes and scale agree with each other, so that the file as written loses nothing."""

    def own_scale(model: Edited) -> None:
        codes, scale = model["a_quantized"], model["a_quantized_scale"]
        model["a_quantized"] = np.rint(codes / 4).astype(np.int32)
        model["a_quantized_scale"] = np.float32(4) * scale

    result = bench.diagnosed(bench.by_onnxruntime(own_scale))
    found = first(result, "I022", 0.9)
    assert found.text.figures["scene"] == say("mistake.kernels")
    assert (result.baseline.sqnr_db or 0) > 25


def test_one_shared_initializer_with_two_scales(bench: Bench) -> None:
    def two(model: Edited) -> None:
        nodes = model.model.graph.node
        (old,) = [n for n in nodes if n.input[0] == "w_quantized"]
        model["w_scale_2"] = np.float32(1.5) * model["w_scale"]
        inputs = ["w_quantized", "w_scale_2", *old.input[2:]]
        nodes.insert(0, helper.make_node(old.op_type, inputs, ["w_2"], name="second"))
        (reader,) = [n for n in nodes if n.name == "Conv2"]
        reader.input[1] = "w_2"

    found = first(bench.diagnosed(bench.by_onnxruntime(two)), "I023", 0.9)
    assert (found.tensor, found.role) == ("w", "weight")


def test_a_relu_that_a_symmetric_grid_does_not_replace(bench: Bench) -> None:
    options = {"ActivationSymmetric": True, "QDQKeepRemovableActivations": True}
    whole = bench.by_onnxruntime(nothing, extra_options=options)
    kept = bench.diagnosed(whole)

    def dropped(model: Edited) -> None:
        nodes = model.model.graph.node
        makers = {n.output[0]: n for n in nodes}
        for relu in [n for n in nodes if n.op_type == "Relu"]:
            gone = [relu]
            while (before := makers[gone[-1].input[0]]).op_type != "Conv":
                gone.append(before)
            before.output[0] = relu.output[0]
            for node in gone:
                nodes.remove(node)

    found = bench.diagnosed(bench.by_onnxruntime(dropped, extra_options=options))
    first(found, "I042", 0.9)
    assert kept.plan is not None and "I042" not in map(doubt, kept.plan.suspicions)
    assert found.judgement is not None and found.judgement.by == "file"
    assert found.plan is not None and found.judgement.value == found.plan.file_sqnr_db


def test_a_pair_behind_another_is_measured_beside_the_file(bench: Bench) -> None:
    def twice(model: Edited) -> None:
        (gemm,) = [n for n in model.model.graph.node if n.op_type == "GlobalAveragePool"]
        model["narrow"], model["middle"] = np.float32(1e-3), np.uint8(0)
        source = gemm.input[0]
        pair = [
            helper.make_node("QuantizeLinear", [source, "narrow", "middle"], ["again_q"]),
            helper.make_node("DequantizeLinear", ["again_q", "narrow", "middle"], ["again"]),
        ]
        place = list(model.model.graph.node).index(gemm)
        for node in reversed(pair):
            model.model.graph.node.insert(place, node)
        model.model.graph.node[place + 2].input[0] = "again"

    found = first(bench.diagnosed(bench.by_onnxruntime(twice)), "I043", 0.9)
    assert found.tensor == "k"


@pytest.mark.parametrize("factor", [12.0, 0.08])
def test_ranges_of_another_model(bench: Bench, factor: float) -> None:
    file = bench.cache(lambda lo, hi: factor * absolute(lo, hi))
    found = first(bench.diagnosed(file, "tensorrt"), "I025")
    assert "plan=" not in found.command


def test_entropy_that_cut_nothing_off(tmp_path: Path) -> None:
    """A channel that spikes rarely, and that the next layers hardly read."""
    arrays = weights()
    arrays["w"][0] *= 200
    arrays["b"][0] = -700
    arrays["w"][:, 0] *= 1e-5
    arrays["g"][:, 0] *= 1e-5
    bench = Bench(tmp_path, arrays)
    found = first(bench.diagnosed(bench.cache(absolute), "tensorrt"), "I020")
    assert found.gain_db > 3


def test_an_unbalanced_concat_is_found_at_its_output(tmp_path: Path) -> None:
    """The doubt is a note; what it costs is the one scale of the output, a finding of its own."""
    arrays = weights(branch=100.0)
    arrays["u"][:, 4:] /= 1000
    bench = Bench(tmp_path, arrays)
    result = bench.diagnosed(bench.by_onnxruntime(nothing))
    assert result.plan is not None
    suspicion = result.plan.suspicions[0]
    assert doubt(suspicion) == "I024"
    assert suspicion.figures["where"] == say("doubt.node", name="'Concat5'")
    found = result.findings[0]
    assert (found.reason, found.tensor in "kp") == ("granularity", True)


def test_a_doubt_that_costs_nothing_stays_a_note(bench: Bench) -> None:
    """A mistaken scale of a bias of zeros."""
    arrays = {**bench.arrays, "a": np.zeros(4, np.float32)}
    bench = Bench(bench.folder, arrays)

    def rescaled(model: Edited) -> None:
        model["a_quantized_scale"] = np.float32(3) * model["a_quantized_scale"]

    result = bench.diagnosed(bench.by_onnxruntime(rescaled))
    assert result.plan is not None
    assert "I022" in map(doubt, result.plan.suspicions)
    assert all(f.reason != "mistake" for f in result.findings)


def test_a_mistake_stands_before_what_it_explains() -> None:
    def finding(reason: Reason, share: float, tensor: str) -> Finding:
        nothing = verbatim("")
        figures = (share, 0.0, 0.0, nothing, "", nothing)
        return Finding("F001", tensor, "activation", "", "round", reason, *figures)

    others = [
        finding("too_narrow", 0.9, "a"),
        finding("too_wide", 0.5, "x"),
        finding("too_wide", 0.1, "b"),
    ]
    for share, tensor, place in ((0.95, "c", 0), (0.3, "c", 2), (0.3, "x", 1), (0.05, "c", 3)):
        mistake = finding("mistake", share, tensor)
        assert placed_first(others, mistake).index(mistake) == place


def test_ranges_and_exporter_of_this_bench_are_what_they_seem(bench: Bench) -> None:
    """The cache that the tests edit is the one that our exporter writes for min-max ranges."""
    _, case = bench.case("tensorrt")
    (name,) = exporter("tensorrt-cache").write(case)
    assert name == bench.cache(absolute).name
    seen = case.seen["x:activation"].whole
    lo, hi = float(seen.lo.min()), float(seen.hi.max())
    assert -lo > 1.5 * hi > 0
    grid = case.plan["x:activation"].grid
    assert affine_from_range(-absolute(lo, hi), absolute(lo, hi), grid, symmetric=True).hi > hi
