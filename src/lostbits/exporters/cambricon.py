"""Cambricon MLU: neutral parameters, MagicMind's build configuration and C++ calls.

The device spells a step as a power of two and a factor: ``step = 2**position / scale``. Two
conventions are in use, and both have the same step; the file holds the step and both spellings.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, Kind, Takes, site_rows
from lostbits.graph.halves import half_quantized
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.reader import Parameters
from lostbits.readers.cambricon import FORMAT
from lostbits.readers.cambricon import Cambricon as CambriconReader

_GRIDS = frozenset({"int8", "int16"})
_POSITIONS = range(-128, 128)
_JSON, _CONFIG, _CODE = "cambricon.json", "magicmind_config.json", "set_ranges.cpp"


@final
class Pair(NamedTuple):
    """How the device is told a step; ``offset`` is the zero point of the signed grid."""

    position: int
    scale: float
    offset: int


@final
class Cambricon(Exporter):
    """int8 and int16 of CNNL, CNML and MagicMind; weights and activations, both or neither.

    References:
        Cambricon mlu-ops 73adc65d, core/tool.cpp; Cambricon caffe before 4d6892af,
        include/caffe/mlu/util.hpp; Cambricon magicmind_cloud dc085c1.
    """

    name = "cambricon"
    title = "Cambricon MLU: parameters, MagicMind configuration and C++ calls"
    files = (_JSON, _CONFIG, _CODE)
    takes: Mapping[Kind, Takes] = {
        "activation": Takes(_GRIDS),
        "weight": Takes(_GRIDS, symmetric=_GRIDS, per_channel="middle"),
    }
    otherwise: Mapping[Kind, str] = {"bias": "the device adds the bias in float"}

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """Three files; see the module."""
        rows = [
            row | spellings(case.plan[site.key])
            for row, site in zip(site_rows(case, sites), sites, strict=True)
        ]
        floats = {tensor: str(why) for tensor, why in self.left_out(case).items()}
        parameters = {"format": FORMAT, "sites": rows, "float": floats}
        return {
            _JSON: (json.dumps(parameters, indent=1) + "\n").encode(),
            _CONFIG: (json.dumps(_configuration(case, sites), indent=1) + "\n").encode(),
            _CODE: _code(case, sites).encode(),
        }

    def read(self, files: Files) -> Parameters:
        """See readers.cambricon."""
        return CambriconReader().read(files[_JSON])

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """Half-quantized layers, and positions that the device has no room for."""
        return [*_halves(case, sites), *_far(case, sites)]


def cnnl(affine: Affine) -> list[Pair]:
    """CNNL's convention, per channel: the position is a floor, the scale lies about [1, 2).

    The end of the range is rounded to float32, as the device's tools hold it: 127 * (1/127) is
    just below 1 in exact arithmetic, and its floor would be a whole power of two lower.

    >>> from lostbits.grid import Grid, affine_from_range
    >>> cnnl(affine_from_range(-1, 1, Grid.of(8, signed=True), symmetric=True))
    [Pair(position=-6, scale=1.984375, offset=0)]
    """
    bits, grid = affine.grid.bits, affine.grid
    symmetric = not affine.zero_point.any()
    levels, shift = (grid.qmax, bits - 2) if symmetric else (2**bits - 1, bits - 1)
    pairs = []
    for step, zero in zip(affine.scale.ravel(), affine.zero_point.ravel().tolist(), strict=True):
        end = np.float32(step * np.float32(levels))
        position = math.frexp(float(end))[1] - 1 - shift
        pairs.append(_pair(step, position, zero))
    return pairs


def caffe(affine: Affine) -> list[Pair]:
    """The Caffe tool's convention: the position is the step's exponent rounded up, within 32."""
    pairs = []
    for step, zero in zip(affine.scale.ravel(), affine.zero_point.ravel().tolist(), strict=True):
        mantissa, exponent = math.frexp(float(step))
        exact = mantissa == 0.5  # then the tool goes one up only above 1
        position = exponent - 1 + (exponent > 1) if exact else exponent
        pairs.append(_pair(step, min(max(position, -32), 32), zero))
    return pairs


def _pair(step: np.float32, position: int, zero: int) -> Pair:
    return Pair(position, float(np.float32(math.ldexp(1.0, position) / float(step))), zero)


def spellings(affine: Affine) -> dict[str, Any]:
    """Both conventions, numbers or lists as the scale is one."""
    return {"cnnl": _columns(cnnl(affine), affine), "caffe": _columns(caffe(affine), affine)}


def _columns(pairs: Sequence[Pair], affine: Affine) -> dict[str, Any]:
    if affine.axis is None:
        return pairs[0]._asdict()
    return {field: [getattr(p, field) for p in pairs] for field in Pair._fields}


def _halves(case: Case, sites: Sequence[Site]) -> list[ExportError]:
    """Layers with quantized activations and calibrated weights, or the other way round."""
    return [
        ExportError("E007", f"node {node!r} in cambricon", f"parameters for input {index} only")
        for node, index in half_quantized(case.model, sites).items()
    ]


def _far(case: Case, sites: Sequence[Site]) -> list[ExportError]:
    """A product's position is the sum of those of its operands."""
    lowest, highest = defaultdict[str, int](int), defaultdict[str, int](int)
    for site in sites:
        positions = [pair.position for pair in cnnl(case.plan[site.key])]
        for use in site.uses:
            lowest[use.node] += min(positions)
            highest[use.node] += max(positions)
    return [
        ExportError("E008", f"node {node!r} in cambricon", f"{lowest[node]} to {highest[node]}")
        for node in lowest
        if node and not {lowest[node], highest[node]} <= set(_POSITIONS)
    ]


