"""What a platform would refuse or change of somebody else's parameters: one doubt a kind.

The tables are those of its exporter, which own files are held to before they are written.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import final

import onnx_ir as ir

from lostbits.errors import ReadError
from lostbits.exporter import Exporter, Kind, Takes, middle_code
from lostbits.exporters import exporter
from lostbits.foreign.graph_doubts import some
from lostbits.foreign.match_names import Match
from lostbits.graph.queries import LINEAR, constant, name_of
from lostbits.graph.signed_factors import signed_before_quantizers
from lostbits.grid import Affine
from lostbits.language import Figure, Message, say
from lostbits.reader import Entry, Parameters, doubt
from lostbits.target import Rule, Target

_BIAS_BITS = 32
_FEW = 4  # types that are listed one by one
_BOTH: tuple[Kind, ...] = ("activation", "weight")
_TOGETHER = "cambricon"  # the exporter of platforms that take both operands or none


def exporter_of(target: Target) -> Exporter:
    """The exporter whose table says what a target's platform takes."""
    return exporter(_TOGETHER if target.together else target.qdq)


def doubts_of_target(
    parameters: Parameters, target: Target, graph: ir.Graph | None, found: Match | None
) -> list[ReadError]:
    """What of a file the platform refuses, ignores or changes.

    Args:
        parameters: The file.
        target: Whose platform is to run it.
        graph: The file, if it is a model.
        found: Its entries by site, where the float model is known.
    """
    kinds = _Kinds(parameters, graph, found)
    checks = [*_refused(kinds, target), *_unlike(kinds, target)]
    if graph is not None:
        checks += [*_half_pairs(target, graph), *_signed(target, graph)]
    return checks


@final
class _Kinds:
    """Entries by what they are parameters of: by site, else by how the file reads them."""

    def __init__(self, parameters: Parameters, graph: ir.Graph | None, found: Match | None) -> None:
        origin = {} if found is None else found.origin
        told = {name: key.rpartition(":")[2] for key, name in origin.items()}
        stored = frozenset[str]() if graph is None else _stored(graph)
        self.entries: list[tuple[Entry, Kind]] = []
        for entry in parameters.entries:
            kind = _ROLES.get(told.get(entry.tensor, ""))
            self.entries.append((entry, kind or _kind(entry, stored)))

    def of(self, kind: Kind) -> Iterator[Entry]:
        """Entries of one kind."""
        return (entry for entry, each in self.entries if each == kind)


_ROLES: Mapping[str, Kind] = {
    "weight": "weight",
    "bias": "bias",
    "activation": "activation",
    "output": "activation",
}


def _kind(entry: Entry, stored: frozenset[str]) -> Kind:
    if entry.affine.grid.bits >= _BIAS_BITS:
        return "bias"
    return "weight" if entry.affine.axis is not None or stored & set(entry.names) else "activation"


def _stored(graph: ir.Graph) -> frozenset[str]:
    """Names of what constants become behind their quantizers."""
    found = set[str]()
    for node in graph:
        if node.op_type == "DequantizeLinear" and node.inputs[0] is not None:
            source = node.inputs[0].producer()
            codes = source.inputs[0] if source is not None else node.inputs[0]
            if codes is not None and constant(codes) is not None:
                found |= {name_of(node.inputs[0]), name_of(node.outputs[0]), name_of(codes)}
    return frozenset(found)


def _all_of(
    entries: Sequence[Entry], target: Target, figures: Mapping[str, Figure]
) -> tuple[Message, dict[str, Figure], list[str]]:
    """What a doubt says of parameters of a kind that a platform does not take."""
    tensors = [entry.tensor for entry in entries]
    where = say("doubt.for_target", target=target.name)
    return where, {**figures, "count": str(len(tensors)), "names": some(tensors)}, tensors


def _refused(kinds: _Kinds, target: Target) -> Iterator[ReadError]:
    """By the table of the exporter."""
    takes = exporter_of(target).takes
    biases = list(kinds.of("bias"))
    if biases and "bias" not in takes:
        yield doubt("I036", *_all_of(biases, target, {}))
    for kind in _BOTH:
        if kind in takes:
            yield from _of_kind(kind, list(kinds.of(kind)), takes[kind], target)


