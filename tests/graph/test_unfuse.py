"""Ops of ONNX Runtime's optimizers, taken apart: the same network in pieces of the standard."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from fused_nets import FUSED, Fused, encoder
from small_nets import samples

import lostbits as lb
from lostbits.graph.simplify import normalise, without_quantizers
from lostbits.runtime.float_reference import open_reference
from lostbits.runtime.runtime_types import complete_types


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)


@pytest.mark.parametrize("fused", FUSED, ids=lambda f: f.name)
def test_the_pieces_give_what_the_op_gave(fused: Fused) -> None:
    model = fused.model()
    reference = open_reference(model)
    assert reference.changes.fused == 1
    ops = {(n.domain, n.op_type) for n in reference.model.graph}
    assert ops == set(fused.pieces)
    assert [v.name for v in reference.model.graph.outputs] == [o.name for o in model.graph.output]
    others = run(ir.to_proto(reference.model), fused.feeds())
    for other, expected in zip(others, run(model, fused.feeds()), strict=True):
        np.testing.assert_allclose(other, expected, rtol=2e-4, atol=2e-5)


def test_tensors_of_unknown_ops_get_types_and_shapes_from_a_session() -> None:
    reference = open_reference(encoder())
    for node in reference.model.graph:
        for value in node.outputs:
            assert value.dtype is not None, value.name
            assert value.shape is not None, value.name
    plain, _ = without_quantizers(ir.from_proto(encoder()))
    model, _ = normalise(plain)
    before = [v.name for n in model.graph for v in n.outputs if v.dtype is None]
    assert before  # ONNX alone does not know them
    complete_types(model)
    assert not [v.name for n in model.graph for v in n.outputs if v.dtype is None]


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "qnn-htp", "snpe", "tensorrt"])
def test_weights_of_fused_ops_are_sites_and_gradients_pass(target: str) -> None:
    found = lb.diagnose(lb.load(encoder(), data=samples(0, 12, 5, 8), target=target))
    weights = {s.tensor for s in found.sites if s.role == "weight"}
    assert {"qkv", "out_proj", "up", "down"} <= weights
    assert found.network.method == "aumann-shapley"
    assert abs(found.network.residual) < 0.02


def test_what_stays_whole_is_in_float_by_name() -> None:
    case = lb.load(encoder(), data=samples(0, 4, 5, 8), target="openvino")
    ops = [n.op_type for n in case.model.graph if n.domain == "com.microsoft"]
    assert ops == ["MultiHeadAttention", "Gelu"]
