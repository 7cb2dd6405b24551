"""ONNX's one-node models, as the front end meets them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from benchmarks.front_end.guard import Job

OPSETS = (11, 23)
Data = Mapping[str, Any]


@cache
def _cases() -> dict[str, tuple[onnx.ModelProto, list[Any]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    return {c.name: (c.model, list(c.data_sets[0][0])) for c in cases if c.model and c.data_sets}


def node_names() -> list[str]:
    """Names of ONNX's node tests, sorted."""
    return sorted(_cases())


def node_jobs(names: list[str], target: str) -> Iterator[Job]:
    """Each test twice: all inputs fed, and all but the first float one made constants."""
    for name in names:
        yield Job(name, target, partial(load_node, name, False))
        yield Job(f"{name} (constants)", target, partial(load_node, name, True))


def load_node(name: str, constants: bool) -> tuple[onnx.ModelProto, Data]:
    """The model of a test and its inputs, given twice so that there are two samples."""
    model, arrays = _cases()[name]
    model = _restamped(model)
    feeds = dict(zip([i.name for i in model.graph.input], arrays, strict=False))
    if constants:
        feeds = _with_constants(model.graph, feeds, model.ir_version)
    return model, twice(feeds)


def _restamped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model at the nearest opset that lostbits reads, where that changes no definition.

    ONNX writes a test with the version that its operator was last touched by, often only to
    allow one more type.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    default = [o for o in copy.opset_import if o.domain in ("", "ai.onnx")]
    if len(copy.opset_import) == 1 and default:
        wanted = min(max(default[0].version, OPSETS[0]), OPSETS[1])
        if default[0].version < wanted or _runs_at(copy, wanted):
            default[0].version = wanted
    return copy


def _runs_at(model: onnx.ModelProto, version: int) -> bool:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.opset_import[0].version = version
    try:
        onnx.checker.check_model(copy, full_check=True)
    except Exception:
        return False
    return True


def _with_constants(
    graph: onnx.GraphProto, feeds: dict[str, Any], ir_version: int
) -> dict[str, Any]:
    """All inputs but the first float one become initializers, where there is such a one."""
    floats = [n for n, a in feeds.items() if isinstance(a, np.ndarray) and a.dtype == np.float32]
    kept = floats[:1] or list(feeds)[:1]
    moved = {n: a for n, a in feeds.items() if n not in kept and isinstance(a, np.ndarray)}
    for name, array in moved.items():
        graph.initializer.append(numpy_helper.from_array(array, name))
    if ir_version >= 4:  # before, initializers had to be among the inputs
        left = [i for i in graph.input if i.name not in moved]
        del graph.input[:]
        graph.input.extend(left)
    return {n: a for n, a in feeds.items() if n not in moved}


def twice(feeds: dict[str, Any]) -> Data:
    """The sample, or batch of samples, followed by itself, as lostbits.data takes it."""
    arrays = {name: _array(value) for name, value in feeds.items()}
    sizes = {a.shape[0] if a.ndim else None for a in arrays.values()}
    join = np.concatenate if len(sizes) == 1 and None not in sizes else np.stack
    return {name: join([a, a]) for name, a in arrays.items()}


def _array(value: Any) -> NDArray[Any]:
    """Values that are no arrays (sequences, optionals) are refused before data are looked at."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else np.zeros(2)
