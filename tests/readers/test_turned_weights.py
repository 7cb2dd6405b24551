"""Weights that a file turns behind their dequantizer, as tools write whose layout is another."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from lostbits.foreign.match_names import Match, match
from lostbits.graph.place import place
from lostbits.graph.simplify import opened
from lostbits.graph.turned import turned, turned_axis
from lostbits.grid import along
from lostbits.readers import parameters_of
from lostbits.readers.constants import Constants, constants_of
from lostbits.targets import ONNXRUNTIME
from text_models import normal, proto, random

CONV = """g (float[N, 3, 6, 6] x) => (float[N, 5, 6, 6] y) <float[5, 3, 3, 3] w_t> {{
    {made}
    w_t = Transpose<perm = [3, 2, 0, 1]>(w)
    y = Conv<pads = [1, 1, 1, 1]>(x, w_t)
}}"""
DENSE = """g (float[N, 12] x) => (float[N, 5] y) {{
    {made}
    w_t = Transpose<perm = [1, 0]>(w)
    f = Constant<value_ints = [12, -1]>()
    w_r = Reshape(w_t, f)
    y = MatMul(x, w_r)
}}"""
SHAPES = {CONV: ((3, 3, 3, 5), 3, 0, "w_t"), DENSE: ((5, 12), 0, 1, "w_r")}


def pair(graph: str, *, stored: bool) -> tuple[Match, Constants, str]:
    """What a file of scales per channel says of the weight, and under which name it is read."""
    shape, axis, _, read = SHAPES[graph]
    weight, zeros = random(*shape), np.zeros(shape[axis], np.int8)
    others = tuple(i for i in range(len(shape)) if i != axis)
    scale = (np.abs(weight).max(others) / 127).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {"s": scale, "z": zeros}
    made = f"w = DequantizeLinear<axis = {axis}>(c, s, z)"
    if stored:
        steps = scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        arrays["c"] = np.rint(weight / steps).astype(np.int8)
    else:
        arrays["v"] = weight
        made = f"c = QuantizeLinear<axis = {axis}>(v, s, z) {made}"
    file = ir.from_proto(proto(graph.format(made=made), **arrays))
    model = normal(proto(graph.format(made="w = Identity(v)"), v=weight))
    found = match(parameters_of(file), model, place(model, ONNXRUNTIME))
    return found, constants_of(opened(file).graph), read


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("graph", [CONV, DENSE])
def test_a_weight_that_is_turned_has_its_entry_and_its_values(graph: str, stored: bool) -> None:
    found, constants, read = pair(graph, stored=stored)
    affine = found.plan[f"{read}:weight"]
    assert affine.axis == SHAPES[graph][2]
    assert not found.unmatched
    values = constants.names[read]
    assert values.shape[affine.axis] == affine.scale.size
    reach = np.abs(values).max(tuple(i for i in range(values.ndim) if i != affine.axis))
    assert np.allclose(reach, 127 * affine.scale)
    exact = random(*SHAPES[graph][0]).transpose([3, 2, 0, 1] if graph is CONV else [1, 0])
    step = along(affine.scale, values.ndim, affine.axis)
    assert (np.abs(values - exact) <= 0.501 * step).all()


def node(text: str, **arrays: NDArray[Any]) -> ir.Node:
    graph = f"g (float[N] x, float[N] v) => (float[N] y) {{ y = {text} }}"
    return next(iter(opened(ir.from_proto(proto(graph, **arrays))).graph))


def test_channels_that_a_reshape_mixes_lie_along_no_axis() -> None:
    flat = node("Reshape(x, f)", f=np.array([-1]))
    assert turned_axis((3, 4), 0, flat) is None
    kept = node("Reshape(x, f)", f=np.array([0, 2, 2]))
    assert turned_axis((3, 4), 0, kept) == 0
    assert turned_axis((3, 4), 1, kept) is None


def test_a_form_that_is_computed_or_does_not_fit_is_none() -> None:
    values = random(3, 4)
    assert turned(values, node("Reshape(x, f)", f=np.array([5, -1]))) is None
    computed = onnx.helper.make_node("Reshape", ["x", "v"], ["y"])
    assert turned(values, ir.from_proto(computed)) is None


def test_a_channel_without_scale_is_zero() -> None:
    graph = """g (float[N, 4] x) => (float[N, 2] y) {
        c = QuantizeLinear<axis = 1>(w, s, z)
        d = DequantizeLinear<axis = 1>(c, s, z)
        y = MatMul(x, d)
    }"""
    weight = np.array([[1, 0], [2, 0], [3, 0], [4, 0]], np.float32)
    scale = np.array([4 / 127, 0], np.float32)
    file = proto(graph, w=weight, s=scale, z=np.zeros(2, np.int8))
    values = constants_of(opened(ir.from_proto(file)).graph).names["d"]
    assert np.isfinite(values).all() and not values[:, 1].any() and values[3, 0] == 4
