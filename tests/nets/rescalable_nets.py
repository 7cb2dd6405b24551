"""Networks whose channels have very different ranges, and the harness of rescaling recoveries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lostbits.case import Case
from lostbits.language import verbatim
from lostbits.recovery import Change, Diagnosed, Rewriting
from lostbits.results.diagnosis import Attribution, NetworkReport
from lostbits.runtime.session import Session
from lostbits.targets import target
from small_nets import Net, built, samples

Floats = NDArray[np.float32]


class Uneven(Net):
    """A net whose layers' output channels have ranges from 1/30 to 30."""

    def uneven(self, *shape: int, axis: int = 0) -> str:
        scale = 30.0 ** self.random.uniform(-1, 1, shape[axis])
        line = [-1 if a == axis else 1 for a in range(len(shape))]
        weight = self.random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        return self.constant(weight * scale.reshape(line))


def of_nodes(
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, NDArray[Any]],
    shape: tuple[int | str, ...],
    outputs: Mapping[str, int],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model with one input ``x`` and outputs of the given ranks."""
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
        for name, rank in outputs.items()
    ]
    held = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "net", [entry], results, held)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def case_of(model: onnx.ModelProto, data: Floats, folder: Path, name: str = "snpe") -> Case:
    """Calibrated and planned."""
    return built(model, data, target(name), folder)[1]


def diagnosed(shares: Mapping[str, float]) -> Diagnosed:
    """A diagnosis that lays these parts of the output error on sites, all of it rounding."""
    found = []
    for key, share in shares.items():
        tensor, _, name = key.rpartition(":")
        role: Any = name
        found.append(Attribution(tensor, role, "round", share, share))
    report = NetworkReport("aumann-shapley", "nsr", 1.0, 0.0, 1.0, found, {}, verbatim(""))
    return Diagnosed(report, ())


def change_of(recovery: Rewriting, case: Case) -> Change:
    """What the recovery proposes; it must leave the case as it is."""
    before = ir.to_proto(case.model).SerializeToString(deterministic=True)
    change = recovery.consider(case).change()
    assert ir.to_proto(case.model).SerializeToString(deterministic=True) == before
    return change


def drift(case: Case, change: Change, data: Floats) -> float:
    """Largest change of an output, relative to its largest value."""
    assert change.model is not None
    onnx.checker.check_model(ir.to_proto(change.model), full_check=True)
    feeds = {"x": data}
    before, after = Session(case.model).run(feeds), Session(change.model).run(feeds)
    assert before.keys() == after.keys()
    return max(float(np.abs(after[n] - b).max() / np.abs(b).max()) for n, b in before.items())


__all__ = ["Uneven", "case_of", "change_of", "diagnosed", "drift", "of_nodes", "samples"]
