"""The architectures that the front end must take: ONNX's light models and PP-OCRv4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper, version_converter

from benchmarks.front_end.guard import Job
from benchmarks.prepared import BENCH

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"
_FLOAT = onnx.TensorProto.FLOAT
Data = Mapping[str, NDArray[np.float32]]


def light_names() -> list[str]:
    """Names of the architectures in the onnx package."""
    return sorted(path.stem for path in LIGHT.glob("*.onnx"))


def light_jobs(names: list[str], targets: list[str], samples: int = 2) -> Iterator[Job]:
    """The light models with random samples of the shape that they take."""
    for name in names:
        for target in targets:
            yield Job(name, target, partial(load_light, name, samples))


def load_light(name: str, samples: int) -> tuple[onnx.ModelProto, Data]:
    """A light model at opset 13, with weights that differ from each other.

    The files have opset 9, older than what lostbits reads, and most of their weights are one
    number repeated, which loses nothing when it is quantized.
    """
    model = version_converter.convert_version(onnx.load(str(LIGHT / f"{name}.onnx")), 13)
    model.ir_version = 8  # from 4 on, initializers need not be among the inputs
    random = np.random.default_rng(0)
    _fill(model.graph, random)
    constants = {i.name for i in model.graph.initializer}
    (taken,) = [i for i in model.graph.input if i.name not in constants]
    shape = [d.dim_value for d in taken.type.tensor_type.shape.dim]
    x = random.standard_normal((samples, *shape[1:]), np.float32)
    _spread(model, {taken.name: x[:1]})
    return model, {taken.name: x}


def _fill(graph: onnx.GraphProto, random: np.random.Generator) -> None:
    """Replace each constant-filled weight by values of the size that He initialisation gives."""
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "ConstantOfShape" and node.attribute[0].t.data_type == _FLOAT:
            shape = tuple(int(d) for d in shapes[node.input[0]])
            graph.initializer.append(
                numpy_helper.from_array(_weight(shape, random), node.output[0])
            )
            graph.node.remove(node)


def _spread(model: onnx.ModelProto, feeds: Data) -> None:
    """Scale the last layer so that a final Softmax gives more than one answer.

    With random weights its inputs are so large that it only ever says 0 or 1, and nothing but a
    change of the winner would be seen at the output.
    """
    graph = model.graph
    if graph.node[-1].op_type != "Softmax":
        return
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=graph.node[-1].input[0]))
    session = ort.InferenceSession(copy.SerializeToString(), _quiet())
    factor = np.float32(1 / session.run(None, feeds)[0].std())
    last = [n for n in graph.node if n.op_type in ("Conv", "Gemm")][-1]
    for stored in graph.initializer:
        if stored.name in last.input[1:]:
            scaled = numpy_helper.to_array(stored) * factor
            stored.CopyFrom(numpy_helper.from_array(scaled, stored.name))


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options


def _weight(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    if len(shape) < 2:  # bias, mean, variance, scale: positive will do for all of them
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    deviation = np.sqrt(2 / np.prod(shape[1:]))
    return random.standard_normal(shape, np.float32) * np.float32(deviation)


def ocr_jobs(targets: list[str]) -> Iterator[Job]:
    """The three networks of PP-OCRv4, where benchmarks.prepare has put them."""
    for part, samples in (("cls", 64), ("rec", 8), ("det", 24)):
        if (BENCH / f"ppocr_v4_{part}.onnx").is_file():
            for target in targets:
                yield Job(f"ppocr_v4_{part}", target, partial(_load_ocr, part, samples))


def _load_ocr(part: str, samples: int) -> tuple[onnx.ModelProto, Data]:
    model = onnx.load(str(BENCH / f"ppocr_v4_{part}.onnx"))
    x = np.load(BENCH / f"ocr_{part}.npy", mmap_mode="r")[:samples]
    return model, {model.graph.input[0].name: np.array(x)}
