"""Which constants a target quantizes: weights, biases, and operands of pointwise ops."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.graph.activations import Activations
from lostbits.graph.fusion import bias_of_matmul
from lostbits.graph.queries import (
    LINEAR,
    RECURRENT,
    constant,
    data_inputs,
    is_float,
    name_of,
    node_name,
)
from lostbits.graph.saturation import mask_tensors
from lostbits.graph.scale_marks import runs_before
from lostbits.graph.site import Role, Site, Use
from lostbits.language import Message, say
from lostbits.target import Target

# Constants read by these are operands; elsewhere (LayerNormalization) they stay in float.
_OPERANDS = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Concat", "PRelu", "Where", "Pow"})
# What a recurrent op multiplies its input and its state with, and the axis of the gates' rows.
_RECURRENT_WEIGHTS, _GATES = (1, 2), 1
# Weights and biases above it are no numbers of a network: a scale of a bias times its largest code
# is infinite in float32. Operands may be larger, as masks of attention are.
_LARGEST = 1e20


@final
@dataclass(frozen=True)
class Parameters:
    """What a search for constants found.

    Attributes:
        sites: Constants that get a quantizer.
        float_biases: Biases of quantized layers on targets that add them in float.
        left: Constants without a site, with reasons.
    """

    sites: list[Site]
    float_biases: list[Site]
    left: dict[str, Message]


def find_parameters(graph: ir.Graph, target: Target, activations: Activations) -> Parameters:
    """Sites of constants, and the constants without one, with reasons."""
    search = _Search(graph, target, activations)
    for node in graph:
        search.visit(node)
    floats = activations.floats  # an Add in float takes the bias as it is
    rounded = target.bias_bits is not None
    every = search.found.values()
    sites = [s for s in every if s.role != "bias" or (rounded and s.node not in floats)]
    biases = [s for s in search.found.values() if s not in sites]
    return Parameters(sites, biases, search.left)


@final
class _Search:
    """The sites found so far; a constant that nodes share gets one site with several uses."""

    def __init__(self, graph: ir.Graph, target: Target, activations: Activations) -> None:
        self.target, self.activations = target, activations
        self.nodes = {node_name(node): node for node in graph}
        self.masks = mask_tensors(graph)
        self.biases = {edge for node in graph if (edge := bias_of_matmul(node)) is not None}
        self.found: dict[str, Site] = {}
        self.left: dict[str, Message] = {}

    def visit(self, node: ir.Node) -> None:
        """Give the constants that ``node`` reads their sites."""
        if self._integer(node) and node.op_type in LINEAR:
            self._layer(node)
        elif self._integer(node) and node.op_type in RECURRENT:
            self._recurrent(node)
        elif node.op_type == "Gather" and "Gather" in self.target.placement.ops:
            self._table(node)
        elif self.target.placement.tables and _looks_up(node):
            self._add(node, 0, "weight", 1)
        elif self._integer(node) and self._takes_operands(node):
            self._operands(node)
        else:
            self._leave(node)

    def _integer(self, node: ir.Node) -> bool:
        rules = self.target.placement
        wanted = rules.mode == "tensors" or node.op_type in rules.ops
        floats = node_name(node) in self.activations.floats or runs_before(node)
        return wanted and not floats

    def _takes_operands(self, node: ir.Node) -> bool:
        live = any(o.name in self.activations.live for o in node.outputs)
        return live and node.op_type in _OPERANDS and self.target.placement.mode != "inputs"

    def _layer(self, node: ir.Node) -> None:
        """Weight and bias of a linear op; only where its input is quantized too."""
        weights = [i for i, v in data_inputs(node) if constant(v) is not None]
        groups = [self.activations.groups.get(name_of(v)) for _, v in data_inputs(node)]
        known = [group for group in groups if group is not None]
        if len(weights) != 1 or len(known) != 1 or not _is_weight(node, weights[0]):
            return self._leave(node)
        axis, whole = weight_axis(node, weights[0]), self._whole(node, weights[0])
        weight = self._add(node, weights[0], "weight", axis, whole=whole)
        edge = _bias(node)
        if weight is not None and edge is not None:
            reader = self.nodes[edge.node]
            self._add(reader, edge.index, "bias", None, (known[0], weight.key))
        return None

    def _whole(self, node: ir.Node, index: int) -> bool:
        """Whether the platform has one scale for this weight although its rule is per channel."""
        kinds = self.target.placement.whole
        grouped = node.op_type == "ConvTranspose" and node.attributes.get_int("group", 1) > 1
        return ("grouped" in kinds and grouped) or ("first_operand" in kinds and index == 0)

    def _recurrent(self, node: ir.Node) -> None:
        """Both weights, each with one scale for all gates; the rest goes into wide sums."""
        for index, value in enumerate(node.inputs):
            if value is None or constant(value) is None or not is_float(value):
                continue
            if index in _RECURRENT_WEIGHTS:
                self._add(node, index, "weight", _GATES, whole=True)
            else:
                self.left[name_of(value)] = say("left.gates", op=node.op_type)

    def _table(self, node: ir.Node) -> None:
        """The rows that a Gather takes of a constant, all with one scale."""
        value = node.inputs[0]
        table = constant(value)
        if value is not None and table is not None and is_float(value) and table.ndim > 1:
            self._add(node, 0, "weight", 0, whole=True)

    def _operands(self, node: ir.Node) -> None:
        for index, value in data_inputs(node):
            if constant(value) is not None and Use(node_name(node), index) not in self.biases:
                self._add(node, index, "weight", None)

    def _add(
        self,
        node: ir.Node,
        index: int,
        role: Role,
        axis: int | None,
        scales: tuple[str, str] | None = None,
        *,
        whole: bool = False,
    ) -> Site | None:
        """A new site, or one more reader of a known one; None where the constant has no grid."""
        value = node.inputs[index]
        array = constant(value)
        assert value is not None and array is not None
        name, use = name_of(value), Use(node_name(node), index)
        operand = role == "weight" and axis is None
        if array.size == 0 or not (np.isfinite(array).all() or (operand and name in self.masks)):
            self.left[name] = say("left.infinite" if array.size else "left.empty")
            return None
        if not operand and np.abs(array).max() > _LARGEST:
            self.left[name] = say("left.huge")
            return None
        known = self.found.get(f"{name}:{role}")
        if known is not None and known.scales != scales:
            self.left[f"{name} at {use.node}"] = say("left.two_scales")
            return None
        per_channel = role == "weight" and axis is not None and self.target.weights.per_channel
        per_channel = per_channel and not whole
        site = known or Site(name, role, use.node, (), name, axis, per_channel, scales)
        self.found[site.key] = replace(site, uses=(*site.uses, use))
        return self.found[site.key]

    def _leave(self, node: ir.Node) -> None:
        for value in node.inputs:
            array = constant(value)
            if value is not None and array is not None and is_float(value) and array.size > 1:
                self.left[name_of(value)] = say("left.float_op", op=node.op_type)


def _looks_up(node: ir.Node) -> bool:
    """Whether it takes rows of a constant matrix, which nothing reads in another way."""
    table = node.inputs[0] if node.op_type == "Gather" else None
    array = constant(table)
    if table is None or array is None or array.ndim != 2 or not is_float(table):
        return False
    readers = [use.node for use in table.uses()]
    return all(n.op_type == "Gather" and not n.attributes.get_int("axis", 0) for n in readers)


def _is_weight(node: ir.Node, index: int) -> bool:
    """Whether the constant has the axes of a weight; ONNX Runtime says what is wrong if not."""
    array = constant(node.inputs[index])
    least = {"Conv": 3, "ConvTranspose": 3, "Gemm": 2}.get(node.op_type, 1)
    return array is not None and array.ndim >= least


def _bias(node: ir.Node) -> Use | None:
    """Where a linear op takes a constant vector that goes into its accumulator unscaled."""
    if node.op_type == "MatMul":
        return bias_of_matmul(node)
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    scaled = node.op_type == "Gemm" and factors != [1.0, 1.0]
    weight = constant(node.inputs[1])
    if bias is None or weight is None or scaled or bias.ndim != 1:
        return None
    axis = weight_axis(node, 1)
    channels = weight.shape[axis or 0] * _groups_of_outputs(node)
    return Use(node_name(node), 2) if bias.size == channels else None


def _groups_of_outputs(node: ir.Node) -> int:
    """How often the channel axis of the weight is repeated in the output."""
    return node.attributes.get_int("group", 1) if node.op_type == "ConvTranspose" else 1


def weight_axis(node: ir.Node, index: int) -> int | None:
    """Axis of the output channels in the constant operand ``index`` of a linear op."""
    weight = constant(node.inputs[index])
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
