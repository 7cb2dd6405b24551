"""Q/DQ ONNX models: the one format that ONNX Runtime, OpenVINO, TensorRT and QNN all read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, Kind, Takes, float_model, serialized
from lostbits.graph.instrument import after, quantized, repeat_pairs
from lostbits.graph.queries import opset, values_by_name
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid
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
        standard: Whether the platform knows the ops of the ONNX standard only. ONNX Runtime has
            wider ones of its own, which are needed for 16 bits below opset 21 and for channels
            below opset 13.
        float_weights: Keep weights in float behind pairs of their own, instead of as integers.
        repeated: Whether nodes that only move values have a pair behind them as well.

    Names stay those of the float model: weights keep theirs, and so do the graph's outputs. A
    grid that does not fill its integer type (7 bits in int8) is limited by a Clip before the pair
    and named in the metadata.
    """

    name: str
    title: str
    takes: Mapping[Kind, Takes]
    otherwise: Mapping[Kind, str]
    standard: bool = False
    float_weights: bool = False
    repeated: bool = False
    files = (_FILE,)

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """One file."""
        model = quantized(float_model(case), sites, case.plan, float_weights=self.float_weights)
        common.RemoveUnusedNodesPass()(model)
        _restore_names(model.graph, sites)
        if self.repeated:
            repeat_pairs(model.graph, case.target.placement.passes_through)
        grids = {s.tensor: case.plan[s.key].grid for s in sites}
        narrow = {t: _fields(g) for t, g in grids.items() if g.bits not in (8, 16, 32)}
        if narrow:
            model.metadata_props[GRIDS_KEY] = json.dumps(narrow)
        return {_FILE: serialized(model)}

    def read(self, files: Files) -> Parameters:
        """See readers.onnx_model."""
        return OnnxModel().read(files[_FILE])

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """Ops beyond the standard, and biases off the accumulator's scale."""
        found = [_off_scale(s) for s in sites if s.scales and not _on_scale(case, s)]
        version = opset(case.model)
        if self.standard:
            found += [
                _beyond(s, self.name, least, version)
                for s in sites
                if version < (least := least_opset(case.plan[s.key]))
            ]
        return found


def _fields(grid: Grid) -> tuple[int, bool, int, int]:
    return grid.bits, grid.signed, grid.qmin, grid.qmax


def least_opset(affine: Affine) -> int:
    """The first opset whose own QuantizeLinear has the type and the granularity."""
    if 8 < affine.grid.bits <= 16:
        return 21
    return 13 if affine.axis is not None else 10


def _restore_names(graph: ir.Graph, sites: Sequence[Site]) -> None:
    """Give outputs and integer constants the names that they have in the float model."""
    for site in sites:
        values = values_by_name(graph)
        made, old = values.get(after(site)), values.get(site.tensor)
        if made is None:
            continue
        if made.is_graph_output() and old is not None:
            old.name = f"{site.tensor}__float"
            made.type, made.shape = old.type, old.shape
        if made.is_graph_output() or old is None:
            made.name = site.tensor


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
    rule, todo = "a bias must have the scale s_x * s_w", "plan it with its input and weight"
    return ExportError("E009", f"bias {site.tensor!r}", rule, "another one", todo)


def _beyond(site: Site, where: str, least: int, version: int) -> ExportError:
    rule = f"needs opset {least} for its type or its channels"
    todo = "convert the model with onnx.version_converter, or plan it per tensor and with 8 bits"
    return ExportError("E011", f"{site.role} {site.tensor!r} in {where}", rule, f"{version}", todo)


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
    standard=True,
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
