"""Which activations a target quantizes, and which of them share one scale."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import final

import onnx_ir as ir

from lostbits.graph.channel_axis import channel_axis
from lostbits.graph.float_regions import float_nodes
from lostbits.graph.fusion import fused_tensors, residual_edges
from lostbits.graph.match_gelu import gelu_nodes
from lostbits.graph.match_layer_norm import interior, layer_norm_nodes
from lostbits.graph.queries import constant, data_inputs, is_float, name_of, node_name, reached
from lostbits.graph.scale_marks import Scaling, apart, plain, runs_before, scaling, unrounded
from lostbits.graph.signed_factors import signed_tensors
from lostbits.graph.site import Site, Use
from lostbits.language import Message, say
from lostbits.target import SIGNED, Placement

# They read a tensor's shape, not its values: what they see needs no rounding, and what is
# computed from their outputs is never quantized.
FUSED = "left.fused"  # code of the reason that layers, not words, are known by
_SHAPES = frozenset({"Shape", "Size"})
_COUNTS = _SHAPES | {"NonZero"}


@final
@dataclass(frozen=True)
class Activations:
    """The activations of a graph under a target.

    Attributes:
        sites: In topological order.
        groups: Every tensor whose values lie on a grid, sites and those that inherit one, with
            the group whose grid it is.
        floats: Nodes that a platform runs in float, in such a region or as part of a written-out
            layer normalization.
        live: Tensors whose values, not only shapes, come from the inputs of the graph.
        left: Float tensors without a site, with the reason.
    """

    sites: tuple[Site, ...]
    groups: dict[str, str]
    floats: frozenset[str]
    live: frozenset[str]
    left: dict[str, Message]


def find_activations(graph: ir.Graph, rules: Placement) -> Activations:
    """Visit inputs and nodes in topological order; a tensor's producer comes before it."""
    walk = _Walk(graph, rules)
    for value in graph.inputs:
        walk.visit(value)
    for node in graph:
        for output in node.outputs:
            walk.visit(output, node)
    groups = {name: walk.groups.find(first) for name, first in walk.on_grid.items()}
    wide = {walk.groups.find(first) for first in walk.wide}
    sites = tuple(walk.site(v, groups[n], wide) for n, v in walk.placed.items())
    return Activations(sites, groups, frozenset(walk.floats), frozenset(walk.live), walk.left)


@final
class _Groups:
    """Sets of tensors that share one scale, each known by its first member."""

    def __init__(self) -> None:
        self._leader: dict[str, str] = {}

    def find(self, name: str) -> str:
        while (up := self._leader.get(name, name)) != name:
            name = up
        return name

    def join(self, names: Iterable[str]) -> str:
        first, *rest = (self.find(n) for n in names)
        for other in rest:
            if other != first:
                self._leader[other] = first
        return first


