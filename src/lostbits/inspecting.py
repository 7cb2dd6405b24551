"""The verb ``inspect``: what somebody else's file says, and what of it is doubtful."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
import onnx_ir as ir

from lostbits.data.access import existing, reading
from lostbits.errors import ReadError, edge
from lostbits.graph.external import with_external_data
from lostbits.graph.functions import check_functions
from lostbits.graph.normalise import opened
from lostbits.graph.order import sort
from lostbits.grid import Affine
from lostbits.matching import Match, best_target, without_folded
from lostbits.reader import Entry, Parameters, damaged
from lostbits.readers import OnnxModel, parameters_of, reader_of
from lostbits.runtime.reference import open_reference
from lostbits.suspicions import suspicions_of_graph
from lostbits.system.files import PROTOBUF, read_file, size_of
from lostbits.system.memory import excess
from lostbits.target import Target
from lostbits.targets import MEMBERS as TARGETS
from lostbits.targets import ONNXRUNTIME
from lostbits.targets import target as find_target

FORMAT = "lostbits-inspection/1"


@final
@dataclass(frozen=True)
class Inspection:
    """What a file says.

    Attributes:
        path: The file.
        title: Of the format that was recognised.
        parameters: Its content.
        suspicions: What is probably not as it was meant.
        match: The model's sites that the content belongs to; None without a model.
        target: Whose rules placed those sites.
    """

    path: Path
    title: str
    parameters: Parameters
    suspicions: tuple[ReadError, ...]
    match: Match | None = None
    target: str | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data, numbers in full."""
        return {
            "format": FORMAT,
            "path": str(self.path),
            "recognised": self.title,
            "method": self.parameters.method,
            "tensors": [self._row(e) for e in self.parameters.entries],
            "float": list(self.parameters.floats),
            "problems": [str(p) for p in self.parameters.problems],
            "suspicions": [str(s) for s in self.suspicions],
            "target": self.target,
            "unmatched": _reasons(None if self.match is None else self.match.unmatched),
            "missing": _reasons(None if self.match is None else self.match.missing),
        }

    def sites(self, entry: Entry) -> list[str]:
        """Keys of the sites that take their parameters from an entry."""
        origin = {} if self.match is None else self.match.origin
        return [key for key, name in origin.items() if name == entry.tensor]

    def _row(self, entry: Entry) -> dict[str, Any]:
        affine = entry.affine
        return {
            "tensor": entry.tensor,
            "aliases": list(entry.aliases),
            "grid": affine.grid.name,
            "qmin": affine.grid.qmin,
            "qmax": affine.grid.qmax,
            "axis": affine.axis,
            "scale": np.atleast_1d(affine.scale).astype(float).tolist(),
            "zero_point": np.atleast_1d(affine.zero_point).tolist(),
            "lo": np.atleast_1d(affine.lo).astype(float).tolist(),
            "hi": np.atleast_1d(affine.hi).astype(float).tolist(),
            "sites": self.sites(entry),
        }


def _reasons(found: dict[str, str] | None) -> list[dict[str, str]] | None:
    if found is None:
        return None
    return [{"tensor": tensor, "reason": reason} for tensor, reason in found.items()]


def read_parameters(path: Path) -> tuple[str, Parameters, ir.Model | None]:
    """Title of the format, content, and, if the file is one, the quantized model.

    Raises:
        DataError: D001 or D002 when there is nothing to read.
        ReadError: I001 to I004.
        ModelError: M002 for constants that do not fit their shapes, M004 for external data.
    """
    content = content_of(path)
    reader = reader_of(content)
    if reader.name != OnnxModel.name:
        return reader.title, reader.read(content), None
    with edge(damaged):
        model = _parsed(content, path)
        return reader.title, parameters_of(model), model


def content_of(path: Path) -> bytes:
    """All bytes of a regular file.

    Raises:
        DataError: D001 or D002 when there is nothing to read, or more than memory holds.
    """
    existing(path)
    with reading(str(path)):
        if found := excess(size_of(path)):
            raise ValueError(found)
        return read_file(path, most=PROTOBUF)


def _parsed(content: bytes, path: Path) -> ir.Model:
    """The model with the data that lie beside it; sorted, as a runtime would do it."""
    proto = onnx.ModelProto.FromString(content)
    check_functions(proto)
    sort(proto)
    return with_external_data(proto, path)


def inspect(path: Path, model: Path | None = None, target: str | None = None) -> Inspection:
    """Read a file of parameters, and look for its tensors in the float model.

    Args:
        path: A quantized ONNX model, or a file of parameters of any known format.
        model: The float model that it was made for.
        target: Whose rules place the sites; default, those that fit the file best.

    Raises:
        LostbitsError: DataError for the paths, ReadError for the file, ModelError for the model,
            TargetError for the target.
    """
    title, parameters, own = read_parameters(path)
    reference = None if model is None else open_reference(model)
    with edge(damaged):  # whatever a graph holds that nobody has thought of
        graph = None if own is None else opened(own)
        if reference is None:
            doubts = [] if graph is None else suspicions_of_graph(parameters, graph)
            return Inspection(path, title, parameters, tuple(doubts))
        floats = reference.model
        chosen, _, found = best_target(parameters, floats, candidates(target), graph)
        found = without_folded(found, reference.plain)
        doubts = suspicions_of_graph(parameters, floats if graph is None else graph)
        return Inspection(path, title, parameters, tuple(doubts), found, chosen.name)


def candidates(target: str | None) -> list[Target]:
    """The named target, or all, ONNX Runtime's first: most tools have taken over its rules.

    The last one is ONNX Runtime's with activation functions by themselves: there are tools that
    round before and behind a Clip, and their files run so.
    """
    if target is not None:
        return [find_target(target)]
    alone = replace(ONNXRUNTIME.placement, fused_activations=frozenset())
    unfused = replace(ONNXRUNTIME, placement=alone)
    return [ONNXRUNTIME, *(t for t in TARGETS.all() if t is not ONNXRUNTIME), unfused]


def summary(affine: Affine) -> tuple[str, str, str, str]:
    """Grid, scale, zero point and range as short texts; the extremes where there are channels.

    >>> from lostbits.grid import Grid
    >>> two = np.array([0.5, 0.25], np.float32)
    >>> summary(Affine(Grid.of(8, signed=True), two, np.zeros(2, np.int64), 0))
    ('int8 x 2 (axis 0)', '0.25 .. 0.5', '0', '-64 .. 63.5')
    """
    channels = "" if affine.axis is None else f" x {affine.scale.size} (axis {affine.axis})"
    ends = f"{float(affine.lo.min()):.5g} .. {float(affine.hi.max()):.5g}"
    return (
        affine.grid.name + channels,
        _span(affine.scale, "{:.5g}"),
        _span(affine.zero_point, "{}"),
        ends,
    )


def _span(values: Any, form: str) -> str:
    least, most = form.format(values.min()), form.format(values.max())
    return least if least == most else f"{least} .. {most}"
