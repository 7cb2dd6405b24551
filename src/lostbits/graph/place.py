"""Placement: which tensors a target quantizes, read from its rules.

Three passes over the nodes in topological order. The first finds the activations: a tensor gets a
site when the target's rules ask for one and its value does not already lie on a grid (the output
of Reshape or MaxPool of a quantized tensor does). The second ties together what must share one
scale. The third gives weights and biases of the linear ops their sites.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import final

import onnx_ir as ir

from lostbits.graph.queries import (
    LINEAR,
    constant,
    data_inputs,
    is_float,
    name_of,
    node_name,
    rank,
    sole_consumer,
)
from lostbits.graph.site import Site, Use
from lostbits.target import Placement, Target

# Their outputs tell about shapes, not about values: nothing computed from them is quantized.
_SHAPES = frozenset({"Shape", "Size", "NonZero"})
# Constants read by these are operands; elsewhere (LayerNormalization, LSTM) they stay in float.
_OPERANDS = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Concat", "PRelu", "Where", "Pow"})


@final
@dataclass(frozen=True)
class Placed:
    """The sites of a model under a target, and the float tensors that got none, with reasons."""

    sites: tuple[Site, ...]
    left_in_float: dict[str, str]


def place(model: ir.Model, target: Target) -> Placed:
    """Every site that ``target`` quantizes in the normalised ``model``, in topological order."""
    activations = _Activations(model.graph, target.placement)
    activations.run()
    constants = _Constants(activations, target)
    sites = sorted([*activations.sites(), *constants.run()], key=_order(model.graph))
    left = {**activations.left, **constants.left}
    taken = {site.tensor for site in sites}
    return Placed(tuple(sites), {t: why for t, why in left.items() if t not in taken})


def _order(graph: ir.Graph):  # type: ignore[no-untyped-def]
    position = {node_name(node): i for i, node in enumerate(graph)}
    roles = {"weight": 0, "bias": 1, "activation": 2, "output": 2}
    return lambda site: (position.get(site.node, -1), roles[site.role], site.tensor)


@dataclass
class _Activations:
    """State of the first two passes."""

    graph: ir.Graph
    rules: Placement
    on_grid: dict[str, str] = field(default_factory=dict)  # tensor -> group whose grid it lies on
    placed: dict[str, ir.Value] = field(default_factory=dict)
    leader: dict[str, str] = field(default_factory=dict)  # union-find over groups
    left: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        self.data = _data_values(self.graph)
        self.fused = {name_of(n.outputs[0]) for n in self.graph if _fuses(n, self.rules)}
        for value in self.graph.inputs:
            self._visit(value)
        for node in self.graph:
            for output in node.outputs:
                self._visit(output, node)

    def sites(self) -> Iterator[Site]:
        for name, value in self.placed.items():
            producer = value.producer()
            uses = tuple(self._uses(value))
            if uses:
                yield Site(
                    tensor=name,
                    role="output" if any(u.node == "" for u in uses) else "activation",
                    node="" if producer is None else node_name(producer),
                    uses=uses,
                    group=self.find(name),
                    axis=1 if (rank(value) or 2) >= 2 else None,
                )

    def find(self, name: str) -> str:
        while (up := self.leader.get(name, name)) != name:
            name = up
        return name

    def _visit(self, value: ir.Value, node: ir.Node | None = None) -> None:
        name = value.name
        if not name or name not in self.data or not is_float(value):
            return
        if name in self.fused:
            self.left[name] = "fused with the activation or bias that follows"
        elif node is not None and self._inherits(node, name):
            self.left[name] = "its values already lie on the grid of the tensor it comes from"
        elif self._wanted(value, node):
            self.placed[name] = value
            self.on_grid[name] = name
            self._share(node, name)
        else:
            self.left[name] = "no op that the target runs in integers reads it"

    def _inherits(self, node: ir.Node, name: str) -> bool:
        """Data movement keeps values on their grid; Concat does when its inputs share one."""
        if node.op_type in self.rules.passes_through:
            source = name_of(node.inputs[0]) if node.inputs and node.inputs[0] else ""
            if source in self.on_grid:
                self.on_grid[name] = self.on_grid[source]
            return source in self.on_grid
        if node.op_type == "Concat" and "Concat" in self.rules.shared_scale:
            groups = [self.on_grid.get(name_of(v)) for _, v in data_inputs(node)]
            if groups and all(groups):
                self.on_grid[name] = self._union([g for g in groups if g])
                return True
        return False

    def _share(self, node: ir.Node | None, name: str) -> None:
        if node is not None and node.op_type in self.rules.shared_scale:
            groups = [self.on_grid.get(name_of(v)) for _, v in data_inputs(node)]
            self._union([*[g for g in groups if g], name])

    def _union(self, groups: list[str]) -> str:
        first = self.find(groups[0])
        for group in groups[1:]:
            self.leader[self.find(group)] = first
        return first

    def _wanted(self, value: ir.Value, node: ir.Node | None) -> bool:
        if self.rules.mode == "tensors":
            return bool(value.uses()) or value.is_graph_output()
        if any(self._reads(use.node, use.idx) for use in value.uses()):
            return any(True for _ in self._uses(value))
        return self.rules.mode == "inputs_outputs" and node is not None and self._computes(node)

    def _reads(self, node: ir.Node, index: int) -> bool:
        """Whether ``node`` takes this input as integers, or hands it on to one that does."""
        if index not in dict(data_inputs(node)):
            return False
        if node.op_type in self.rules.passes_through and node.op_type not in self.rules.ops:
            return any(self._reads(u.node, u.idx) for o in node.outputs for u in o.uses())
        return node.op_type in self.rules.ops and not _constant_operands(node)

    def _computes(self, node: ir.Node) -> bool:
        if node.op_type in self.rules.ops:
            return not _constant_operands(node)
        source = node.inputs[0] if node.inputs else None
        return source is not None and source.name in self.fused

    def _uses(self, value: ir.Value) -> Iterator[Use]:
        residual = self._residual_edge(value) if self.rules.fused_residual_add else None
        for use in value.uses():
            if (use.node, use.idx) != residual and use.idx in dict(data_inputs(use.node)):
                yield Use(node_name(use.node), use.idx)
        if self.rules.mode != "inputs":
            for index, output in enumerate(self.graph.outputs):
                if output is value:
                    yield Use("", index)

    def _residual_edge(self, value: ir.Value) -> tuple[ir.Node, int] | None:
        """The edge convolution -> Add that the platform fuses, if ``value`` is its tensor."""
        add = sole_consumer(value)
        if add is None or add.op_type != "Add":
            return None
        order = {node_name(n): i for i, n in enumerate(self.graph)}
        candidates = [
            (order[node_name(producer)], index)
            for index, operand in data_inputs(add)
            if (producer := operand.producer()) is not None
            and producer.op_type in LINEAR
            and sole_consumer(operand) is add
        ]
        if not candidates:
            return None
        index = max(candidates)[1]
        return (add, index) if add.inputs[index] is value else None


def _data_values(graph: ir.Graph) -> set[str]:
    """Tensors whose values (not only shapes) come from the inputs of the graph."""
    data = {name_of(v) for v in graph.inputs}
    for node in graph:
        if node.op_type not in _SHAPES and any(
            v is not None and v.name in data for v in node.inputs
        ):
            data |= {o.name for o in node.outputs if o.name}
    return data


def _fuses(node: ir.Node, rules: Placement) -> bool:
    """Whether nothing is rounded between ``node`` and its only reader."""
    reader = sole_consumer(node.outputs[0]) if node.outputs else None
    if reader is None:
        return False
    if node.op_type == "MatMul" and reader.op_type == "Add" and bias_of_matmul(node) is not None:
        return True
    fusing = node.op_type in rules.fusing_ops or (
        node.op_type == "Add" and _matmul_before(node) is not None
    )
    return fusing and reader.op_type in rules.fused_activations and _constant_bounds(reader)


def _constant_bounds(node: ir.Node) -> bool:
    return all(v is None or constant(v) is not None for v in node.inputs[1:])


def bias_of_matmul(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The Add (and input index) that gives a MatMul with constant weight its vector bias."""
    reader = sole_consumer(node.outputs[0])
    weight = constant(node.inputs[1])
    if node.op_type != "MatMul" or reader is None or reader.op_type != "Add" or weight is None:
        return None
    for index, value in enumerate(reader.inputs):
        array = constant(value)
        if array is not None and array.ndim == 1 and array.shape[0] == weight.shape[-1]:
            return reader, index
    return None