@final
class _Walk:
    """What is known about the tensors before the one that is visited."""

    def __init__(self, graph: ir.Graph, rules: Placement) -> None:
        self.graph, self.rules = graph, rules
        self.live = live_tensors(graph)
        self.fused = fused_tensors(graph, rules)
        self.unrounded = residual_edges(graph) if rules.fused_residual_add else set()
        norms = list(layer_norm_nodes(graph))
        self.inside = set().union(*map(interior, norms))
        self.norms = {node_name(node) for body in norms for node in body}
        gelus = [body for body, _ in gelu_nodes(graph)] if rules.mode == "tensors" else []
        self.gelus = set().union(*map(interior, gelus))
        self.regions = nodes_in_float(graph, rules)
        self.signed = signed_tensors(graph) if SIGNED in rules.in_float else frozenset[str]()
        self.floats = self.norms | self.regions | {node_name(n) for body in gelus for n in body}
        self.groups = _Groups()
        self.on_grid: dict[str, str] = {}  # tensor -> one of the group whose grid it lies on
        self.wide: set[str] = set()  # one of each group that has the wide grid
        self.placed: dict[str, ir.Value] = {}
        self.left: dict[str, Message] = {}

    def visit(self, value: ir.Value, node: ir.Node | None = None) -> None:
        """Give ``value`` a site, or the grid it comes from, or a reason to stay in float."""
        name = value.name
        if not name or name not in self.live or not is_float(value):
            return
        reason = self._within(name) or self._given(node, name)
        if reason is None and self._wanted(value, node):
            self.placed[name] = value
            self.on_grid[name] = name
            self._share(node, name)
        else:
            self.left[name] = reason or self._reason(value)
        if scaling(node) is Scaling.WIDE and name in self.on_grid:
            self.wide.add(self.on_grid[name])

    def _within(self, name: str) -> Message | None:
        """Which group of nodes that a platform runs as one a tensor is inside of."""
        inside = ((self.fused, FUSED), (self.inside, "left.layer_norm"), (self.gelus, "left.gelu"))
        return next((say(code) for names, code in inside if name in names), None)

    def _given(self, node: ir.Node | None, name: str) -> Message | None:
        """Why what a node gives needs no rounding of its own, or must not have one."""
        if name in self.signed:
            return say("left.signed")
        if node is not None and self._inherits(node, name):
            return say("left.on_grid")
        return say("left.unrounded") if unrounded(node) else None

    def site(self, value: ir.Value, group: str, wide: Set[str]) -> Site:
        """The site of a tensor that got one."""
        producer, uses = value.producer(), tuple(self._uses(value))
        return Site(
            tensor=name_of(value),
            role="output" if any(not use.node for use in uses) else "activation",
            node="" if producer is None else node_name(producer),
            uses=uses,
            group=group,
            axis=channel_axis(value),
            wide=group in wide,
        )

    def _inherits(self, node: ir.Node, name: str) -> bool:
        """Data movement keeps values on their grid; Concat does when its inputs share one."""
        if node.op_type in self.rules.passes_through:
            sources = [node.inputs[0].name if node.inputs and node.inputs[0] else None]
        elif node.op_type == "Concat" and "Concat" in self.rules.shared_scale:
            sources = [v.name for _, v in data_inputs(node)]
        else:
            return False
        if apart(node):
            return False
        known = [self.on_grid[s] for s in sources if s in self.on_grid]
        if not known or len(known) < len(sources):
            return False
        self.on_grid[name] = self.groups.join(known)
        return True

    def _share(self, node: ir.Node | None, name: str) -> None:
        """Tie the output of pooling, Concat, Resize to the scale of its inputs."""
        if node is not None and node.op_type in self.rules.shared_scale and not apart(node):
            inputs = [self.on_grid[v.name] for _, v in data_inputs(node) if v.name in self.on_grid]
            self.groups.join([*inputs, name])

    def _wanted(self, value: ir.Value, node: ir.Node | None) -> bool:
        if not any(True for _ in self._uses(value)):
            return False
        if self.rules.mode == "tensors" or self._read(value):
            return True
        return self._rounded(value, node)

    def _rounded(self, value: ir.Value, node: ir.Node | None) -> bool:
        """Whether what makes a value gives integers, so that every reader sees them."""
        if self.rules.mode == "inputs_outputs" and node is not None and self._computes(node):
            return node.op_type not in self.rules.gives_float or not any(self._floats(value))
        return False

    def _floats(self, value: ir.Value) -> Iterator[bool]:
        """Of each reader, whether it is in a region that runs in float."""
        return (node_name(reader) in self.regions for reader, _ in value.uses())

    def _read(self, value: ir.Value) -> bool:
        """Whether a node takes it as integers, or hands it on to one that does."""
        uses = reached([(u.node, u.idx) for u in value.uses()], self._onward)
        return any(self._takes(*use) for use in uses)

    def _takes(self, node: ir.Node, index: int) -> bool:
        if index not in dict(data_inputs(node)) or runs_before(node):
            return False
        if node_name(node) in self.regions:
            return False
        if node_name(node) in self.norms:
            return "LayerNormalization" in self.rules.ops
        return node.op_type in self.rules.ops and not _computed_weight(node)

    def _onward(self, use: tuple[ir.Node, int]) -> list[tuple[ir.Node, int]]:
        """The readers behind one that only hands its data on."""
        node, index = use
        moves = node.op_type in self.rules.passes_through and node.op_type not in self.rules.ops
        named = node_name(node) in self.regions or node_name(node) in self.norms
        if not moves or named or runs_before(node) or index not in dict(data_inputs(node)):
            return []
        return [(u.node, u.idx) for o in node.outputs for u in o.uses()]

    def _computes(self, node: ir.Node) -> bool:
        """Whether ``node``, or the one it is fused to, gives its output as integers."""
        if runs_before(node):
            return False
        if node_name(node) in self.regions:
            return False
        if node_name(node) in self.norms:
            return "LayerNormalization" in self.rules.ops
        if node.op_type in self.rules.ops:
            return not _computed_weight(node)
        source = node.inputs[0] if node.inputs else None
        return source is not None and source.name in self.fused

    def _uses(self, value: ir.Value) -> Iterator[Use]:
        """Readers that see the rounded value; an output of the graph too, unless ops read only.

        An input that is an output as well goes out as it came: nothing computes it.
        """
        made = value.producer()
        floats = set() if self._rounded(value, made) else self.regions
        for reader, index in value.uses():
            use = Use(node_name(reader), index)
            data = index in dict(data_inputs(reader)) and reader.op_type not in _SHAPES
            data = data and not runs_before(reader) and use.node not in floats
            if data and use not in self.unrounded:
                yield use
        if made is None or self.rules.mode == "inputs" or node_name(made) in floats:
            return
        for index, output in enumerate(self.graph.outputs):
            if output is value:
                yield Use("", index)

    def _reason(self, value: ir.Value) -> Message:
        if any(Use(node_name(u.node), u.idx) in self.unrounded for u in value.uses()):
            return say("left.residual")
        if any(self._floats(value)):
            return say("left.float_region")
        return say("left.unread")


def live_tensors(graph: ir.Graph) -> set[str]:
    """Tensors whose values, not only shapes, come from the inputs of the graph."""
    live = {name_of(v) for v in graph.inputs}
    for node in graph:
        if node.op_type not in _COUNTS and any(
            v is not None and v.name in live for v in node.inputs
        ):
            live |= {o.name for o in node.outputs if o.name}
    return live


def nodes_in_float(graph: ir.Graph, rules: Placement) -> frozenset[str]:
    """Names of the nodes that are marked, and of those in regions of the kinds that run in float.

    What a convolution has absorbed stays a part of it.
    """
    absorbed = {
        node_name(node)
        for node in graph
        if node.op_type in rules.fused_activations
        and (source := node.inputs[0]) is not None
        and (made := source.producer()) is not None
        and made.op_type in ("Conv", "ConvTranspose")
    }
    marked = {node_name(node) for node in graph if plain(node)}
    return (float_nodes(graph, rules.in_float, live_tensors(graph)) - absorbed) | marked


def _computed_weight(node: ir.Node) -> bool:
    """Integer kernels of convolutions take constant weights only."""
    return node.op_type in ("Conv", "ConvTranspose") and constant(node.inputs[1]) is None