def _configuration(case: Case, sites: Sequence[Site]) -> dict[str, Any]:
    """MagicMind's build configuration, the keys that speak of precision."""
    affines = [case.plan[s.key] for s in sites]
    bits = max(a.grid.bits for a in affines)
    channels = any(a.axis is not None for a in affines)
    asymmetric = any(a.zero_point.any() for a in affines)
    return {
        "precision_config": {
            "precision_mode": f"qint{bits}_mixed_float32",
            "weight_quant_granularity": "per_axis" if channels else "per_tensor",
            "activation_quant_algo": "asymmetric" if asymmetric else "symmetric",
        }
    }


def _code(case: Case, sites: Sequence[Site]) -> str:
    """C++ that sets every range, to be called between parsing and BuildModel."""
    calls = [
        _call(use.node, use.index, case.plan[s.key]) for s in sites for use in s.uses if use.node
    ]
    head = (
        "// Ranges planned by lostbits. Call after parsing and before BuildModel. Nodes are found",
        "// by their ONNX names; adapt them if the parser gave others.",
        '#include "interface_network.h"',
        "",
        "void SetRanges(magicmind::INetwork *network) {",
    )
    return "\n".join((*head, *calls, "}", ""))


def _call(node: str, index: int, affine: Affine) -> str:
    ends = zip(*_ends(affine), strict=True)
    ranges = [f"{{{low!r}f, {high!r}f}}" for low, high in ends]
    what = ranges[0] if affine.axis is None else f"{{{', '.join(ranges)}}}"
    suffix = "" if affine.axis is None else "PerAxis"
    found = f"network->FindNodeByName({json.dumps(node)})->GetInput({index})"
    return f"  {found}->SetDynamicRange{suffix}({what}, false);"


def _ends(affine: Affine) -> tuple[list[float], list[float]]:
    """A symmetric range is +-step * qmax: the lowest code lies outside of it."""
    high = affine.hi.astype(np.float64).ravel().tolist()
    if affine.zero_point.any():
        return affine.lo.astype(np.float64).ravel().tolist(), high
    return [-h for h in high], high
