"""The normalised graph computes what the file computes, under the file's names."""

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from layer_nets import CONV, LAYERS, assert_equal, ops, statistics
from lostbits.data import open_source
from lostbits.errors import ModelError
from lostbits.graph import fold
from lostbits.graph.fold import fold_constants
from lostbits.graph.queries import constant
from lostbits.graph.simplify import normalise, without_quantizers
from lostbits.runtime import float_reference as reference
from lostbits.runtime.equality import check_equal
from lostbits.runtime.float_reference import input_specs, open_reference
from text_models import normal, outputs, plain, proto, random, saved

NORM = "{ c = %s y = BatchNormalization <epsilon = 1e-3> (c, s, t, m, v) }"


@pytest.mark.parametrize("layer", LAYERS)
def test_batch_norm_folds_into_the_layer_before(layer: str) -> None:
    head, call, shape = LAYERS[layer]
    model = proto(head + NORM % call, w=random(*shape), b=random(8), **statistics(8))
    x = random(3, *(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    normalised = assert_equal(model, x=x)
    assert ops(normalised) == [call.split()[0]]
    assert "w" in normalised.graph.initializers
    assert {i.name for i in model.graph.initializer} >= {"w"}, "the user's model is not touched"


@pytest.mark.parametrize(
    "body",
    [
        "{ c = Conv <pads=[1,1,1,1]> (x, w) y = BatchNormalization (c, s, t, m, v) z = Relu(c) }",
        "{ c = Conv <pads=[1,1,1,1]> (x, w) r = Relu(c) "
        "  y = BatchNormalization (r, s, t, m, v) z = Relu(y) }",
        "{ c = Conv <pads=[1,1,1,1]> (x, w) y = BatchNormalization (c, p, t, m, v) z = Relu(y) }",
    ],
    ids=["read by another", "after an activation", "computed factors"],
)
def test_other_batch_norms_stay_and_are_reported(body: str) -> None:
    head = "g (float[N,4,6,6] x, float[8] p) => (float[N,8,6,6] y, float[N,8,6,6] z) "
    model = proto(head + body, w=random(8, 4, 3, 3), **statistics(8))
    assert_equal(model, x=random(2, 4, 6, 6), p=random(8))
    assert normalise(plain(model))[1].batch_norms_left == ["y"]


def test_a_scaled_gemm_keeps_its_batch_norm() -> None:
    body = "{ c = Gemm <alpha = 2.0> (x, w, b) y = BatchNormalization (c, s, t, m, v) }"
    head = "g (float[N,4] x) => (float[N,8] y) "
    model = proto(head + body, w=random(4, 8), b=random(8), **statistics(8))
    assert ops(assert_equal(model, x=random(3, 4))) == ["Gemm", "BatchNormalization"]


def test_a_weight_shared_by_two_layers_is_folded_for_its_own_batch_norm_only() -> None:
    body = """{ c = Conv <pads=[1,1,1,1]> (x, w)  d = Conv <pads=[1,1,1,1]> (x, w)
        n = BatchNormalization (c, s, t, m, v)  y = Add(n, d) }"""
    model = proto(CONV + body, w=random(8, 4, 3, 3), **statistics(8))
    assert ops(assert_equal(model, x=random(2, 4, 6, 6))) == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ("v = Transpose <perm = [1,0]> (w)", random(8, 4)),
        ("v = Identity(w)", random(4, 8)),
        ("v = Cast <to = 1> (w)", random(4, 8).astype(np.float16)),
        ("s = Constant <value_ints = [4, -1]> () v = Reshape(w, s)", random(32)),
        ("v = DequantizeLinear(w, k, z)", np.arange(32, dtype=np.int8).reshape(4, 8)),
        ("v = DequantizeLinear <axis = 1> (w, ks, zs)", np.ones((4, 8), np.int8)),
        ("v = com.microsoft.DequantizeLinear(w, k, z)", np.ones((4, 8), np.int8)),
        ("a = Neg(w) b = Relu(a) v = Identity(b)", random(4, 8)),
    ],
    ids=["Transpose", "Identity", "Cast", "Reshape", "DQ", "DQ axis", "contributed DQ", "chain"],
)
def test_a_weight_behind_constant_nodes_is_a_constant_under_the_name_that_is_read(
    body: str, stored: NDArray[np.generic]
) -> None:
    graph = "g (float[N,4] x) => (float[N,8] y) { %s y = MatMul(x, v) }" % body
    scales = np.linspace(0.1, 0.8, 8, dtype=np.float32)
    constants = {"k": np.float32(0.1), "z": np.int8(3), "ks": scales, "zs": np.ones(8, np.int8)}
    used = {n: np.asarray(a) for n, a in constants.items() if f" {n}" in body}
    normalised = assert_equal(proto(graph, w=stored, **used), x=random(2, 4))
    assert ops(normalised) == ["MatMul"]
    weight = normalised.graph[0].inputs[1]
    assert weight is not None
    if "Identity" not in body:
        assert weight.name == "v"
    assert constant(weight) is not None