def _matmul_before(node: ir.Node) -> ir.Node | None:
    for value in node.inputs:
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type == "MatMul" and bias_of_matmul(producer):
            return producer
    return None


def _constant_operands(node: ir.Node) -> bool:
    """Whether a linear op has no constant weight and a pointwise one only constants beside."""
    return node.op_type in ("Conv", "ConvTranspose") and constant(node.inputs[1]) is None


@dataclass
class _Constants:
    """Third pass: weights, biases and constant operands."""

    activations: _Activations
    target: Target
    left: dict[str, str] = field(default_factory=dict)
    found: dict[str, Site] = field(default_factory=dict)

    def run(self) -> list[Site]:
        for node in self.activations.graph:
            if node.op_type in LINEAR and self._integer(node):
                self._weight(node)
            elif node.op_type in _OPERANDS and self.target.placement.mode != "inputs":
                self._operands(node)
            else:
                self._note(node)
        return list(self.found.values())

    def _integer(self, node: ir.Node) -> bool:
        rules = self.target.placement
        return rules.mode == "tensors" or node.op_type in rules.ops

    def _weight(self, node: ir.Node) -> None:
        """Sites of a linear op's weight and bias; only where its input is quantized too."""
        weights = [i for i, v in data_inputs(node) if constant(v) is not None]
        inputs = [i for i, v in data_inputs(node) if self._group(v, node) is not None]
        if len(weights) != 1 or len(inputs) != 1:
            return self._note(node)
        weight = self._add(node, weights[0], "weight", weight_axis(node, weights[0]))
        value = node.inputs[inputs[0]]
        assert value is not None
        group = self._group(value, node)
        assert group is not None
        edge = self._bias_edge(node)
        if edge is not None and self.target.bias_bits is not None:
            scales = (group, weight.key)
            self._add(edge[0], edge[1], "bias", None, scales)
        return None

    def _bias_edge(self, node: ir.Node) -> tuple[ir.Node, int] | None:
        if node.op_type == "MatMul":
            return bias_of_matmul(node)
        scaled = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
        if node.op_type == "Gemm" and scaled != (1.0, 1.0):
            return None
        return (node, 2) if len(node.inputs) > 2 and constant(node.inputs[2]) is not None else None

    def _operands(self, node: ir.Node) -> None:
        rules = self.target.placement
        outputs = {name_of(o) for o in node.outputs}
        live = outputs & set(self.activations.data)
        if not live or (rules.mode != "tensors" and node.op_type not in rules.ops):
            return self._note(node)
        for index, value in data_inputs(node):
            if constant(value) is not None and f"{value.name}:bias" not in self.found:
                self._add(node, index, "weight", None)
        return None

    def _add(
        self,
        node: ir.Node,
        index: int,
        role: str,
        axis: int | None,
        scales: tuple[str, str] | None = None,
    ) -> Site:
        """A new site, or one more reader of a constant that nodes share."""
        value = node.inputs[index]
        assert value is not None
        name, use = name_of(value), Use(node_name(node), index)
        known = self.found.get(f"{name}:{role}")
        if known is not None and known.scales != scales:
            self.left[f"{name} at {use.node}"] = "shared by layers of different scales"
            return known
        if known is not None:
            site = replace(known, uses=(*known.uses, use))
        else:
            site = Site(
                name,
                role,
                node_name(node),
                (use,),
                name,
                axis,  # type: ignore[arg-type]
                role == "weight" and axis is not None and self.target.weights.per_channel,
                scales,
            )
        self.found[site.key] = site
        return site

    def _group(self, value: ir.Value, node: ir.Node) -> str | None:
        group = self.activations.on_grid.get(name_of(value))
        return None if group is None else self.activations.find(group)

    def _note(self, node: ir.Node) -> None:
        for value in node.inputs:
            array = constant(value)
            if value is not None and array is not None and is_float(value) and array.size > 1:
                self.left[name_of(value)] = f"{node.op_type} runs in float on this target"


def weight_axis(node: ir.Node, index: int) -> int | None:
    """Axis of the output channels in the weight of a linear op."""
    value = node.inputs[index]
    weight = constant(value)
    assert weight is not None
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1
        case "Gemm":
            transposed = node.attributes.get_int("transB" if index else "transA", 0)
            return (0 if transposed else 1) if index else (1 if transposed else 0)
        case _:
            if weight.ndim < 2:
                return None
            return weight.ndim - 1 if index else weight.ndim - 2
