"""A file's parameters -> the plan of a model: by name, and where names are lost by reader."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import onnx_ir as ir

from lostbits.errors import close_match
from lostbits.graph.place import Placed, place
from lostbits.graph.queries import constant, name_of, sole_consumer, values_by_name
from lostbits.graph.site import Site
from lostbits.graph.taps import operands
from lostbits.grid import Affine
from lostbits.reader import Entry, Parameters
from lostbits.target import Target
from lostbits.targets.movement import MOVES_VALUES

UNKNOWN = "no such tensor"
IDLE = "its values lie on this grid already, and quantizing them again rounds nothing"
_LIMITS = ("Clip", "Relu")


@final
@dataclass(frozen=True)
class Match:
    """What of a file belongs to which site.

    Attributes:
        plan: Parameters by site key, channel axes as the model has them.
        unmatched: Entries of the file that belong to no site, with the reason.
        missing: Sites that the file says nothing about, with the reason.
        origin: By site key, the name under which the file has its parameters.
    """

    plan: dict[str, Affine]
    unmatched: dict[str, str]
    missing: dict[str, str]
    origin: dict[str, str] = field(default_factory=dict)


def match(parameters: Parameters, model: ir.Model, placed: Placed) -> Match:
    """Assign the entries of a file to the sites of the normalised ``model``.

    A site takes the entry of its name; failing that the one that the same input of the same node
    reads, because integer constants bear names that their tool made up.
    """
    search = _Search(parameters.entries)
    plan: dict[str, Affine] = {}
    missing, unfit = dict[str, str](), dict[str, str]()
    origin = dict[str, str]()
    for site in placed.sites:
        entry = search.entry(site)
        if entry is None:
            left = site.tensor in parameters.floats
            missing[site.key] = "left in float by the file" if left else "not in the file"
        elif isinstance(fitted := _fitted(entry, site, model), Affine):
            plan[site.key], origin[site.key] = fitted, entry.tensor
            search.taken.add(entry.tensor)
        else:
            unfit[entry.tensor] = missing[site.key] = fitted
    rest = [e for e in parameters.entries if e.tensor not in search.taken]
    unmatched = {e.tensor: unfit.get(e.tensor) or _reason(e, placed) for e in rest}
    return Match(plan, unmatched, missing, origin)


def without_folded(found: Match, plain: ir.Model) -> Match:
    """The match, where tensors that normalising has taken away say so.

    Args:
        found: Of the normalised model.
        plain: The model as it came.
    """
    gone = set(values_by_name(plain.graph))
    why = "normalising folded it into its neighbours, where nothing is rounded between them"
    folded = {t for t, r in found.unmatched.items() if t in gone and r.startswith(UNKNOWN)}
    return replace(found, unmatched={**found.unmatched, **dict.fromkeys(folded, why)})


def without_idle(found: Match, parameters: Parameters, own: ir.Model) -> Match:
    """The match, where entries that round nothing say so.

    Args:
        found: Of the normalised model.
        parameters: The file.
        own: The file as a graph.
    """
    why = dict.fromkeys(_idle(parameters, own.graph) & set(found.unmatched), IDLE)
    return replace(found, unmatched={**found.unmatched, **why})


def _idle(parameters: Parameters, graph: ir.Graph) -> set[str]:
    """Entries of a quantized model whose values lie on their grid before it quantizes them.

    Such are what a node that only moves values makes of an input with the same grid, and zeros.
    And where one grid stands on both sides of a Relu or Clip, rounding before it is for nothing:
    rounding and limiting are both monotone, so that their order does not matter.
    """
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    idle = {
        entries[operand.tensor].tensor
        for operand in operands(graph).values()
        if operand.tensor in entries and not operand.values.any()
    }
    for node in graph:
        source, result = (_at(values, 0) for values in (node.inputs, node.outputs))
        before, after = (None if v is None else entries.get(name_of(v)) for v in (source, result))
        if source is None or before is None or after is None or before.affine != after.affine:
            continue
        if node.op_type in MOVES_VALUES:
            idle.add(after.tensor)
        elif node.op_type in _LIMITS and sole_consumer(source) is not None:
            idle.add(before.tensor)
    return idle


def _at(values: Sequence[ir.Value | None], index: int) -> ir.Value | None:
    return values[index] if index < len(values) else None


def best_target(
    parameters: Parameters, model: ir.Model, targets: Sequence[Target]
) -> tuple[Target, Placed, Match]:
    """The target whose rules place most of what the file quantizes; the first of equals.

    A tool has placement rules of its own, and a file made by one is best read by the target whose
    rules are nearest to them.
    """
    tried = []
    for target in targets:
        placed = place(model, target)
        tried.append((target, placed, match(parameters, model, placed)))
    return max(tried, key=lambda t: (len(set(t[2].origin.values())), -len(t[2].missing)))


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


def _fitted(entry: Entry, site: Site, model: ir.Model) -> Affine | str:
    """Parameters with the model's channel axis, or why they cannot be those of the site."""
    affine = entry.affine
    if affine.axis is None:
        return affine
    axis = affine.axis if entry.axis_given else _bias_axis(site)
    if axis is None:
        return f"{affine.scale.size} scales, but no axis of channels"
    value = model.graph.initializers.get(site.tensor)
    array = constant(value) if value is not None else None
    if array is not None and (axis >= array.ndim or array.shape[axis] != affine.scale.size):
        return f"{affine.scale.size} scales for shape {array.shape} on axis {axis}"
    return replace(affine, axis=axis)


def _bias_axis(site: Site) -> int | None:
    return 0 if site.role == "bias" else site.axis


def _reason(entry: Entry, placed: Placed) -> str:
    """Why an entry has no site."""
    for name in entry.names:
        if name in placed.left_in_float:
            return f"has no quantizer on this target: {placed.left_in_float[name]}"
    known = {s.tensor for s in placed.sites} | set(placed.left_in_float)
    return f"{UNKNOWN}; {close_match(entry.tensor, known)}"
