"""A file's parameters -> the plan of a model: by name, and where names are lost by reader."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.errors import suggestion
from lostbits.graph.place import Placed, place
from lostbits.graph.qdq_view import operands
from lostbits.graph.queries import constant, name_of, sole_consumer, values_by_name
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.reader import Entry, Parameters
from lostbits.readers.onnx_model import TURNED
from lostbits.target import Target
from lostbits.targets.movement import MOVES_VALUES

# Targets that read a format which others do not.
PLATFORMS = {
    "tensorrt-cache": frozenset({"tensorrt"}),
    "ranges": frozenset({"tensorrt"}),
    "cambricon": frozenset({"cnrt"}),
    "encodings": frozenset({"qnn-htp", "snpe"}),
    "tensor-quant-overrides": frozenset({"qnn-htp"}),
}
IDLE = say("match.idle")
_UNKNOWN = frozenset({"match.unknown", "match.unknown_near"})
_LIMITS = ("Clip", "Relu")
_ADVISED = 100  # entries without a site that are worth looking for names like theirs
_EXACT = 1e-6  # relative difference that float32 leaves of a number that should be the same


@final
@dataclass(frozen=True)
class Match:
    """What of a file belongs to which site.

    Attributes:
        plan: Parameters by site key, channel axes as the model has them.
        unmatched: Entries of the file that belong to no site, with the reason.
        missing: Sites that the file says nothing about, with the reason.
        origin: By site key, the name under which the file has its parameters.
        filled: Sites that the file does not name, and whose plan is that of the target's rules.
    """

    plan: dict[str, Affine]
    unmatched: dict[str, Message]
    missing: dict[str, Message]
    origin: dict[str, str] = field(default_factory=dict)
    filled: tuple[str, ...] = ()

    @property
    def unknown(self) -> list[str]:
        """Entries whose names the model does not have."""
        return [tensor for tensor, why in self.unmatched.items() if why.code in _UNKNOWN]


def match(parameters: Parameters, model: ir.Model, placed: Placed) -> Match:
    """Assign the entries of a file to the sites of the normalised ``model``.

    A site takes the entry of its name; failing that the one that the same input of the same node
    reads, because integer constants bear names that their tool made up.
    """
    search, values = _Search(parameters.entries), values_by_name(model.graph)
    behind = _Search(parameters.turned)
    plan: dict[str, Affine] = {}
    missing, unfit = dict[str, Message](), dict[str, Message]()
    origin = dict[str, str]()
    for site in placed.sites:
        entry = search.entry(site) or search.moved(site, values) or behind.entry(site)
        if entry is None:
            left = site.tensor in parameters.floats
            missing[site.key] = say("match.left_by_file" if left else "match.not_in_file")
        elif isinstance(fitted := _fitted(entry, site, values[site.tensor]), Affine):
            plan[site.key], origin[site.key] = fitted, entry.tensor
            search.taken.add(entry.tensor)
        else:
            unfit[entry.tensor] = missing[site.key] = fitted
    rest = [e for e in parameters.entries if e.tensor not in search.taken]
    known = {s.tensor for s in placed.sites} | set(placed.left_in_float)
    near = known if len(rest) <= _ADVISED else frozenset()
    unmatched = {e.tensor: unfit.get(e.tensor) or _reason(e, placed, near) for e in rest}
    same = {e.tensor for e in rest if e.affine == placed.inherits(e.tensor, plan)}
    return Match(plan, {**unmatched, **dict.fromkeys(same, IDLE)}, missing, origin)


def without_folded(found: Match, plain: ir.Model) -> Match:
    """The match, where tensors that normalising has taken away say so.

    Args:
        found: Of the normalised model.
        plain: The model as it came.
    """
    gone = set(values_by_name(plain.graph))
    why, folded = say("match.folded"), gone.intersection(found.unknown)
    return replace(found, unmatched={**found.unmatched, **dict.fromkeys(folded, why)})


def without_idle(found: Match, parameters: Parameters, own: ir.Model, plain: ir.Model) -> Match:
    """The match, where entries that round nothing say so.

    Args:
        found: Of the normalised model.
        parameters: The file.
        own: The file as a graph.
        plain: The float model as it came.
    """
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    idle = {after.tensor for _, _, after in _passing(entries, own.graph, MOVES_VALUES)}
    idle |= set(_exact(entries, own.graph, plain.graph))
    why = dict.fromkeys(idle & set(found.unmatched), IDLE)
    return replace(found, unmatched={**found.unmatched, **why})


def without_doubled(found: Match, parameters: Parameters, own: ir.Model) -> Match:
    """The match without sites in front of a Relu or Clip behind which the same grid stands again.

    Rounding and limiting are both monotone, so that their order does not matter, and the rounding
    behind does all of it. What is cut off in front would be a large error of no consequence.
    """
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    doubled = {e.tensor for n, e, _ in _passing(entries, own.graph, _LIMITS) if _alone(n)}
    keys = {key for key, tensor in found.origin.items() if tensor in doubled}
    plan = {key: affine for key, affine in found.plan.items() if key not in keys}
    origin = {key: tensor for key, tensor in found.origin.items() if key not in keys}
    unmatched = {**found.unmatched, **dict.fromkeys(doubled - set(origin.values()), IDLE)}
    return Match(plan, unmatched, {**found.missing, **dict.fromkeys(keys, IDLE)}, origin)


def _passing(
    entries: Mapping[str, Entry], graph: ir.Graph, ops: Collection[str]
) -> Iterator[tuple[ir.Node, Entry, Entry]]:
    """Nodes of these ops with one and the same grid before and behind them."""
    for node in graph:
        ends = [entries.get(name_of(v)) for v in (*node.inputs[:1], *node.outputs[:1]) if v]
        before, after = ends if len(ends) == 2 else (None, None)
        if node.op_type in ops and before and after and before.affine == after.affine:
            yield node, before, after


def _alone(node: ir.Node) -> bool:
    return node.inputs[0] is not None and sole_consumer(node.inputs[0]) is not None


def _exact(entries: Mapping[str, Entry], graph: ir.Graph, plain: ir.Graph) -> Iterator[str]:
    """Entries of constants, such as the bounds of a Clip, that their grid holds exactly."""
    floats = values_by_name(plain)
    for operand in operands(graph).values():
        entry = entries.get(operand.tensor)
        known = (constant(floats.get(n)) for n in (entry.names if entry else ()))
        value = next((v for v in known if v is not None), np.zeros_like(operand.values))
        same = value.shape == operand.values.shape
        if entry and same and np.allclose(operand.values, value, rtol=_EXACT, atol=0):
            yield entry.tensor


def best_target(
    parameters: Parameters,
    model: ir.Model,
    targets: Sequence[Target],
    own: ir.Model | None = None,
) -> tuple[Target, Placed, Match]:
    """The target whose rules place most of what the file quantizes; the first of equals.

    A tool has placement rules of its own, and a file made by one is best read by the target whose
    rules are nearest to them. ``own`` is the file, if it is a model.
    """
    tried = []
    for target in targets:
        placed = place(model, target)
        found = match(parameters, model, placed)
        found = found if own is None else without_doubled(found, parameters, own)
        tried.append((target, placed, found))
    return max(tried, key=lambda t: _fit(parameters, *t))


def _fit(
    parameters: Parameters, target: Target, placed: Placed, found: Match
) -> tuple[bool, int, float, int]:
    """The format of a file that one platform alone reads, its tensors, and then its grids."""
    rules = {
        s.key: target.weights if s.role == "weight" else target.activations for s in placed.sites
    }
    pairs = [(a, rules[key]) for key, a in found.plan.items() if not key.endswith(":bias")]
    alike = sum(a.grid.bits == r.grid.bits and a.grid.signed == r.grid.signed for a, r in pairs)
    own = target.name in PLATFORMS.get(parameters.format, ())
    share = alike / max(len(pairs), 1)
    return own, len(set(found.origin.values())), share, -len(found.missing)


@final
class _Search:
    """Entries by every name and every reader; the first of a name wins, as own names come first."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.own = {e.tensor: e for e in entries}
        self.aliases = {name: e for e in reversed(entries) for name in e.aliases}
        self.uses = {use: e for e in reversed(entries) for use in e.uses}
        self.taken: set[str] = set()

    def entry(self, site: Site) -> Entry | None:
        named = self.own.get(site.tensor) or self.aliases.get(site.tensor)
        read = (self.uses[use] for use in site.uses if use in self.uses)
        return named or next(read, None)

    def moved(self, site: Site, values: Mapping[str, ir.Value]) -> Entry | None:
        """What the file says of the values where they lie behind nodes that only move them."""
        value = values.get(site.tensor) if site.streams else None
        while value is not None and (node := sole_consumer(value)) is not None:
            if node.op_type not in MOVES_VALUES or node.inputs[0] is not value:
                return None
            value = node.outputs[0]
            entry = self.own.get(name_of(value)) or self.aliases.get(name_of(value))
            if entry is not None:
                return entry if entry.affine.axis is None else None
        return None


