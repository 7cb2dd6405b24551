"""Which parts of transformers run in float, in all forms that exporters write them."""

from collections.abc import Iterator

import onnx_ir as ir
import pytest

from lostbits.graph.float_regions import float_nodes
from lostbits.graph.place import Placed, place
from lostbits.graph.queries import constant
from lostbits.graph.scale_marks import Scaling, with_marks
from lostbits.target import ACTIVATION, ATTENTION, NORMALIZATION, REGIONS, Target
from lostbits.targets import ONNXRUNTIME, OPENVINO, QNN_HTP, TENSORRT
from small_nets import cnn
from text_models import normal, proto, random
from transformer_nets import FORMS, layer

FLOAT_BESIDE = (ONNXRUNTIME, OPENVINO, TENSORRT)
float_beside = pytest.mark.parametrize("target", FLOAT_BESIDE, ids=lambda t: t.name)
MOVES = {"Reshape", "Transpose"}


def products(graph: ir.Graph) -> list[ir.Node]:
    return [node for node in graph if node.op_type == "MatMul"]


def sources(value: ir.Value) -> Iterator[ir.Value]:
    """The value and those that it is moved from."""
    yield value
    node = value.producer()
    if node is not None and node.op_type in MOVES and node.inputs[0] is not None:
        yield from sources(node.inputs[0])


def readers(value: ir.Value) -> set[str]:
    found = set()
    for node, _ in value.uses():
        found |= readers(node.outputs[0]) if node.op_type in MOVES else {node.op_type}
    return found


def sites(found: Placed) -> set[str]:
    return {site.tensor for site in found.sites if site.streams}


@float_beside
@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_what_products_read_is_quantized_and_nothing_else(
    target: Target, form: tuple[str, str, str]
) -> None:
    model = normal(layer(*form))
    found = place(model, target)
    values = {v.name: v for node in model.graph for v in node.outputs}
    for tensor in sites(found):
        assert "MatMul" in readers(values[tensor]), tensor
    for node in products(model.graph):
        for value in node.inputs:
            assert value is not None
            if constant(value) is None:
                assert sites(found) & {v.name for v in sources(value)}, node.name
            else:
                assert f"{value.name}:weight" in {s.key for s in found.sites}
    kinds = {n.op_type for n in model.graph}
    names = {n.name: n.op_type for n in model.graph}
    for site in found.sites:  # of one tensor, only what multiplies sees rounded values
        if site.streams:
            assert {names[use.node] for use in site.uses} <= {"MatMul", *MOVES}, site
    assert "MatMul" in kinds


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_each_part_is_known_by_itself(form: tuple[str, str, str]) -> None:
    graph = normal(layer(*form)).graph
    live = {v.name or "" for node in graph for v in node.outputs} | {"x"}
    parts = [float_nodes(graph, {kind}, live) for kind in (NORMALIZATION, ATTENTION, ACTIVATION)]
    assert all(parts)
    assert sum(map(len, parts)) == len(float_nodes(graph, REGIONS, live))
    softmax = {node.name for node in graph if node.op_type in {"Exp", "Softmax"}}
    assert softmax and softmax <= parts[1]


@float_beside
def test_convolutional_networks_are_placed_as_before(target: Target) -> None:
    graph = normal(cnn(1)).graph
    live = {v.name or "" for node in graph for v in node.outputs} | {"x"}
    assert not float_nodes(graph, REGIONS, live)


def test_cells_of_unrolled_recurrent_layers_are_no_gates() -> None:
    cell = """g (float[N,4] x, float[N,4] c) => (float[N,4] y) {
        a = MatMul (x, u)  i = Sigmoid (a)  b = MatMul (x, v)  j = Tanh (b)
        f = Mul (i, c)  k = Mul (i, j)  n = Add (f, k)  t = Tanh (n)  h = Mul (i, t)
        y = MatMul (h, w) }"""
    weights = {name: random(4, 4, seed=i) for i, name in enumerate("uvw")}
    graph = normal(proto(cell, **weights)).graph
    live = {v.name or "" for node in graph for v in node.outputs} | {"x", "c"}
    assert not float_nodes(graph, REGIONS, live)


def test_a_softmax_over_classes_is_no_attention() -> None:
    net = "g (float[N,4] x) => (float[N,4] y) { a = MatMul (x, u)  y = Softmax (a) }"
    graph = normal(proto(net, u=random(4, 4))).graph
    assert not float_nodes(graph, REGIONS, {"x", "a", "y"})


def test_platforms_of_integers_alone_quantize_all() -> None:
    model = normal(layer("fused", "erf", "divided"))
    found = sites(place(model, QNN_HTP))
    assert {"x1", "x2", "r", "z", "g"} <= found and not {"gd", "gf", "ga", "gm"} & found


@float_beside
def test_a_marked_node_reads_and_gives_float(target: Target) -> None:
    model = normal(layer("fused", "erf", "divided"))
    first = products(model.graph)[0]
    marked = with_marks(model, {str(first.name): Scaling.PLAIN})
    found = place(marked, target)
    weight = first.inputs[1]
    assert weight is not None and f"{weight.name}:weight" not in {s.key for s in found.sites}
    assert all(use.node != first.name for s in found.sites for use in s.uses)
    others = {s.key for s in place(model, target).sites} - {s.key for s in found.sites}
    assert len([key for key in others if key.endswith(":weight")]) == 1


def waves(other: str = "") -> ir.Model:
    """A step of a diffusion as waves; with another reader of the angles if told."""
    return normal(
        proto(
            f"""net (float[N, 1] t) => (float[N, 8] y, float[N, 4] z) {{
                a = Mul(t, f) s = Sin(a) c = Cos(a) e = Concat<axis=1>(s, c) y = Gemm(e, w)
                z = {other or "Relu(s)"} }}""",
            f=1000 * random(4),
            w=random(8, 8),
            v=random(4, 4),
        )
    )


@float_beside
def test_angles_of_waves_stay_in_float(target: Target) -> None:
    """Their grid has steps of most of a turn; waves are quantized where a product reads them."""
    left = {"t", "f", "a"}
    assert not left & {site.tensor for site in place(waves(), target).sites}
    assert sites(place(waves(), target)) & {"e", "s"}
    assert {"a", "t"} & sites(place(waves("Gemm(a, v)"), target))