def _of_kind(
    kind: Kind, entries: Sequence[Entry], takes: Takes, target: Target
) -> Iterator[ReadError]:
    words: dict[str, Figure] = {"kind": say(f"roles.{kind}")}
    grids = [e for e in entries if e.affine.grid.name not in takes.grids]
    if grids:
        known: dict[str, Figure] = {
            "grids": _listed(takes.grids),
            "found": grids[0].affine.grid.name,
        }
        yield doubt("I033", *_all_of(grids, target, {**words, **known}))
    zeros = [e for e in entries if not _takes_zero(e.affine, takes)]
    if zeros:
        first = str(int(zeros[0].affine.zero_point.ravel()[0]))
        yield doubt("I034", *_all_of(zeros, target, {**words, "found": first}))
    several = [e for e in entries if e.affine.axis is not None and takes.per_channel == "no"]
    if several:
        yield doubt("I035", *_all_of(several, target, words))


def _listed(grids: Collection[str]) -> Figure:
    """Names of types; of many the widths that they span."""
    if len(grids) <= _FEW:
        return ", ".join(sorted(grids))
    widths = [int(name.lstrip("uint")) for name in grids]
    return say("doubt.widths", least=str(min(widths)), most=str(max(widths)))


def _takes_zero(affine: Affine, takes: Takes) -> bool:
    """Whether the platform has such a zero point; some have none at all."""
    if takes.grids <= takes.symmetric:
        return not affine.zero_point.any()
    middle = bool((affine.zero_point == middle_code(affine.grid)).all())
    return middle or affine.grid.name not in takes.symmetric


def _unlike(kinds: _Kinds, target: Target) -> Iterator[ReadError]:
    """What the platform takes, but would not have chosen: widths and granularity."""
    for kind in _BOTH:
        rule = target.weights if kind == "weight" else target.activations
        others = [e for e in kinds.of(kind) if not _has_width(e.affine, rule, target)]
        if others:
            figures: dict[str, Figure] = {"kind": say(f"roles.{kind}")}
            figures["wanted"] = str(rule.grid.bits)
            figures["found"] = str(others[0].affine.grid.bits)
            yield doubt("I037", *_all_of(others, target, figures))


def _has_width(affine: Affine, rule: Rule, target: Target) -> bool:
    return affine.grid.bits in {rule.grid.bits, target.wide_bits or rule.grid.bits}


def _half_pairs(target: Target, graph: ir.Graph) -> Iterator[ReadError]:
    """Tensors with a pair on one edge and none on another that the platform would quantize."""
    rules, found = target.placement, dict[str, str]()
    if rules.mode != "inputs":
        return
    for node in graph:
        for value in node.inputs if node.op_type in rules.ops - LINEAR else ():
            if value is not None and _is_half(value, target):
                found[name_of(value)] = node.name or node.op_type
    if found:
        figures = {"names": some(list(found)), "nodes": some(list(dict.fromkeys(found.values())))}
        figures["count"] = str(len(found))
        where = say("doubt.for_target", target=target.name)
        yield doubt("I038", where, figures, list(found))


def _is_half(value: ir.Value, target: Target) -> bool:
    producer = value.producer()
    if producer is None or producer.op_type == "DequantizeLinear" or constant(value) is not None:
        return False
    if target.placement.fused_residual_add and producer.op_type in LINEAR:
        return False
    return any(use.node.op_type == "QuantizeLinear" for use in value.uses())


def _signed(target: Target, graph: ir.Graph) -> Iterator[ReadError]:
    """What OpenVINO computes wrongly: factors of both signs right before a pair."""
    if target.qdq != "qdq-openvino":
        return
    found = signed_before_quantizers(graph)
    if found:
        figures = {"names": some(found), "count": str(len(found))}
        where = say("doubt.for_target", target=target.name)
        yield doubt("I039", where, figures, found)
