"""Chains of more nodes than Python's stack has room for."""

import sys
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from lostbits.graph.output_kinds import kind_of
from lostbits.graph.output_parts import boxes
from lostbits.graph.outputs import parts_of
from lostbits.graph.padding_masks import find_masks
from lostbits.graph.place import place
from lostbits.graph.queries import reached
from lostbits.graph.saturation import masked_scores
from lostbits.targets import target
from lostbits.verification.float_reasons import float_reasons
from text_models import normal, proto, random

LONG = sys.getrecursionlimit() + 100
OPS = {
    "Relu": "Relu({0})",
    "Reshape": "Reshape({0}, shape)",
    "Max": "Max({0}, low)",
    "Mul": "Mul({0}, {0})",
}


def chain(op: str) -> ir.Model:
    """A product, many of the op, and what reads scores."""
    many = " ".join(f"h{i + 1} = {OPS[op].format(f'h{i}')}" for i in range(LONG))
    nodes = f"h0 = MatMul(x, w) {many} p = Softmax(h{LONG}) y = MatMul(p, w)"
    given: dict[str, Any] = {
        "w": random(4, 4),
        "shape": np.array([1, 4, 4]),
        "low": np.array(-9, np.float32),
    }
    ends = f"float[1,4,4] y, float[1,4,4] h{LONG}"
    return normal(proto(f"net (float[1,4,4] x) => ({ends}) {{ {nodes} }}", **given))


@pytest.mark.parametrize("op", OPS)
def test_no_question_about_a_long_chain_is_too_deep(op: str) -> None:
    model = chain(op)
    assert len(model.graph) > LONG
    for name in ("onnxruntime", "tensorrt", "snpe"):
        assert place(model, target(name)).sites
    for value in model.graph.outputs:
        assert kind_of(value) and parts_of(value, boxes(value))
    assert not masked_scores(model.graph) and not find_masks(model.graph)


def test_what_is_reached_is_reached_once_and_the_nearest_first() -> None:
    onward = {1: [2, 3], 2: [4], 3: [4], 4: [1]}
    assert list(reached([1, 1], onward.__getitem__)) == [1, 2, 3, 4]


def test_a_quantizer_far_behind_limits_is_found() -> None:
    limits = " ".join(f"h{i + 1} = Relu(h{i})" for i in range(LONG))
    nodes = (
        f"a = DequantizeLinear(x, s, z) b = DequantizeLinear(w, s, z) h0 = MatMul(a, b) {limits}"
    )
    given: dict[str, Any] = {
        "w": np.ones((4, 4), np.uint8),
        "s": np.array(0.1, np.float32),
        "z": np.array(0, np.uint8),
    }
    for end, reasons in (("QuantizeLinear", 0), ("Neg", 1)):
        last = f"QuantizeLinear(h{LONG}, s, z)" if not reasons else f"Neg(h{LONG})"
        kind = "float" if reasons else "uint8"
        text = f"net (uint8[1,4] x) => ({kind}[1,4] y) {{ {nodes} y = {last} }}"
        graph = ir.from_proto(proto(text, **given)).graph
        layer = next(n for n in graph if n.op_type == "MatMul")
        layer.name = "layer"
        assert len(float_reasons(graph, ["layer"])) == reasons, end
