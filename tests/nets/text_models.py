"""Small models for tests: ONNX text, with arrays for the weights that it names."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from lostbits.graph.simplify import normalise, without_quantizers

Array = NDArray[np.float32]


def random(*shape: int, seed: int = 0) -> Array:
    """Normal values that are the same in every run."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape, np.float32)


def proto(graph: str, opset: Any = 17, **weights: NDArray[Any]) -> onnx.ModelProto:
    """The model of ``graph``, in ONNX text without a header, with these initializers.

    (The opset is an int; as such, mypy would not let a dict of weights be unpacked behind it.)
    """
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "local" : 1, "com.microsoft" : 1]>'
    model = onnx.parser.parse_model(header + graph)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return model


def plain(model: onnx.ModelProto) -> ir.Model:
    """Without Q/DQ pairs, otherwise as it came."""
    return without_quantizers(ir.from_proto(model))[0]


def normal(model: onnx.ModelProto) -> ir.Model:
    """Normalised."""
    return normalise(plain(model))[0]


def outputs(model: onnx.ModelProto | ir.Model, **feeds: NDArray[np.generic]) -> list[Array]:
    """What ONNX Runtime computes without rewriting the graph."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    written = ir.to_proto(model) if isinstance(model, ir.Model) else model
    session = ort.InferenceSession(written.SerializeToString(), options)
    return [np.asarray(v) for v in session.run(None, feeds)]


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    """The model as a file."""
    onnx.save(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


def decibels(exact: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Power of ``exact`` over that of the difference."""
    x, y = exact.astype(np.float64), other.astype(np.float64)
    error = float(((x - y) ** 2).sum())
    return float("inf") if error == 0 else float(10 * np.log10((x**2).sum() / error))