def _fitted(entry: Entry, site: Site, value: ir.Value) -> Affine | Message:
    """Parameters with the model's channel axis, or why they cannot be those of the site."""
    affine = entry.affine
    if affine.axis is None:
        return affine
    axis = affine.axis if entry.axis_given else _bias_axis(site)
    if axis is not None and f"{site.tensor}{TURNED}" in entry.names:
        axis = 1 - axis  # of the weight of a Gemm that was made a MatMul
    if axis is None:
        return say("match.no_axis", count=str(affine.scale.size))
    array = constant(value)
    shape = tuple((value.shape or ()) if array is None else array.shape)
    if not -len(shape) <= axis < len(shape) or not _may_be(shape[axis], affine.scale.size):
        words = {"count": str(affine.scale.size), "shape": str(shape), "axis": str(axis)}
        return say("match.shape", **words)
    return replace(affine, axis=axis % len(shape))


def _may_be(extent: object, size: int) -> bool:
    """Whether an axis, of a fixed length or not, may have so many channels."""
    return extent == size or not isinstance(extent, int)


def _bias_axis(site: Site) -> int | None:
    return 0 if site.role == "bias" else site.axis


def _reason(entry: Entry, placed: Placed, known: Collection[str]) -> Message:
    """Why an entry has no site; ``known`` are names among which its own may be misspelt."""
    for name in entry.names:
        if name in placed.left_in_float:
            return say("match.no_quantizer", why=placed.left_in_float[name])
    near = suggestion(entry.tensor, known)
    return say("match.unknown_near", advice=near) if near else say("match.unknown")
