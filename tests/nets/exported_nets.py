"""Cases without calibration, with any plan: what exporters and readers need."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from hypothesis import strategies as st

from lostbits.case import Case, constant_of
from lostbits.exporter import Exporter, Kind, Takes, kind_of, middle_code
from lostbits.graph.place import place
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid
from lostbits.target import Target
from lostbits.targets import QNN_HTP
from text_models import normal, proto, random

# Conv, ConvTranspose, Gemm and MatMul: weights with channels on axes 0 and 1; a Concat; a name
# with a colon; two outputs, one of which is also read inside.
NET = """g (float[N,4,6,6] x) => (float[N,3] y, float[N,5,6,6] r) {
    c = Conv <pads = [1,1,1,1], strides = [1,1]> (x, w, b)
    r = Relu(c)
    t = ConvTranspose <kernel_shape = [1,1]> (r, v, a)
    k = Concat <axis = 1> (r, t)
    p = GlobalAveragePool(k)
    f = Flatten(p)
    h = Gemm <transB = 1> (f, u, d)
    y = MatMul(h, m)
}"""
Plan = dict[str, Affine]


def net(opset: int = 17) -> ir.Model:
    weights = {
        "w": random(5, 4, 3, 3),
        "b": random(5),
        "v": random(5, 3, 1, 1),
        "a": random(3),
        "u": random(4, 8),
        "d": random(4),
        "m": random(4, 3),
    }
    return normal(proto(NET, opset, **weights))


def case_of(
    plan: Mapping[str, Affine] | None = None, target: Target = QNN_HTP, **options: Any
) -> Case:
    """A case of the network above; without a plan, one with simple scales."""
    model = options.get("model") or net()
    placed = place(model, target)
    case = Case(model, target, placed, {}, plan or {}, {}, 0)
    return case if plan is not None else replace(case, plan=simple_plan(case, target))


def simple_plan(case: Case, target: Target) -> Plan:
    """The target's own grids; scales that differ from site to site, products for biases."""
    plan: Plan = {}
    groups = list(dict.fromkeys(s.group for s in case.placed.sites))
    for site in (s for s in case.placed.sites if s.role != "bias"):
        number = groups.index(site.group)
        rule = target.weights if site.role == "weight" else target.activations
        size = channels(case, site)
        per_channel = rule.per_channel and site.per_channel and size is not None
        shape: tuple[int, ...] = (size or 0,) if per_channel else ()
        scale = np.full(shape, 0.01 + 0.001 * number, np.float32)
        code = middle_code(rule.grid) if rule.symmetric else rule.grid.qmin + 100 + number
        plan[site.key] = Affine(
            rule.grid, scale, np.full(shape, code, np.int64), site.axis if per_channel else None
        )
    inputs = {s.group: plan[s.key] for s in case.placed.sites if s.streams}
    for site in case.placed.sites:
        if site.scales is not None:
            scale = inputs[site.scales[0]].scale * plan[site.scales[1]].scale
            zero = np.zeros(scale.shape, np.int64)
            plan[site.key] = Affine(
                Grid.of(32, signed=True), scale, zero, 0 if scale.ndim else None
            )
    return plan


def channels(case: Case, site: Site) -> int | None:
    """How many channels a constant has along its axis."""
    if site.streams:
        return None
    axis = 0 if site.role == "bias" else site.axis
    return None if axis is None else int(constant_of(case.model, site).shape[axis])


# float32 scales over the whole range that a plan may hold, their least significant bits included.
SCALES = st.floats(2.0**-40, 2.0**20, width=32)


@st.composite
def affines(draw: st.DrawFn, takes: Takes, size: int | None, axis: int | None) -> Affine:
    """Any parameters that an exporter's table allows."""
    name = draw(st.sampled_from(sorted(takes.grids)))
    grid = Grid.of(int(name.lstrip("uint")), signed=name[0] == "i")
    many = size is not None and size > 1 and takes.per_channel != "no" and draw(st.booleans())
    middle = name in takes.symmetric or (many and takes.per_channel == "middle")
    codes = st.just(middle_code(grid)) if middle else st.integers(grid.qmin, grid.qmax)
    if not many:
        return Affine(grid, np.asarray(draw(SCALES), np.float32), np.asarray(draw(codes)))
    count = size or 0
    scale = draw(st.lists(SCALES, min_size=count, max_size=count))
    zero = draw(st.lists(codes, min_size=count, max_size=count))
    return Affine(grid, np.asarray(scale, np.float32), np.asarray(zero), axis)


@st.composite
def plans(draw: st.DrawFn, case: Case, exporter: Exporter) -> Plan:
    """Any plan that the exporter takes, for the sites whose kind it writes."""
    plan: Plan = {}
    for site in case.placed.sites:
        kind: Kind = kind_of(site)
        if kind in exporter.takes:
            axis = 0 if kind == "bias" else site.axis
            size = channels(case, site)
            plan[site.key] = draw(affines(exporter.takes[kind], size, axis))
    return plan


def rounded_down(case: Case) -> Case:
    """Weights that were rounded otherwise than to nearest, and a bias that was corrected."""
    written = {
        s.tensor: constant_of(case.model, s) - np.float32(0.004)
        for s in case.placed.sites
        if s.role in ("weight", "bias") and s.tensor != "m"
    }
    return replace(case, written=written)