@pytest.mark.parametrize("opset", [11, 13, 23])
def test_constant_nodes_and_initializers_are_the_same_thing(opset: int) -> None:
    node = proto(
        """g (float[N,2] x) => (float[N,2] y) {
            w = Constant <value = float[2] {1.5, -2.0}> ()  y = Mul(x, w) }""",
        opset,
    )
    assert list(assert_equal(node, x=random(2, 2)).graph.initializers) == ["w"]


def test_initializers_that_are_also_inputs_are_constants() -> None:
    model = proto(
        "g (float[N,4] x, float[4,8] w) => (float[N,8] y) { y = MatMul(x, w) }", w=random(4, 8)
    )
    assert [v.name for v in normal(model).graph.inputs] == ["x"]


QDQ = """g (float[N,4] x) => (float[N,8] y) {
    xq = QuantizeLinear(x, k, z)  xd = DequantizeLinear(xq, k, z)
    wq = QuantizeLinear(w, k, z)  wd = DequantizeLinear(wq, k, z)
    c = MatMul(xd, wd)
    cq = QuantizeLinear(c, k, z)  y = DequantizeLinear(cq, k, z) }"""


def test_quantizers_are_taken_out_and_counted() -> None:
    model = proto(QDQ, w=random(4, 8), k=np.asarray(np.float32(0.1)), z=np.asarray(np.int8(0)))
    stripped, count = without_quantizers(ir.from_proto(model))
    normalised, _ = normalise(stripped)
    assert count == 3
    assert ops(normalised) == ["MatMul"]
    x = random(2, 4)
    found = outputs(normalised, x=x)[0]
    np.testing.assert_allclose(found, x @ random(4, 8), rtol=1e-6)
    assert [v.name for v in normalised.graph.outputs] == ["y"]


def test_a_quantizer_between_input_and_output_leaves_their_names() -> None:
    body = "{ q = QuantizeLinear(x, k, z) y = DequantizeLinear(q, k, z) }"
    model = proto(
        "g (float[N,4] x) => (float[N,4] y) " + body,
        k=np.asarray(np.float32(1)),
        z=np.asarray(np.int8(0)),
    )
    normalised = normal(model)
    assert ops(normalised) == ["Identity"]
    np.testing.assert_array_equal(outputs(normalised, x=random(2, 4))[0], random(2, 4))


def test_dropout_and_identity_go_and_outputs_keep_their_names() -> None:
    body = (
        "{ a = Relu(x) b = Identity(a) c = Dropout(b) d = Neg(c) y = Dropout(d) z = Identity(d) }"
    )
    model = proto("g (float[N,4] x) => (float[N,4] y, float[N,4] z) " + body)
    normalised = assert_equal(model, x=random(2, 4))
    assert ops(normalised)[:2] == ["Relu", "Neg"]
    assert normalise(plain(model))[1].bypassed == 3


def test_an_input_that_is_an_output_keeps_its_identity() -> None:
    model = proto(
        "g (float[N,4] x) => (float[N,4] y, float[N,4] z) { y = Identity(x) z = Relu(x) }"
    )
    assert_equal(model, x=random(2, 4))


