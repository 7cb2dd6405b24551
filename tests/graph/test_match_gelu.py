"""Written-out GELU: found as one op, without taking in what else is read."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from lostbits.graph.match_gelu import fuse_gelus, gelu_nodes
from text_models import normal, outputs, proto, random

X = random(2, 3, 4, seed=5)
ROOT = np.array(2**0.5, np.float32)
NUMBERS: dict[str, NDArray[Any]] = {
    "root": ROOT,
    "part": 1 / ROOT,
    "one": np.array(1, np.float32),
    "half": np.array(0.5, np.float32),
    "three": np.array(3, np.float32),
    "small": np.array(0.044715, np.float32),
    "slope": np.array(0.7978845608, np.float32),
}
FORMS = {
    "last": "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)",
    "first": "d = Mul (part, x) e = Erf (d) a = Add (one, e) h = Mul (half, x) y = Mul (h, a)",
    "inner": "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (half, a) y = Mul (x, m)",
    "tanh": """p = Pow (x, three) s = Mul (p, small) b = Add (x, s) d = Mul (b, slope)
        e = Tanh (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)""",
}


def net(form: str, opset: int = 17, more: str = "", out: str = "") -> onnx.ModelProto:
    text = f"g (float[2,3,4] x) => (float[2,3,4] y{out}) {{ {FORMS[form]} {more} }}"
    used: Any = {k: v for k, v in NUMBERS.items() if f" {k})" in text or f"({k}," in text}
    return proto(text, opset=opset, **used)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_from_its_input_to_its_result(form: str) -> None:
    graph = normal(net(form)).graph
    [(body, source)] = list(gelu_nodes(graph))
    assert source.name == "x" and body[-1].outputs[0].name == "y"
    assert {n.op_type for n in body} == {n.op_type for n in graph}
    assert len(body) == len(list(graph))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opset", [17, 20])
def test_fused_it_computes_the_same(form: str, opset: int) -> None:
    model = normal(net(form, opset))
    plain = outputs(model, x=X)[0]
    fuse_gelus(model)
    ops = [node.op_type for node in model.graph]
    assert (ops == ["Gelu"]) == (form != "tanh" or opset == 20)
    np.testing.assert_allclose(outputs(model, x=X)[0], plain, atol=1e-6)
    assert ir.to_proto(model).graph.output[0].name == "y"


@pytest.mark.parametrize(
    ("more", "out"), [("z = Relu (a)", ", float[2,3,4] z"), ("", ", float[2,3,4] e")]
)
def test_what_is_read_inside_stays_written_out(more: str, out: str) -> None:
    assert not list(gelu_nodes(normal(net("last", more=more, out=out)).graph))


def test_another_factor_is_no_gelu() -> None:
    model = net("last")
    for tensor in model.graph.initializer:
        if tensor.name == "half":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(0.25, np.float32), "half"))
    assert not list(gelu_nodes(normal(model).graph))
