"""Models of other opsets: what they compute, and what they call it, stays."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from lostbits.errors import ModelError
from lostbits.graph.convert_opset import KNOWN, convert_opset
from lostbits.graph.queries import values_by_name
from lostbits.graph.simplify import normalise
from lostbits.runtime.float_reference import open_reference
from text_models import outputs, plain, proto, random, saved

IMAGE = "g (float[N,3,6,6] x) => (float[N,M,H,W] y)"
OLD = f"""{IMAGE} {{
    [first] a = Conv<pads=[1,1,1,1]>(x, w)
    [clip] b = Clip<min=-0.5, max=0.8>(a)
    [up] c = Upsample<mode="nearest">(b, s)
    [pad] d = Pad<pads=[0,0,1,1,0,0,1,1], value=0.25>(c)
    [soft] y = Softmax<axis=1>(d)
}}"""
WEIGHT, SCALES = random(4, 3, 3, 3), np.array([1, 1, 2, 2], np.float32)


@pytest.mark.parametrize("opset", [9, 10])
def test_an_old_model_is_converted_and_keeps_its_names(opset: int, tmp_path: Path) -> None:
    text = OLD if opset == 9 else OLD.replace("Upsample", "Resize")
    found = open_reference(saved(proto(text, opset, w=WEIGHT, s=SCALES), tmp_path))
    assert (found.changes.opset, found.model.opset_imports[""]) == (opset, 11)
    assert [n.name for n in found.model.graph] == ["first", "clip", "up", "pad", "soft"]
    assert {"a", "b", "c", "d", "y"} <= values_by_name(found.model.graph).keys()
    x = random(2, 3, 6, 6, seed=1)
    (before,), (after,) = outputs(found.plain, x=x), outputs(found.model, x=x)
    assert np.array_equal(before, after)


def test_a_newer_model_is_converted_where_older_opsets_have_its_nodes() -> None:
    text = "g (float[N,4] x) => (float[N,4] y) { a = Cast<to=1>(x) y = Relu(a) }"
    model, changes = normalise(plain(proto(text, 26)))
    assert (changes.opset, model.opset_imports[""]) == (26, KNOWN.stop - 1)
    model, changes = normalise(plain(proto(text.replace("Relu", "Swish"), 26)))
    assert (changes.opset, model.opset_imports[""]) == (0, 26)


def test_a_node_that_cannot_be_converted_is_named() -> None:
    text = "g (float[N,1,4,4] x, float[4] s) => (float[N,M,H,W] y) { [up] y = Upsample(x, s) }"
    model = ir.from_proto(proto(text, 9))
    model.graph[0].op_type = "Scatter"  # of two inputs, which the op has not
    with pytest.raises(ModelError, match="node 'up'") as info:
        convert_opset(model)
    assert info.value.code == "M003"


def test_inner_graphs_are_converted_too() -> None:
    text = """g (float[N,4] x, bool c) => (float[N,4] y) {
        y = If<then_branch = t () => (float[N,4] a) { a = Clip<min=0.0>(x) },
               else_branch = e () => (float[N,4] b) { b = Clip<max=0.0>(x) }>(c)
    }"""
    before = ir.from_proto(proto(text, 9))
    after = before.clone()
    assert convert_opset(after) == 9
    x = random(3, 4)
    for c in (np.array(True), np.array(False)):
        (old,), (new,) = outputs(before, x=x, c=c), outputs(after, x=x, c=c)
        assert np.array_equal(old, new)


def test_the_scan_of_opset_8_is_another_op_and_is_named() -> None:
    text = """g (float[N,5,4] x, float[N,4] h) => (float[N,4] l, float[N,5,4] y) {
        [sum] l, y = Scan(, h, x)<num_scan_inputs = 1, body = b (float[4] s, float[4] e)
            => (float[4] k, float[4] o) { k = Add(s, e) o = Identity(k) }>
    }"""
    with pytest.raises(ModelError, match=r"node 'sum'.*Scan of opset 8") as info:
        open_reference(proto(text, 8))
    assert info.value.code == "M003"
