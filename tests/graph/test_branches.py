"""Control flow: what is settled goes, what is not runs as it is."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import lostbits as lb
from control_flow_nets import enclosed, gated, looped, rated, scanned, squeezing
from lostbits.exporter import serialized
from lostbits.graph.branches import CONTROL_FLOW
from lostbits.runtime.float_reference import open_reference
from text_models import outputs, random

Make = Callable[[], onnx.ModelProto]


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_an_if_of_a_declared_shape_is_folded() -> None:
    found = open_reference(squeezing("1"))
    assert ops(found.model) == ["Squeeze", "MatMul", "Relu", "MatMul"]
    assert found.changes.branches == ["branch"]
    assert ops(open_reference(squeezing("3")).model) != ops(found.model)
    x = random(5, 1, 12)
    (before,), (after,) = outputs(squeezing("1"), x=x), outputs(found.model, x=x)
    assert np.array_equal(before, after)


def test_an_if_of_shapes_goes_as_all_samples_go() -> None:
    case = lb.load(squeezing("C"), random(16, 1, 12), "onnxruntime")
    assert ops(case.model) == ["Squeeze", "MatMul", "Relu", "MatMul"]
    twin = lb.load(squeezing("1"), random(16, 1, 12), "onnxruntime")
    found, same = lb.diagnose(case), lb.diagnose(twin)
    assert found.baseline.sqnr_db == same.baseline.sqnr_db
    assert "note.branches" in [note.code for note in found.notes]
    assert "note.branches" not in [note.code for note in same.notes]


def test_an_if_of_an_integer_input_goes_as_all_samples_go() -> None:
    data = {"x": random(8, 12), "rate": np.full(8, 16000)}
    case = lb.load(rated(), data, "onnxruntime")
    assert ops(case.model)[0] == "Neg"
    data["rate"][5] = 8000
    assert ops(lb.load(rated(), data, "onnxruntime").model)[1] == "branch"


def test_a_network_may_be_inside_an_if() -> None:
    data = {"x": random(8, 12), "rate": np.array(16000)}
    case = lb.load(enclosed(), data, "onnxruntime")
    assert ops(case.model) == ["MatMul", "Relu"]
    assert [v.name for v in case.model.graph.outputs] == ["y"]
    assert {s.tensor for s in case.sites} == {"w", "x", "y"}


@pytest.mark.parametrize(
    ("make", "shape", "name"),
    [(gated, (24, 12), "branch"), (looped, (24, 12), "steps"), (scanned, (24, 5, 12), "scan")],
)
def test_other_control_flow_runs_as_it_is(make: Make, shape: tuple[int, ...], name: str) -> None:
    data = random(*shape)
    case = lb.load(make(), data, "onnxruntime")
    assert case.origin is not None
    found = lb.diagnose(case)
    assert found.model.normalised.control_flow == [name]
    assert "note.control_flow" in [note.code for note in found.notes]
    assert {s.tensor for s in case.sites} >= {"w", "v", "s"}
    assert abs(found.network.residual) < 0.02
    written = onnx.ModelProto.FromString(serialized(case.model))
    assert not written.functions
    assert CONTROL_FLOW & {node.op_type for node in written.graph.node}
    x = data[0] if make is scanned else data[:1]
    (before,), (after,) = outputs(make(), x=x), outputs(written, x=x)
    assert np.allclose(before, after, atol=1e-6)
    assert ops(open_reference(written).model) == ops(case.model)
    assert lb.verify(case, "onnxruntime-plain", data=data).passed


def test_control_flow_is_recovered_around() -> None:
    case = lb.load(looped(), random(40, 12), "onnxruntime", hold_out=True)
    found = lb.recover(case, methods=["bias_correction", "ranges"], budget=20)
    after, before = found.after.sqnr_db, found.before.sqnr_db
    assert after is not None and before is not None and after >= before
