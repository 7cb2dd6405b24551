"""Instrumented graphs against plain numpy: what each quantizer, switch and measure does."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from lostbits.errors import SimulationError
from lostbits.graph.instrument import after, quantized, switched, with_outputs
from lostbits.graph.place import place
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.targets import SNPE
from text_models import Array, normal, outputs, proto, random

NET = """g (float[N,4,6,6] x) => (float[N,3] y) { c = Conv <pads = [1,1,1,1]> (x, w, b)  r = Relu(c)
    p = GlobalAveragePool(r)  f = Flatten(p)  g = Gemm (f, u)  y = Softmax(g) }"""
Plan = dict[str, Affine]


def net(opset: int = 17) -> tuple[ir.Model, tuple[Site, ...]]:
    model = normal(proto(NET, opset, w=random(5, 4, 3, 3), b=random(5), u=random(5, 3)))
    return model, place(model, SNPE).sites


def constants(model: ir.Model) -> dict[str, Array]:
    found = {}
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        found[name] = value.const_value.numpy()
    return found


def plan_for(
    sites: tuple[Site, ...], bits: int, *, signed: bool = False, per_channel: bool = False
) -> Plan:
    """Ranges that cut off the tails, so that every site both rounds and clips."""
    plan: Plan = {}
    for number, site in enumerate(sites):
        if site.role == "bias":
            scale = np.full(5, 1e-4, np.float32)
            plan[site.key] = Affine(Grid.of(32, signed=True), scale, np.zeros(5, np.int64), 0)
            continue
        channels = {"x": 4, "w": 5, "r": 5, "p": 5, "u": 3}.get(site.tensor, 0)
        along = site.axis if per_channel and channels else None
        wide = (
            np.linspace(0.4, 1.2, channels)
            if along is not None
            else np.asarray(0.8 + 0.01 * number)
        )
        grid = Grid.of(bits, signed=signed)
        plan[site.key] = affine_from_range(-wide / 2, wide, grid, symmetric=False, axis=along)
    return plan


def definition(x: NDArray[Any], affine: Affine, clip: bool, rounded: bool) -> Array:
    """Round inside the range and clip outside of it, each where it is switched on."""
    lo, hi, scale, zero = (
        _shaped(v, x.ndim, affine) for v in (affine.lo, affine.hi, affine.scale, affine.zero_point)
    )
    inside = (x >= lo) & (x <= hi)
    limits = np.where(x < lo, lo, hi) if clip else x
    steps = np.clip(np.rint(x / scale) + zero, affine.grid.qmin, affine.grid.qmax) - zero
    codes = (steps * scale).astype(np.float32) if rounded else x
    return np.where(inside, codes, limits).astype(np.float32)


def _shaped(values: NDArray[Any], rank: int, affine: Affine) -> NDArray[Any]:
    if affine.axis is None:
        return values
    return values.reshape([-1 if d == affine.axis else 1 for d in range(rank)])


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 19, 21, 23])
@pytest.mark.parametrize("bits", [2, 4, 7, 8, 12, 16])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_site_of_the_qdq_model_does_what_its_affine_says(
    opset: int, bits: int, per_channel: bool
) -> None:
    model, sites = net(opset)
    plan = plan_for(sites, bits, per_channel=per_channel)
    taps = [name for site in sites for name in (site.tensor, after(site))]
    made = quantized(model, sites, plan, [t for t in taps if t not in constants(model)])
    values = dict(
        zip(
            [v.name or "" for v in made.graph.outputs],
            outputs(made, x=random(2, 4, 6, 6)),
            strict=True,
        )
    )
    values |= constants(model)
    for site in sites:
        expected = plan[site.key].fake_quantize(values[site.tensor])
        np.testing.assert_allclose(values[after(site)], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize(
    ("bits", "signed"), [(2, False), (4, True), (8, False), (8, True), (16, False)]
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_switches_all_on_are_the_qdq_model_and_all_off_the_float_model(
    opset: int, bits: int, signed: bool, per_channel: bool
) -> None:
    model, sites = net(opset)
    plan = plan_for(sites, bits, signed=signed, per_channel=per_channel)
    made, x = switched(model, sites, plan), random(2, 4, 6, 6)
    on, off = np.ones(len(sites), bool), np.zeros(len(sites), bool)
    full = outputs(made, x=x, lostbits_clip=on, lostbits_round=on)[0]
    none = outputs(made, x=x, lostbits_clip=off, lostbits_round=off)[0]
    np.testing.assert_array_equal(full, outputs(quantized(model, sites, plan), x=x)[0])
    np.testing.assert_array_equal(none, outputs(model, x=x)[0])
    assert not np.array_equal(full, none)


@pytest.mark.parametrize(
    ("clip", "rounded"), [(True, False), (False, True), (True, True), (False, False)]
)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [3, 8])
def test_one_cause_of_one_site_is_its_definition(
    clip: bool, rounded: bool, per_channel: bool, bits: int
) -> None:
    model, sites = net()
    plan = plan_for(sites, bits, per_channel=per_channel)
    made = switched(model, sites, plan)
    for number, site in enumerate(sites):
        if site.role == "bias" or site.tensor not in ("x", "w", "u"):
            continue
        on = np.arange(len(sites)) == number
        x = random(2, 4, 6, 6)
        arrays = constants(model) | {"x": x}
        arrays[site.tensor] = definition(arrays[site.tensor], plan[site.key], clip, rounded)
        copy = normal(proto(NET, **{n: arrays[n] for n in ("w", "b", "u")}))
        found = outputs(made, x=x, lostbits_clip=on & clip, lostbits_round=on & rounded)[0]
        np.testing.assert_array_equal(found, outputs(copy, x=arrays["x"])[0])


@pytest.mark.parametrize("make", [quantized, switched])
@pytest.mark.parametrize("bits", [4, 8])
def test_channels_may_lie_along_the_last_axis(make: Any, bits: int) -> None:
    model = normal(
        proto("g (float[N,5,3] x) => (float[N,5,3] y) { y = MatMul(x, w) }", w=random(3, 3))
    )
    sites = [s for s in place(model, SNPE).sites if s.tensor == "x"]
    wide, grid = np.asarray([0.5, 1.0, 2.0]), Grid.of(bits, signed=False)
    affine = affine_from_range(-wide / 2, wide, grid, symmetric=False, axis=2)
    made, x = make(model, sites, {"x:activation": affine}), random(2, 5, 3)
    on = {v.name: np.ones(1, bool) for v in made.graph.inputs if v.name != "x"}
    expected = outputs(model, x=affine.fake_quantize(x))[0]
    np.testing.assert_array_equal(outputs(made, x=x, **on)[0], expected)


def test_an_input_that_is_the_output_can_be_quantized() -> None:
    body = "{ y = Identity(x) z = Relu(x) }"
    model = normal(proto("g (float[N,4] x) => (float[N,4] y, float[N,4] z) " + body))
    sites = place(model, SNPE).sites
    plan = {
        s.key: affine_from_range(-1.0, 1.0, Grid.of(8, signed=False), symmetric=False)
        for s in sites
    }
    x = random(3, 4)
    np.testing.assert_array_equal(
        outputs(quantized(model, sites, plan), x=x)[0], plan[sites[0].key].fake_quantize(x)
    )


def test_an_input_that_is_an_output_goes_out_as_it_came() -> None:
    """Nothing computes it, and one name cannot stand for two values."""
    model = normal(proto("g (float[N,4] x) => (float[N,4] x) { }"))
    sites = place(model, SNPE).sites
    x = random(3, 4)
    assert not sites
    np.testing.assert_array_equal(outputs(quantized(model, sites, {}), x=x)[0], x)


def test_instrumenting_changes_no_model() -> None:
    model, sites = net()
    before = ir.to_proto(model).SerializeToString()
    plan = plan_for(sites, 8)
    quantized(model, sites, plan)
    switched(model, sites, plan)
    with_outputs(model, [s.tensor for s in sites if s.streams])
    assert ir.to_proto(model).SerializeToString() == before


def test_activations_wider_than_16_bits_are_refused() -> None:
    model, sites = net()
    with pytest.raises(SimulationError) as info:
        quantized(model, sites, plan_for(sites, 17))
    assert info.value.code == "S004"
