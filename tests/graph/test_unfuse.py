"""Ops of ONNX Runtime's optimizers, taken apart: the same network in pieces of the standard."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import helper

import lostbits as lb
from fused_nets import FUSED, Fused, encoder, noise, of_nodes
from lostbits.graph.simplify import normalise, without_quantizers
from lostbits.runtime.float_reference import open_reference
from lostbits.runtime.runtime_types import complete_types
from small_nets import samples


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [np.asarray(value) for value in session.run(None, feeds)]


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


@pytest.mark.parametrize("opset", [13, 17])
def test_normalizations_of_the_standard_and_of_the_runtime_are_taken(opset: int) -> None:
    """ONNX Runtime has them in the standard's domain in every version, ONNX has one since 17."""
    ops = ["LayerNormalization", "SimplifiedLayerNormalization"][: 1 + (opset < 17)]
    names = ["x", *["a"][: len(ops) - 1], "y"]
    nodes = [
        helper.make_node(op, [names[i], "g"], [names[i + 1]], axis=-1) for i, op in enumerate(ops)
    ]
    model = of_nodes(nodes, {"x": noise(2, 5, 8)}, ["y"], {"g": noise(8)}, opset)
    del model.opset_import[1:]  # that of com.microsoft
    reference = open_reference(model)
    feeds = {"x": noise(2, 5, 8)}
    np.testing.assert_allclose(
        run(ir.to_proto(reference.model), feeds)[0], run(model, feeds)[0], rtol=1e-5
    )
