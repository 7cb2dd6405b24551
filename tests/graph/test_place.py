"""Placement: which tensors each target quantizes, against its published rules."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from lostbits.case import constant_of, look_at_constants
from lostbits.data import open_source
from lostbits.graph.place import Placed, place
from lostbits.graph.site import Site, Use
from lostbits.plan.ranges import make_plan
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.float_reference import input_specs
from lostbits.target import Target
from lostbits.targets import ALL, CNRT, ONNXRUNTIME, OPENVINO, QNN_HTP, SNPE, TENSORRT
from text_models import normal, proto, random

INTEGER_ONLY = (SNPE, QNN_HTP)
HEAD = "g (float[N,4,8,8] x) => (float[N,4,8,8] y) "
CONV = "Conv <pads = [1,1,1,1]>"
every_target = pytest.mark.parametrize("target", ALL, ids=lambda t: t.name)
integer_only = pytest.mark.parametrize("target", INTEGER_ONLY, ids=lambda t: t.name)


def kernels(*names: str) -> dict[str, NDArray[np.generic]]:
    """3x3 kernels from 4 to 4 channels, and biases for names that begin with b."""
    sizes = {n: (4,) if n.startswith("b") else (4, 4, 3, 3) for n in names}
    return {n: random(*size, seed=i) for i, (n, size) in enumerate(sizes.items())}


def placed(model: onnx.ModelProto, target: Target) -> Placed:
    return place(normal(model), target)


def activations(found: Placed) -> set[str]:
    return {site.tensor for site in found.sites if site.streams}


def keys(found: Placed) -> set[str]:
    return {site.key for site in found.sites}


def site(found: Placed, key: str) -> Site:
    return next(s for s in found.sites if s.key == key)


FUSED = HEAD + "{ c = %s (x, w, b) n = BatchNormalization(c, b1, b2, b3, v) y = %%s }" % CONV


@every_target
@pytest.mark.parametrize("activation", ["Relu(n)", "Clip(n, lo, hi)"])
def test_conv_batch_norm_and_activation_are_one_layer(target: Target, activation: str) -> None:
    ends = {"lo": np.asarray(np.float32(0)), "hi": np.asarray(np.float32(6))}
    constants = kernels("w", "b", "b1", "b2", "b3") | {"v": np.abs(random(4)) + 1}
    used = constants | (ends if "Clip" in activation else {})
    found = placed(proto(FUSED % activation, **used), target)
    reads_only = target.placement.mode == "inputs"
    assert activations(found) == ({"x"} if reads_only else {"x", "y"})
    assert ("b:bias" in keys(found)) == (target.bias_bits is not None)
    if target.placement.fused_activations:
        assert found.left_in_float["n"].code == "left.fused"


def test_a_clip_with_computed_bounds_is_not_fused() -> None:
    text = "g (float[N,4,8,8] x, float h) => (float[N,4,8,8] y) { c = %s (x, w) y = Clip(c, , h) }"
    assert "c" in activations(placed(proto(text % CONV, **kernels("w")), SNPE))


RESIDUAL = HEAD + "{ a = %s (x, w) r = Relu(a) c = %s (r, u) s = Add(%%s) y = Relu(s) }" % (
    CONV,
    CONV,
)


@integer_only
def test_an_add_and_its_relu_are_rounded_once(target: Target) -> None:
    found = placed(proto(RESIDUAL % "r, c", **kernels("w", "u")), target)
    assert activations(found) == {"x", "r", "c", "y"}


@pytest.mark.parametrize("target", [TENSORRT, OPENVINO], ids=lambda t: t.name)
@pytest.mark.parametrize("order", ["r, c", "c, r"])
def test_the_backbone_convolution_enters_its_add_unrounded(target: Target, order: str) -> None:
    found = placed(proto(RESIDUAL % order, **kernels("w", "u")), target)
    assert activations(found) == {"x", "r"}
    assert found.left_in_float["c"].code == "left.residual"
    readers = {use.node for use in site(found, "r:activation").uses}
    assert len(readers) == 2, "the skip connection is rounded, as the convolution's input is"


def test_of_two_convolutions_into_one_add_the_later_is_the_backbone() -> None:
    text = HEAD + "{ c = %s (x, u) r = Relu(x) d = %s (r, w) y = Add(c, d) }" % (CONV, CONV)
    found = placed(proto(text, **kernels("w", "u")), TENSORRT)
    assert activations(found) == {"x", "r", "c"}


def test_tensorrt_leaves_bias_outputs_and_pointwise_constants_in_float() -> None:
    text = HEAD + "{ a = %s (x, w, b) m = Mul(a, k) c = %s (m, u) y = Sigmoid(c) }" % (CONV, CONV)
    model = proto(text, **kernels("w", "u", "b"), k=random(8))
    assert keys(placed(model, TENSORRT)) == {
        "x:activation",
        "w:weight",
        "a:activation",
        "m:activation",
        "u:weight",
    }


def test_cnrt_quantizes_what_linear_ops_read() -> None:
    text = HEAD + "{ a = %s (x, w, b) r = Relu(a) s = Add(r, x) c = %s (s, u) y = Relu(c) }"
    found = placed(proto(text % (CONV, CONV), **kernels("w", "u", "b")), CNRT)
    assert keys(found) == {"x:activation", "w:weight", "s:activation", "u:weight"}
    assert site(found, "x:activation").uses != ()


JOINED = """g (float[N,4,8,8] x) => (float[N,4,4,4] y) {
    a = %s (x, w)  b1 = %s (x, u)  c = Concat <axis = 1> (a, b1)
    p = AveragePool <kernel_shape = [2,2], strides = [2,2]> (c)  y = Conv (p, v) }""" % (CONV, CONV)


def plan_of(model: onnx.ModelProto, target: Target) -> tuple[Placed, dict[str, object]]:
    reference = normal(model)
    found = place(reference, target)
    source = open_source({"x": random(64, 4, 8, 8)}, input_specs(reference))
    seen, _ = calibrate(reference, found.sites, source, 4)
    seen |= look_at_constants(reference, found.sites)
    return found, dict(make_plan(reference, found, seen, target))


@integer_only
def test_concat_and_pooling_share_one_scale(target: Target) -> None:
    weights = {
        "w": random(4, 4, 3, 3),
        "u": 9 * random(4, 4, 3, 3, seed=1),
        "v": random(4, 8, 1, 1),
    }
    found, plan = plan_of(proto(JOINED, **weights), target)
    tied = ["a:activation", "b1:activation", "p:activation"]
    assert len({site(found, key).group for key in tied}) == 1
    assert plan[tied[0]] == plan[tied[1]] == plan[tied[2]]
    assert "c" not in activations(found), "it lies on the grid of its inputs"
    assert plan["x:activation"] != plan[tied[0]]


def test_concat_of_a_float_tensor_gets_a_site() -> None:
    text = """g (float[N,4,8,8] x) => (float[N,8,8,8] y) { s = Sigmoid(x)
        c = Concat <axis = 1> (s, x)  y = Conv (c, v) }"""
    found = placed(proto(text, v=random(8, 8, 1, 1)), TENSORRT)
    assert activations(found) == {"c"}


@integer_only
@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("{ y = %s (x, w, b) }" % CONV, kernels("w", "b")),
        ("{ y = ConvTranspose <pads = [1,1,1,1]> (x, w, b) }", kernels("w", "b")),
        (
            "{ y = ConvTranspose <group = 2, pads = [1,1,1,1]> (x, w, b) }",
            {"w": random(4, 2, 3, 3), "b": random(4)},
        ),
    ],
    ids=["Conv", "ConvTranspose", "grouped ConvTranspose"],
)
def test_a_bias_is_int32_with_the_product_of_the_scales(
    target: Target, body: str, weights: dict[str, NDArray[np.generic]]
) -> None:
    model = proto(HEAD + body, **weights)
    found, plan = plan_of(model, target)
    bias, x, w = (plan[k] for k in ("b:bias", "x:activation", "w:weight"))
    assert site(found, "b:bias").scales == ("x", "w:weight")
    assert bias.grid.bits == 32  # type: ignore[attr-defined]
    product = x.scale * w.scale  # type: ignore[attr-defined]
    scale = bias.scale  # type: ignore[attr-defined]
    copies = scale.size // product.size
    np.testing.assert_allclose(
        scale, np.tile(product, copies) if scale.ndim else product, rtol=1e-6
    )
    exact = constant_of(normal(model), site(found, "b:bias"))
    error = np.abs(bias.fake_quantize(exact) - exact)  # type: ignore[attr-defined]
    assert (error <= scale / 2 * (1 + 1e-5)).all()


@integer_only
@pytest.mark.parametrize("shape", [(1,), (1, 8), (3, 8), (3, 1), ()])
def test_a_gemm_bias_that_is_no_vector_of_channels_has_no_bias_site(
    target: Target, shape: tuple[int, ...]
) -> None:
    text = "g (float[3,4] x) => (float[3,8] y) { y = Gemm (x, w, b) }"
    found = placed(proto(text, w=random(4, 8), b=np.asarray(random(*shape))), target)
    assert keys(found) == {"x:activation", "w:weight", "y:output"}


@every_target
def test_data_movement_keeps_the_grid(target: Target) -> None:
    text = """g (float[N,4,8,8] x) => (float[N,2] y) { m = MaxPool <kernel_shape = [2,2]> (x)
        t = Transpose <perm = [0,2,3,1]> (m)  f = Flatten(t)  y = Gemm (f, w) }"""
    found = placed(proto(text, w=random(196, 2)), target)
    assert activations(found) - {"y"} == ({"f"} if target is CNRT else {"x"})


@every_target
def test_shapes_are_never_quantized(target: Target) -> None:
    text = """g (float[N,4,8,8] x) => (float[N,4,h,v] y) { a = %s (x, w)  s = Shape(a)
        f = Cast <to = 1> (s)  g = Mul(f, k)  i = Cast <to = 7> (g)
        r = Resize <mode = "nearest"> (a, , , i)  y = %s (r, u) }""" % (CONV, CONV)
    found = placed(proto(text, k=np.ones(4, np.float32), **kernels("w", "u")), target)
    assert not {"s", "f", "g", "i", "k"} & {s.tensor for s in found.sites}
    shape_nodes = {
        n.name
        for n in normal(proto(text, k=np.ones(4, np.float32), **kernels("w", "u"))).graph
        if n.op_type == "Shape"
    }
    assert not [s for s in found.sites if shape_nodes & {use.node for use in s.uses}]


@every_target
def test_a_matmul_and_its_bias_are_one_layer(target: Target) -> None:
    text = "g (float[N,4] x) => (float[N,8] y) { m = MatMul(x, w) a = Add(b, m) y = Relu(a) }"
    found = placed(proto(text, w=random(4, 8), b=random(8)), target)
    expected = {"x:activation", "w:weight"} | ({"b:bias"} if target.bias_bits else set())
    assert {k for k in keys(found) if not k.startswith("y")} == expected
    assert found.left_in_float["m"].code == "left.fused"


def test_a_shared_weight_is_one_site_with_two_uses() -> None:
    text = HEAD + "{ a = %s (x, w) r = Relu(a) y = %s (r, w) }" % (CONV, CONV)
    found = placed(proto(text, **kernels("w")), SNPE)
    nodes = [n.name or "" for n in normal(proto(text, **kernels("w"))).graph if n.op_type == "Conv"]
    assert site(found, "w:weight").uses == (Use(nodes[0], 1), Use(nodes[1], 1))


def test_a_bias_shared_by_layers_of_different_scales_is_quantized_once() -> None:
    text = HEAD + "{ a = %s (x, w, b) r = Relu(a) y = %s (r, u, b) }" % (CONV, CONV)
    found = placed(proto(text, **kernels("w", "u", "b")), SNPE)
    assert len(site(found, "b:bias").uses) == 1


@integer_only
@pytest.mark.parametrize(("op", "kept"), [("Softmax", False), ("Relu", True)])
def test_infinities_stay_in_float_where_no_softmax_bounds_them(
    target: Target, op: str, kept: bool
) -> None:
    mask = np.where(np.eye(8, dtype=bool), np.float32(0), np.float32(-np.inf)).astype(np.float32)
    text = "g (float[N,4,8,8] x) => (float[N,4,8,8] y) { m = Add(x, k) y = %s(m) }" % op
    found = placed(proto(text, k=mask), target)
    assert ("k" in found.left_in_float) == kept == ("k:weight" not in keys(found))


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("g (float[N,4,8,8] x) => (float[N,4,8,8] y) { y = Relu(x) }", 1),
        ("g (float[N,7,4] x) => (float[N,7,8] y) { y = MatMul(x, w) }", 2),
        ("g (float[N,t,4] x) => (float[N,t,8] y) { y = MatMul(x, w) }", 2),
        ("g (float[N,c,8] x) => (float[N,c,8] y) { y = Relu(x) }", None),
        ("g (float[4] x) => (float[4] y) { y = Relu(x) }", None),
        ("g (float x) => (float y) { y = Relu(x) }", None),
    ],
)
def test_the_channel_axis_is_one_of_fixed_length(text: str, axis: int | None) -> None:
    weights = {"w": random(4, 8)} if "w" in text else {}
    assert site(placed(proto(text, **weights), SNPE), "x:activation").axis == axis


# Against ONNX Runtime's own quantizer -------------------------------------------------------

PLAIN = (
    HEAD + "{ a = %s (x, w, b) r = Relu(a) p = MaxPool <kernel_shape=[3,3], pads=[1,1,1,1]> (r) "
    "y = %s (p, u) }"
    % (
        CONV,
        CONV,
    )
)
SKIP = RESIDUAL % "r, c"
BRANCHES = """g (float[N,4,8,8] x) => (float[N,2] y) { a = %s (x, w)  s = Sigmoid(a)  d = %s (x, u)
    c = Concat <axis = 1> (s, d)  q = GlobalAveragePool(c)  f = Flatten(q)  g = Gemm (f, k)
    y = Softmax(g) }""" % (CONV, CONV)
NETS = {
    "plain": (PLAIN, kernels("w", "u", "b")),
    "skip": (SKIP, kernels("w", "u")),
    "branches": (BRANCHES, kernels("w", "u") | {"k": random(8, 2)}),
}


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.batches: Iterator[dict[str, NDArray[np.float32]]] = iter([{"x": random(2, 4, 8, 8)}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.batches, None)


def quantized_by_onnxruntime(model: onnx.ModelProto, folder: Path) -> set[str]:
    """Names of the tensors that quantize_static puts behind a DequantizeLinear."""
    onnx.save(model, str(folder / "float.onnx"))
    quantize_static(
        str(folder / "float.onnx"),
        str(folder / "int.onnx"),
        _Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    made = onnx.load(str(folder / "int.onnx"))
    readers = {n.input[0]: n for n in made.graph.node if n.op_type == "QuantizeLinear"}
    names = {n.input[0] for n in made.graph.node if n.op_type == "DequantizeLinear"}
    stored = {n.removesuffix("_quantized") for n in names if n.endswith("_quantized")}
    return stored | set(readers)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("net", NETS)
def test_the_placement_is_that_of_quantize_static(net: str, tmp_path: Path) -> None:
    text, weights = NETS[net]
    model = proto(text, **weights)
    found = placed(model, ONNXRUNTIME)
    theirs = {
        n.removesuffix("_QuantizeLinear_Input") for n in quantized_by_onnxruntime(model, tmp_path)
    }
    # Data movement: it adds a pair with the same scale behind the op, which changes no value; the
    # tensor lies on the grid of its source already, so here it has no site.
    inherited = {t for t, why in found.left_in_float.items() if why.code == "left.on_grid"}
    assert {s.tensor for s in found.sites} == theirs - inherited


NORMALISED = """g (float[N,6,4] x) => (float[N,6,8] y) {
    a = MatMul(x, u)  m = ReduceMean <axes = [-1]> (a)
    s = Sub(a, m)  p = Pow(s, two)  v = ReduceMean <axes = [-1]> (p)  e = Add(v, tiny)  r = Sqrt(e)
    d = Div(s, r)  k = Mul(d, gamma)  n = Add(k, beta)  %s  y = MatMul(n, w) }"""
NORM = {
    "u": random(4, 4),
    "w": random(4, 8),
    "gamma": random(4),
    "beta": random(4),
    "two": np.asarray(np.float32(2)),
    "tiny": np.asarray(np.float32(1e-5)),
}


@every_target
def test_a_written_out_layer_normalization_is_one_op(target: Target) -> None:
    found = placed(proto(NORMALISED % "", opset=13, **NORM), target)
    assert not set("mspverdk") & {s.tensor for s in found.sites}
    assert not {"gamma", "beta", "two", "tiny"} & {s.tensor for s in found.sites}
    assert "n" in activations(found)
    assert found.left_in_float["r"].code == "left.layer_norm"
    assert ("a" in activations(found)) == (target.placement.mode == "tensors")


def test_a_layer_normalization_whose_inside_is_read_elsewhere_is_no_such_thing() -> None:
    found = placed(proto(NORMALISED % "q = Relu(r)  z = Sub(q, a)", opset=13, **NORM), SNPE)
    assert "q" not in activations(found), "nobody reads it"
    text = NORMALISED.replace("(float[N,6,8] y)", "(float[N,6,8] y, float[N,6,1] r)") % ""
    assert {"m", "s", "r"} <= activations(placed(proto(text, opset=13, **NORM), SNPE))
