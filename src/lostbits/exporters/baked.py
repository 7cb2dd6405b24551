"""A float model that carries its parameters: a platform's own min-max quantizer finds them.

Weights lie on the planned grid and reach both of its ends, so that their extremes give scale and
zero point back. An activation whose planned range is narrower than its values is limited to it, so
that the largest value that a calibration sees is the end of the range.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import (
    Exporter,
    Files,
    Kind,
    Takes,
    constant_values,
    float_model,
    left_to_host,
    onnx_files,
    site_rows,
)
from lostbits.graph.insert_clip import limit
from lostbits.graph.instrument import with_constants
from lostbits.graph.scale_marks import cut_at_marks
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid, along
from lostbits.plan.ranges import rule_of
from lostbits.reader import Parameters
from lostbits.readers.onnx_model import PLAN_KEY, OnnxModel

_FILE = "model_baked.onnx"
_GRIDS = frozenset({"int8", "uint8", "int16", "uint16"})
_NATIVE = "min_max"


@final
class Baked(Exporter):
    """For platforms that take no parameters from outside."""

    name = "baked"
    title = "float ONNX whose min-max quantization is the plan (SNPE, and others that calibrate so)"
    files = (_FILE,)
    takes: Mapping[Kind, Takes] = {
        "activation": Takes(_GRIDS),
        "weight": Takes(_GRIDS, per_channel="any"),
    }
    otherwise: Mapping[Kind, str] = {"bias": "the platform rounds the bias to s_x * s_w itself"}

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """One file."""
        found = [s for s in sites if rule_of(s, case.target).method_name == _NATIVE]
        weights = {s.tensor: reaching(case, s)[0] for s in found if s.role == "weight"}
        model = with_constants(float_model(case), weights)
        for site in found:
            if site.streams and any(e is not None for e in _ends(case, site)):
                limit(model.graph, site.tensor, *_ends(case, site))
        model.metadata_props[PLAN_KEY] = json.dumps({"sites": site_rows(case, sites)})
        return onnx_files(_FILE, cut_at_marks(model))

    def read(self, files: Files) -> Parameters:
        """From the metadata, where ``render`` has noted the plan; see readers.onnx_model."""
        return OnnxModel().read(files[_FILE])

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """What the platform's own calibration would find otherwise."""
        return [problem for site in sites for problem in _problems(case, site)] + left_to_host(case)


def reaching(case: Case, site: Site) -> tuple[NDArray[np.float32], int]:
    """A weight on its grid that reaches the ends of it, and how many codes had to be moved.

    The code nearest to an end is moved there where none is: the least change that lets the
    extremes say what the scale is.
    """
    affine, value = case.plan[site.key], constant_values(case, site)
    codes = affine.codes(value).astype(np.int64)
    moved = np.array(codes)  # an array even of a single number, which a copy of it is not
    reach = _reach_evenly if rule_of(site, case.target).symmetric else _reach
    for part, zero in _channels(moved, affine):
        reach(part, zero, affine.grid)
    zeros = along(affine.zero_point, value.ndim, affine.axis)
    scale = along(affine.scale, value.ndim, affine.axis)
    reached = np.asarray((moved - zeros) * scale, np.float32)
    return reached, int((moved != codes).sum())


def _channels(codes: NDArray[np.int64], affine: Affine) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Views of the codes that share a scale, with their zero point."""
    if affine.axis is None:
        yield codes, int(affine.zero_point)
    else:
        rows = np.moveaxis(codes, affine.axis, 0)
        yield from zip(rows, affine.zero_point.tolist(), strict=True)


def _reach(codes: NDArray[np.int64], zero: int, grid: Grid) -> None:
    """Move the largest code to the top and the least to the bottom, if zero lies between.

    A single number goes to the end on its own side. Zeros stay: they are exact on every grid.
    """
    if (codes == zero).all():
        return
    many = codes.size > 1
    up, down = many or codes.max() > zero, many or codes.min() < zero
    if up and zero < grid.qmax and codes.max() < grid.qmax:
        codes[np.unravel_index(codes.argmax(), codes.shape)] = grid.qmax
    if down and zero > grid.qmin and codes.min() > grid.qmin:
        codes[np.unravel_index(codes.argmin(), codes.shape)] = grid.qmin


def _reach_evenly(codes: NDArray[np.int64], zero: int, grid: Grid) -> None:
    """A symmetric scale is that of the largest magnitude; the odd lowest code would enlarge it."""
    span = grid.qmax - zero
    np.clip(codes, zero - span, zero + span, out=codes)
    far = np.abs(codes - zero)
    if 0 < far.max() < span:
        at = np.unravel_index(far.argmax(), codes.shape)
        codes[at] = zero + np.sign(codes[at] - zero) * span


def _ends(case: Case, site: Site) -> tuple[float | None, float | None]:
    """Ends of the planned range that lie inside what was seen, to half a step."""
    affine, (least, most) = case.plan[site.key], _extremes(case, site)
    half = float(affine.scale.max()) / 2
    lo, hi = float(affine.lo.min()), float(affine.hi.max())
    return lo if least < lo - half else None, hi if most > hi + half else None


def _extremes(case: Case, site: Site) -> tuple[float, float]:
    """Of the values that calibration saw, zero included; all there are where nothing was kept."""
    seen = case.seen.get(site.key)
    if seen is None:
        return -np.inf, np.inf
    return min(float(seen.whole.lo.min()), 0.0), max(float(seen.whole.hi.max()), 0.0)


def _problems(case: Case, site: Site) -> Iterator[ExportError]:
    where = f"{site.role} {site.tensor!r} in {_FILE}"
    if rule_of(site, case.target).method_name != _NATIVE:
        found = f"{case.target.name} uses {rule_of(site, case.target).method_name}"
        yield ExportError("E017", where, found)
    elif site.role == "weight":
        count = reaching(case, site)[1]
        if count:
            yield ExportError("E018", where, f"{count} codes were moved there")
    elif not _found(case, site):
        yield ExportError("E019", where, "a wider one, which min-max will not find")


def _found(case: Case, site: Site) -> bool:
    """Whether data reach both ends of an activation's range, to one step."""
    affine, (least, most) = case.plan[site.key], _extremes(case, site)
    step = float(affine.scale.max())
    return least <= float(affine.lo.min()) + step and most >= float(affine.hi.max()) - step
