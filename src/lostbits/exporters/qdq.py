"""Q/DQ ONNX models: the one format that ONNX Runtime, OpenVINO, TensorRT and QNN all read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, Kind, Takes, float_model, onnx_files
from lostbits.graph.instrument import repeat_pairs
from lostbits.graph.match_gelu import fuse_gelus
from lostbits.graph.qdq import qdq_model
from lostbits.graph.site import Site
from lostbits.grid import Grid
from lostbits.reader import Parameters
from lostbits.readers.onnx_model import GRIDS_KEY, OnnxModel

_FILE = "model_qdq.onnx"
_UP_TO_16 = frozenset(
    Grid.of(bits, signed=signed).name for bits in range(2, 17) for signed in (True, False)
)
_INT32 = Takes(frozenset({"int32"}), symmetric=frozenset({"int32"}), per_channel="any")


@final
@dataclass(frozen=True)
class Qdq(Exporter):
    """QuantizeLinear and DequantizeLinear around every site; a file for one platform.

    Attributes:
        float_weights: Keep weights in float behind pairs of their own, instead of as integers.
        repeated: Whether nodes that only move values have a pair behind them as well, and a
            written-out GELU is one op, as integer platforms want it.

    Names stay those of the float model: weights keep theirs, and so do the graph's outputs. A
    grid that does not fill its integer type (7 bits in int8) is limited by a Clip before the pair
    and named in the metadata.
    """

    name: str
    title: str
    takes: Mapping[Kind, Takes]
    otherwise: Mapping[Kind, str]
    float_weights: bool = False
    repeated: bool = False
    files = (_FILE,)

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """One file."""
        model = qdq_model(float_model(case), sites, case.plan, float_weights=self.float_weights)
        if self.repeated:
            repeat_pairs(model.graph, case.target.placement.passes_through)
            fuse_gelus(model)
        grids = {s.tensor: case.plan[s.key].grid for s in sites}
        narrow = {t: _fields(g) for t, g in grids.items() if g.bits not in (8, 16, 32)}
        if narrow:
            model.metadata_props[GRIDS_KEY] = json.dumps(narrow)
        return onnx_files(_FILE, model)

    def read(self, files: Files) -> Parameters:
        """See readers.onnx_model."""
        return OnnxModel().read(files[_FILE])

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """Biases off the accumulator's scale."""
        return [_off_scale(s) for s in sites if s.scales and not _on_scale(case, s)]


def _fields(grid: Grid) -> tuple[int, bool, int, int]:
    return grid.bits, grid.signed, grid.qmin, grid.qmax


def _on_scale(case: Case, site: Site) -> bool:
    """Whether a bias has the scale s_x * s_w; groups of a ConvTranspose repeat the weight's."""
    assert site.scales is not None
    group, weight = site.scales
    inputs = [s for s in case.sites if s.streams and s.group == group]
    if not inputs or weight not in case.plan:
        return False
    product = case.plan[inputs[0].key].scale * case.plan[weight].scale
    bias = case.plan[site.key].scale
    if bias.size % product.size:
        return False
    wanted = np.tile(product.ravel(), bias.size // product.size)
    return bool(np.allclose(bias.ravel(), wanted, rtol=1e-5, atol=0))


def _off_scale(site: Site) -> ExportError:
    return ExportError("E009", f"bias {site.tensor!r}", "another one")


_ANY = Takes(_UP_TO_16, per_channel="any")
_INT8 = frozenset({"int8"})
_LOW = frozenset({"int4", "int8"})
ONNXRUNTIME = Qdq(
    "qdq-onnxruntime",
    "Q/DQ ONNX for ONNX Runtime",
    {"activation": Takes(_UP_TO_16), "weight": _ANY, "bias": _INT32},
    {},
)
OPENVINO = Qdq(
    "qdq-openvino",
    "Q/DQ ONNX for OpenVINO",
    {"activation": Takes(_UP_TO_16), "weight": _ANY},
    {"bias": "OpenVINO adds the bias in float"},
)
TENSORRT = Qdq(
    "qdq-tensorrt",
    "Q/DQ ONNX for TensorRT (explicit quantization, every version)",
    {
        "activation": Takes(_INT8, symmetric=_INT8),
        "weight": Takes(_LOW, symmetric=_LOW, per_channel="middle"),
    },
    {"bias": "TensorRT adds the bias in float and refuses a quantized one"},
)
QNN = Qdq(
    "qdq-qnn",
    "Q/DQ ONNX for QNN (Hexagon HTP) in ONNX Runtime",
    {
        "activation": Takes(frozenset({"uint8", "uint16"})),
        "weight": Takes(
            frozenset({"int4", "int8", "int16", "uint8", "uint16"}),
            symmetric=frozenset({"int4"}),
            per_channel="middle",
        ),
        "bias": _INT32,
    },
    {},
    repeated=True,
)
