"""Op types and layers left in float, where that costs the platform little.

Processors and TensorRT run what is not quantized in float. Which ops to quantize is then a choice:
an Add of two unlike branches, or a Softmax, may lose more than all matrix products together and
takes no multiplications worth mentioning. What is left in float is found by runs. All candidates
at once tell what there is to win; each goes back to integers unless that costs something.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import onnx_ir as ir

from lostbits.case import Case
from lostbits.diagnoses.judgement import GOOD_DB
from lostbits.graph.place import place
from lostbits.graph.queries import LINEAR, constant, node_name
from lostbits.graph.scale_marks import Scaling, scaling, with_marks
from lostbits.language import Message, say
from lostbits.recovery import Change, Context, Diagnosed, Stage, Sweeping, left, walk_cost
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.judged import decibels
from lostbits.runtime.multiplications import multiplications
from lostbits.runtime.simulation import unless_infinite
from lostbits.system.deadline import NEVER, Deadline

_LEAST = 0.3  # dB that an op type must win: integers between integer layers save conversions
_MOST = 0.05  # part of the multiplications that products of activations may leave in float
_PER_PART = 20.0  # dB for each part of the multiplications: 1 dB for 5 %
_LAYERS, _SMALL = 3, 0.01  # single layers tried, and the part of the multiplications that is small
# A layer that is not small is what integers are there for. Only where the network is not good
# without it is one tried, and it must win twice as much for its part.
_PER_LARGE, _HALF = 40.0, 0.5
_USUAL = 0.9  # part of what is attributed that goes, by experience
Marked = frozenset[str]  # names of nodes in float


@final
@dataclass(frozen=True)
class Candidate:
    """Nodes that are left in float together.

    Attributes:
        name: Op type, or the name of a layer.
        nodes: Their names.
        part: Of the multiplications of the network.
        layer: Whether it is a single layer with constant weights.
    """

    name: str
    nodes: Marked
    part: float = 0.0
    layer: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class FloatOps(Sweeping):
    """Leaves op types, products of activations and small layers in float, by measured effect.

    Attributes:
        samples: Most samples that a trial runs.
    """

    name: ClassVar[str] = "float_ops"
    title: ClassVar[str] = "op types and small layers in float, where the platform runs them so"
    source: ClassVar[str] = "the target's own rules; measured"
    stage: ClassVar[Stage] = "scales"
    samples: int = 16

    @property
    def keeps_function(self) -> bool:
        """What is quantized is no part of the float network."""
        return True

    def cost(self, case: Case) -> float:
        """A run for each candidate, and for all."""
        runs = len(_kinds(case)) + _LAYERS + 2
        return runs * walk_cost(case, min(self.samples, case.samples))

    def gain(self, diagnosed: Diagnosed) -> float:
        """What is attributed to activations that no layer reads, or to the one that one loses."""
        network = diagnosed.network
        share = sum(max(a.share, 0.0) for a in network.attributions if a.key in diagnosed.floatable)
        lost = network.metric == "nsr" and network.total > 10 ** (-GOOD_DB / 10)
        if lost and diagnosed.floatable:  # none where the platform runs nothing in float
            streams = (a.share for a in network.attributions if a.role == "activation")
            share = max(share, *streams, 0.0)
        return left(1 - _USUAL * min(share, 1.0))

    def change(self, case: Case, context: Context) -> Change:
        """Leave in float what is worth it."""
        kinds = _kinds(case)
        if not case.target.placement.in_float or not (kinds or _layers(case, context.diagnosed)):
            return Change(self.name, say("ledger.float_ops_none"))
        part = next(iter(context.source.batches(1)))
        costs = multiplications(case.model, part)
        judge, until = context.judge(case, self.samples), context.effort.deadline
        search = _Search(case, judge, costs, until)
        chosen = search.chosen(kinds, _layers(case, context.diagnosed))
        if not chosen:
            return Change(self.name, say("ledger.float_ops_none"))
        nodes = frozenset[str]().union(*(c.nodes for c in chosen))
        return Change(self.name, search.summary(chosen), model=marked(case.model, nodes))


@final
class _Search:
    """What runs have shown.

    Args:
        case: Of all trials.
        judge: Runs them.
        costs: Multiplications by node.
        deadline: After which no other trial begins; what is known by then counts.
    """

    def __init__(
        self, case: Case, judge: Judge, costs: Mapping[str, int], deadline: Deadline = NEVER
    ) -> None:
        self.case, self.judge, self.costs, self.deadline = case, judge, costs, deadline
        self.total = max(sum(costs.values()), 1)
        self._known: dict[Marked, float] = {}

    def chosen(
        self, kinds: Mapping[str, Marked], layers: Sequence[tuple[str, Marked]]
    ) -> list[Candidate]:
        """The candidates that are left in float."""
        found = [self._candidate(name, nodes) for name, nodes in kinds.items()]
        found = [c for c in found if c.part <= _MOST]
        found = self._needed(found)
        for name, nodes in layers:
            new = self._candidate(name, nodes, layer=True)
            if self.deadline.passed:
                break
            if self._allowed(found, new) and self._wins(found, new):
                found.append(new)
        return found

    def _allowed(self, found: Sequence[Candidate], new: Candidate) -> bool:
        large = new.part <= _HALF and self._decibels(found) < GOOD_DB
        return new.part <= _SMALL or large

    def _candidate(self, name: str, nodes: Marked, *, layer: bool = False) -> Candidate:
        part = sum(self.costs.get(n, 0) for n in nodes) / self.total
        return Candidate(name, nodes, part, layer)

    def _needed(self, found: list[Candidate]) -> list[Candidate]:
        """Without those that may as well be integers, the most expensive first."""
        if not found or self._decibels(found) - self._decibels([]) < _LEAST:
            return []
        for each in sorted(found, key=lambda c: (-c.part, -len(c.nodes), c.name)):
            if self.deadline.passed:
                break
            rest = [c for c in found if c is not each]
            if not self._wins(rest, each):
                found = rest
        return found

    def _wins(self, others: Sequence[Candidate], new: Candidate) -> bool:
        price = _PER_PART if new.part <= _SMALL or not new.layer else _PER_LARGE
        least = max(_LEAST, price * new.part)
        return self._decibels([*others, new]) - self._decibels(others) >= least

    def _decibels(self, some: Iterable[Candidate]) -> float:
        nodes = frozenset[str]().union(*(c.nodes for c in some))
        if nodes not in self._known:
            self._known[nodes] = self._measured(nodes)
        return self._known[nodes]

    def _measured(self, nodes: Marked) -> float:
        """Less than all where an output is not finite."""
        found = unless_infinite(lambda: self.judge(without(self.case, nodes)))
        return -math.inf if found is None else decibels(found)

    def summary(self, chosen: Sequence[Candidate]) -> Message:
        """What is in float, and what that costs."""
        named = ", ".join(f"{c.name} ({len(c.nodes)})" for c in chosen)
        part = sum(c.part for c in chosen)
        return say("ledger.float_ops", ops=named, part=f"{part:.1%}")


def marked(model: ir.Model, nodes: Marked) -> ir.Model:
    """A copy with these nodes in float; those that are marked otherwise stay as they are."""
    free = {node_name(n) for n in model.graph if node_name(n) in nodes and scaling(n) is None}
    return with_marks(model, dict.fromkeys(sorted(free), Scaling.PLAIN))


def without(case: Case, nodes: Marked) -> Case:
    """The case with these nodes in float, and all other parameters as they are."""
    model = marked(case.model, nodes)
    placed = place(model, case.target)
    keys = {site.key for site in (*placed.sites, *placed.float_biases)}
    plan = {key: affine for key, affine in case.plan.items() if key in keys}
    return replace(case, model=model, placed=placed, plan=plan)


def _kinds(case: Case) -> dict[str, Marked]:
    """Nodes that run in integers and are no layers, by op type; products of activations apart."""
    if not case.target.placement.in_float:
        return {}
    ends = {s.node for s in case.sites if s.streams}
    ends |= {use.node for s in case.sites for use in s.uses}
    found: dict[str, set[str]] = {}
    for node in case.model.graph:
        if node_name(node) in ends and not _moves(case, node) and not _layer(node):
            found.setdefault(_kind(node), set()).add(node_name(node))
    return {name: frozenset(nodes) for name, nodes in found.items()}


def floatable(case: Case) -> frozenset[str]:
    """Keys of the sites that candidates read or make, and no layer reads."""
    nodes = frozenset[str]().union(*_kinds(case).values())
    layers = {node_name(node) for node in case.model.graph if _layer(node)}
    return frozenset(
        site.key
        for site in case.sites
        if nodes & {site.node, *(use.node for use in site.uses)}
        and not layers & {use.node for use in site.uses}
    )


def _moves(case: Case, node: ir.Node) -> bool:
    """Whether it only moves values: it is as wide as what it reads."""
    rules = case.target.placement
    return node.op_type in rules.passes_through and node.op_type not in rules.ops


def _layer(node: ir.Node) -> bool:
    return node.op_type in LINEAR and any(constant(v) is not None for v in node.inputs[:2])


def _kind(node: ir.Node) -> str:
    """Op type; of products, those of attention's weights by themselves."""
    if node.op_type != "MatMul":
        return node.op_type
    makers = [v.producer() for v in node.inputs if v is not None]
    weighted = any(made is not None and made.op_type == "Softmax" for made in makers)
    return "MatMul of Softmax" if weighted else "MatMul"


def _layers(case: Case, diagnosed: Diagnosed) -> list[tuple[str, Marked]]:
    """The layers that carry most of the output error."""
    values = diagnosed.network.values
    cost: dict[str, float] = {}
    nodes = {node_name(n): n for n in case.model.graph}
    for site in case.sites:
        for use in site.uses:
            if use.node in nodes and _layer(nodes[use.node]):
                cost[use.node] = cost.get(use.node, 0.0) + max(values.get(site.key, 0.0), 0.0)
    first = sorted((n for n in cost if cost[n] > 0), key=lambda n: (-cost[n], n))[:_LAYERS]
    return [(name, frozenset({name})) for name in first]
