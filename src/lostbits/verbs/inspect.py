"""The verb ``inspect``: what somebody else's file says, and what of it is doubtful."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
import onnx_ir as ir

from lostbits.arithmetics import X86_AVX2
from lostbits.errors import ReadError, edge
from lostbits.foreign.by_structure import named_alike
from lostbits.foreign.file import candidates, read_foreign
from lostbits.foreign.graph_doubts import doubts_of_quantizers
from lostbits.foreign.known_faults import suspicions_of_graph, suspicions_of_sums
from lostbits.foreign.match_names import Match, best_target, without_folded
from lostbits.foreign.node_doubts import doubts_of_nodes
from lostbits.foreign.target_checks import doubts_of_target
from lostbits.grid import Affine
from lostbits.kernels.reaches import LayerReach, layer_reaches
from lostbits.language import Message, say
from lostbits.reader import Entry, Parameters, damaged
from lostbits.runtime.float_reference import open_reference
from lostbits.target import Arithmetic, Target
from lostbits.targets import arithmetic_of
from lostbits.verbs.arguments import checked

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
        sums: Layers whose sums can leave their range, by their codes alone: in the arithmetic that
            was named, or on x86 without VNNI.
    """

    path: Path
    title: str
    parameters: Parameters
    suspicions: tuple[ReadError, ...]
    match: Match | None = None
    target: str | None = None
    sums: tuple[LayerReach, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data, numbers in full."""
        return {
            "format": FORMAT,
            "path": str(self.path),
            "recognised": self.title,
            "method": self.parameters.method,
            "tensors": [self._row(e) for e in self.parameters.entries],
            "float": list(self.parameters.floats),
            "dynamic": list(self.parameters.dynamic),
            "problems": [str(p) for p in self.parameters.problems],
            "suspicions": [str(s) for s in self.suspicions],
            "target": self.target,
            "sums": [_sum(each) for each in self.sums],
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


def _sum(each: LayerReach) -> dict[str, Any]:
    reach = each.reach
    told = {"node": each.node, "weight": each.weight, "kind": each.kind}
    return {**told, "reach": reach.packed, "reach_written": reach.written, "limit": reach.limit}


def _reasons(found: Mapping[str, Message] | None) -> list[dict[str, str]] | None:
    if found is None:
        return None
    return [{"tensor": tensor, "reason": str(reason)} for tensor, reason in found.items()]


@checked
def inspect(
    path: str | Path,
    model: str | Path | onnx.ModelProto | ir.Model | None = None,
    target: str | Path | Target | None = None,
    arithmetic: str | Path | Arithmetic | None = None,
) -> Inspection:
    """Read a file of parameters, and look for its tensors in the float model.

    Args:
        path: A quantized ONNX model, or a file of parameters of any known format.
        model: The float model that it was made for.
        target: Whose rules place the sites; default, those that fit the file best.
        arithmetic: How kernels compute, as for ``load``: layers whose sums can leave their range
            are suspicions. Default: what would leave it without VNNI is told, and none.

    Raises:
        LostbitsError: DataError for the paths, ReadError for the file, ModelError for the model,
            TargetError for the target.
    """
    path = Path(path)
    foreign = read_foreign(path)
    reference = None if model is None else open_reference(_named(model))
    if reference is not None:
        foreign = named_alike(foreign, reference.plain, reference.model)
    title, parameters = foreign.title, foreign.parameters
    with edge(damaged):  # whatever a graph holds that nobody has thought of
        graph = foreign.graph
        sums = _sums(graph, arithmetic)
        narrow = [] if arithmetic is None else suspicions_of_sums(sums)
        if reference is None:
            doubts = [] if graph is None else suspicions_of_graph(parameters, graph)
            doubts += [*narrow, *_of_file(parameters, target, graph, None)]
            return Inspection(path, title, parameters, tuple(doubts), sums=sums)
        floats = reference.model
        chosen, _, found = best_target(parameters, floats, candidates(target, parameters), graph)
        found = without_folded(found, reference.plain)
        doubts = suspicions_of_graph(parameters, floats if graph is None else graph)
        own = None if graph is None else graph.graph
        doubts += [*narrow, *doubts_of_nodes(parameters, own, floats.graph)]
        doubts += _of_file(parameters, target, graph, found)
        return Inspection(path, title, parameters, tuple(doubts), found, chosen.name, sums)


def _sums(
    graph: ir.Model | None, arithmetic: str | Path | Arithmetic | None
) -> tuple[LayerReach, ...]:
    """Layers whose sums can leave their range, the farthest first."""
    own = X86_AVX2 if arithmetic is None else arithmetic_of(arithmetic)
    if graph is None:
        return ()
    found = [each for each in layer_reaches(graph, own).values() if each.reach.leaves]
    return tuple(sorted(found, key=lambda each: (-each.reach.packed, each.node)))


def _of_file(
    parameters: Parameters,
    target: str | Path | Target | None,
    graph: ir.Model | None,
    found: Match | None,
) -> list[ReadError]:
    """Doubts of the quantizers, and of what the named platform takes of them."""
    own = None if graph is None else graph.graph
    doubts = list(doubts_of_quantizers(parameters, own))
    if target is None:
        return doubts
    (chosen,) = candidates(target, parameters)
    return [*doubts, *doubts_of_target(parameters, chosen, own, found)]


def _named(model: str | Path | onnx.ModelProto | ir.Model) -> Path | onnx.ModelProto | ir.Model:
    return Path(model) if isinstance(model, str) else model


def without_vnni(sums: Sequence[LayerReach]) -> Message:
    """What a file's codes allow on x86 without VNNI; no fault of the file."""
    farthest = max(sums, key=lambda each: each.reach.written)
    told = {"written": f"{farthest.reach.written:,}", "node": farthest.node}
    told |= {"worst": f"{sums[0].reach.packed:,}", "limit": f"{sums[0].reach.limit:,}"}
    return say("target.without_vnni", count=str(len(sums)), **told)


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