def test_functions_are_inlined() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[N,4] x) => (float[N,4] y) { a = local.twice(x) y = local.twice(a) }
        <domain: "local", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }"""
    model = onnx.parser.parse_model(text)
    normalised = normal(model)
    assert ops(normalised) == ["Add", "Add"]
    np.testing.assert_allclose(outputs(normalised, x=random(2, 4))[0], 4 * random(2, 4))


@pytest.mark.parametrize(("levels", "calls"), [(4, 2), (40, 1)])
def test_functions_of_functions_are_inlined(levels: int, calls: int) -> None:
    """Copies of one body get names of their own, however deep they lie."""
    names = ["F0", *(f"F{level}" for level in range(1, levels + 1))]
    bodies = ["b = Neg(a)"]
    for inner in names[:-1]:
        steps = ["a", *(f"h{k}" for k in range(1, calls)), "b"]
        pairs = itertools.pairwise(steps)
        bodies.append(" ".join(f"{y} = local.{inner}({x})" for x, y in pairs))
    functions = (
        f'<domain: "local", opset_import: ["" : 17, "local" : 1]> {name} (a) => (b) {{ {body} }}'
        for name, body in zip(names, bodies, strict=True)
    )
    text = f"""<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[N,4] x) => (float[N,4] y) {{ a = Add(x, x) y = local.{names[-1]}(a) }}
        """
    model = onnx.parser.parse_model(text + "\n".join(functions))
    normalised = normal(model)
    assert ops(normalised) == ["Add", *["Neg"] * calls**levels]
    made = [output.name for node in normalised.graph for output in node.outputs]
    assert len(set(made)) == len(made)
    sign = (-1) ** calls**levels
    np.testing.assert_array_equal(outputs(normalised, x=random(2, 4))[0], sign * 2 * random(2, 4))


def test_unnamed_and_namesake_nodes_get_names_of_their_own() -> None:
    model = proto(
        "g (float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Neg(a) c = Abs(b) y = Neg(c) }"
    )
    for node, name in zip(model.graph.node, ["same", "same", "", ""], strict=True):
        node.name = name
    for normalised in (plain(model), normal(model)):
        names = [node.name for node in normalised.graph]
        assert all(names)
        assert len(set(names)) == 4
    np.testing.assert_array_equal(
        outputs(normalised, x=random(2, 4))[0], -np.maximum(random(2, 4), 0)
    )


def test_names_may_hold_any_character() -> None:
    model = proto("g (float[N,4] x) => (float[N,4] y) { a = Relu(x) y = Neg(a) }")
    odd = 'ä/b:0;"q" {x}'
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = odd
    assert odd in {
        o.name for node in assert_equal(model, x=random(2, 4)).graph for o in node.outputs
    }


def test_a_constant_may_be_an_output() -> None:
    model = proto(
        "g (float[N,4] x) => (float[N,4] y, float[4] c) { c = Neg(w) y = Mul(x, c) }", w=random(4)
    )
    assert_equal(model, x=random(2, 4))


def test_dimensions_of_minus_one_mean_any_length() -> None:
    model = proto("g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert input_specs(plain(model))[0].shape == (None, 4)


def test_a_node_that_cannot_be_evaluated_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise KeyError("no such op")

    monkeypatch.setattr(fold, "ReferenceEvaluator", fail)
    model = plain(
        proto("g (float[N,4] x) => (float[N,4] y) { v = Neg(w) y = Mul(x, v) }", w=random(4))
    )
    assert fold_constants(model) == 0
    assert ops(model) == ["Neg", "Mul"]


def check(model: onnx.ModelProto, folder: Path) -> float:
    opened = open_reference(saved(model, folder))
    return check_equal(opened, open_source({"x": random(3, 4)}, input_specs(opened.model)), 2)


def test_the_reference_equals_the_file(tmp_path: Path) -> None:
    body = "{ c = Gemm(x, w, b) y = BatchNormalization (c, s, t, m, v) }"
    head = "g (float[N,4] x) => (float[N,8] y) "
    assert check(proto(head + body, w=random(4, 8), b=random(8), **statistics(8)), tmp_path) < 1e-5


def test_a_normalisation_that_changes_the_network_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: ir.Model, *, fold: bool) -> object:
        copy, changes = normalise(model, fold=fold)
        weight = copy.graph.initializers["w"]
        array = constant(weight)
        assert array is not None
        weight.const_value = ir.tensor(np.asarray(array, np.float32) * np.float32(1.0001), name="w")
        return copy, changes

    monkeypatch.setattr(reference, "normalise", wrong)
    with pytest.raises(ModelError) as info:
        check(
            proto("g (float[N,4] x) => (float[N,8] y) { y = MatMul(x, w) }", w=random(4, 8)),
            tmp_path,
        )
    assert info.value.code == "M010"
    assert "1.0e-04" in str(info.value)


def one(op: str, kind: int) -> onnx.ModelProto:
    """A model of one node from ``x`` to ``y``, both of type ``kind``."""
    ends = [helper.make_tensor_value_info(n, kind, [2, 4]) for n in "xy"]
    node = helper.make_node(op, ["x"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sequence() -> onnx.ModelProto:
    return proto("""g (float[2,4] x) => (float[2,4] y) {
        s = SequenceConstruct(x, x)  y = ConcatFromSequence <axis = 0> (s) }""")


REFUSED = {
    "sequences": (sequence, "M008"),
    "strings": (lambda: one("Identity", TensorProto.STRING), "M008"),
    "no float output": (
        lambda: proto("g (float[N,4] x) => (int64[N,1] y) { y = ArgMax <axis = 1> (x) }"),
        "M009",
    ),
    "integer kernels": (
        lambda: proto("""g (float[N,4] x, int8[4,8] w) => (float[N,8] y) {
            q, s, z = DynamicQuantizeLinear(x)  m = MatMulInteger(q, w, z)
            f = Cast <to = 1> (m)  y = Mul(f, s) }"""),
        "M009",
    ),
    "statistics of the batch": (
        lambda: proto(
            """g (float[N,4] x) => (float[N,4] y) {
                y, a, b = BatchNormalization <training_mode = 1> (x, s, t, m, v) }""",
            **statistics(4),
        ),
        "M012",
    ),
    "random": (lambda: one("RandomNormalLike", TensorProto.FLOAT), "M012"),
    "training": (
        lambda: proto(
            "g (float[N,4] x) => (float[N,4] y) { y = Dropout(x, r, t) }",
            r=np.asarray(np.float32(0.5)),
            t=np.asarray(True),
        ),
        "M012",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_diagnosed_is_refused_with_a_code(kind: str, tmp_path: Path) -> None:
    make, code = REFUSED[kind]
    with pytest.raises(ModelError) as info:
        open_reference(saved(make(), tmp_path))
    assert info.value.code == code
    assert "model.onnx" in str(info.value)


def test_a_file_of_integer_kernels_is_told_what_compares_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as info:
        open_reference(saved(REFUSED["integer kernels"][0](), tmp_path))
    assert "quantized dynamically" in str(info.value.found)
    assert "diagnose FLOAT --plan FILE" in str(info.value) and "ArgMax" not in str(info.value)


PADDED = "g (float[N,4,6,7] x) => (float[N,8,H,W] y) "
AROUND = np.array([0, 0, 1, 0, 0, 0, 2, 3])


@pytest.mark.parametrize(
    "call",
    [
        "{ p = Pad (x, a) y = Conv (p, w) }",
        "{ p = Pad (x, a, f) y = Conv <pads=[1,0,0,2], strides=[2,3]> (p, w) }",
        '{ p = Pad <mode="constant"> (x, a, f) c = Conv <dilations=[2,1]> (p, w) '
        "  d = Conv <dilations=[2,1]> (p, w) y = Add (c, d) }",
    ],
    ids=["plain", "pads of its own and strides", "two readers"],
)
def test_zeros_around_the_input_of_a_convolution_become_its_own(call: str) -> None:
    zero = {"f": np.zeros((), np.float32)} if ", f)" in call else {}
    model = proto(PADDED + call, w=random(8, 4, 3, 3), a=AROUND, **zero)
    assert "Pad" not in ops(assert_equal(model, x=random(2, 4, 6, 7)))


@pytest.mark.parametrize(
    "call",
    [
        '{ p = Pad <mode="edge"> (x, a) y = Conv (p, w) }',
        "{ p = Pad (x, a, one) y = Conv (p, w) }",
        "{ p = Pad (x, crop) y = Conv (p, w) }",
        "{ p = Pad (x, deep) y = Conv (p, w) }",
        "{ p = Pad (x, two, , axes) y = Conv (p, w) }",
        '{ p = Pad (x, a) y = Conv <auto_pad="SAME_UPPER"> (p, w) }',
        "{ p = Pad (x, a) c = Conv (p, w) m = ReduceMax (p) y = Add (c, m) }",
    ],
    ids=["edge", "ones", "crop", "channels", "axes", "auto_pad", "read by another"],
)
def test_other_paddings_stay(call: str) -> None:
    constants = {
        "a": AROUND,
        "one": np.ones((), np.float32),
        "crop": np.array([0, 0, 1, 0, 0, 0, -1, 3]),
        "deep": np.array([0, 1, 1, 0, 0, 0, 0, 0]),
        "two": np.array([1, 2]),
        "axes": np.array([2]),
    }
    used = {n: v for n, v in constants.items() if f", {n}" in call}
    weight = random(8, 5 if "deep" in used else 4, 3, 3)
    model = proto(PADDED + call, 18, w=weight, **used)
    assert "Pad" in ops(assert_equal(model, x=random(2, 4, 6, 7)))


def test_a_padding_that_is_an_output_stays() -> None:
    head = "g (float[N,4,6,7] x) => (float[N,8,H,W] y, float[N,4,P,Q] p) "
    model = proto(head + "{ p = Pad (x, a) y = Conv (p, w) }", w=random(8, 4, 3, 3), a=AROUND)
    assert ops(assert_equal(model, x=random(2, 4, 6, 7))) == ["Pad", "Conv"]


def test_a_spectrum_is_half_where_nothing_is_said() -> None:
    """ONNX infers the whole one, and ONNX Runtime refuses a graph that says so."""
    body = "{ f = STFT (x, hop, hann) a = ReduceSum <keepdims = 0> (f, last) y = MatMul (a, w) }"
    head = "g (float[N,64,1] x) => (float[N,T,4] y) "
    given = {"hop": np.array(12), "hann": np.hanning(16).astype(np.float32)}
    model = proto(head + body, last=np.array([-1]), w=random(9, 4), **given)
    assert_equal(model, x=random(3, 64, 1))
    spectrum = next(v for v in normal(model).graph if v.op_type == "STFT").outputs[0].shape
    assert spectrum is not None and spectrum[2] == 9
