"""A quantized graph under the names of the float model, where both are one structure.

Exporters number nodes and tensors, and quantizers among them shift the numbers: the ``Relu_3`` of
one file is not the ``Relu_3`` of the other. Where the file without its quantizers has the same
nodes in the same places as the float model, places tell what belongs together, and names do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import final

import onnx_ir as ir

from lostbits.errors import edge
from lostbits.foreign.file import Foreign
from lostbits.graph.queries import constant, name_of, node_name
from lostbits.graph.simplify import opened
from lostbits.reader import damaged
from lostbits.readers.onnx_model import parameters_of

_PASSED = frozenset({"DequantizeLinear", "Identity", "QuantizeLinear"})
_BEFORE = "_QuantizeLinear_Input"  # what ONNX Runtime appends to what it quantizes at an output
_OTHER = "in the file::"  # before a name that means something else in the float model


def named_alike(foreign: Foreign, *floats: ir.Model) -> Foreign:
    """The file under the names of the first of ``floats`` that has its structure.

    The file as it is where none has, or where it has their names already.
    """
    if foreign.graph is None or foreign.model is None:
        return foreign
    for model in floats:
        pairs = _Pairs()
        if pairs.match(foreign.graph.graph, opened(model).graph):
            return _renamed(foreign, pairs) if pairs.differ else foreign
    return foreign


def _renamed(foreign: Foreign, pairs: "_Pairs") -> Foreign:
    assert foreign.model is not None and foreign.graph is not None
    model, graph = foreign.model.clone(), foreign.graph.clone()
    for each in (model, graph):
        _rename(each.graph, pairs.values, pairs.nodes)
    with edge(damaged):
        parameters = parameters_of(model, graph)
    return replace(foreign, model=model, graph=graph, parameters=parameters, renamed=True)


def _rename(graph: ir.Graph, values: Mapping[str, str], nodes: Mapping[str, str]) -> None:
    """Names of the float model for what is in it; what is not gives such names up."""
    made = [v for node in graph for v in node.outputs if v.name]
    for value in [*graph.inputs, *graph.initializers.values(), *made]:
        name = name_of(value)
        if (other := _other_name(name, values)) != name:
            value.name = other
    for node in graph:
        name = node_name(node)
        if (other := _other_name(name, nodes)) != name:
            node.name = other


def _other_name(name: str, names: Mapping[str, str]) -> str:
    taken = name in names.values() and name not in names
    return f"{_OTHER}{name}" if taken else names.get(name, name)


@final
class _Pairs:
    """What is in the same place of two graphs, from their outputs on.

    Attributes:
        values, nodes: Names in the float model, by those in the file.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.nodes: dict[str, str] = {}

    @property
    def differ(self) -> bool:
        """Whether the graphs name anything but constants otherwise."""
        return any(a != b for names in (self.values, self.nodes) for a, b in names.items())

    def match(self, file: ir.Graph, floats: ir.Graph) -> bool:
        """Whether the graphs are of one structure; where they are, their parts are paired."""
        if len(file.outputs) != len(floats.outputs) or len(file.inputs) != len(floats.inputs):
            return False
        waiting = list(zip(file.outputs, floats.outputs, strict=True))
        while waiting:
            found = self._pair(*waiting.pop())
            if found is None:
                return False
            waiting += found
        for mine, theirs in zip(file.outputs, floats.outputs, strict=True):
            self._end(mine, name_of(theirs))
        return len(set(self.values.values())) == len(self.values)

    def _end(self, output: ir.Value, name: str) -> None:
        """An output behind quantizers bears the name, and what is quantized one made of it."""
        inner = _plain(output)
        if inner is not output and self.values.get(name_of(inner)) == name:
            self.values[name_of(inner)] = f"{name}{_BEFORE}"
        self.values[name_of(output)] = name

    def _pair(self, a: ir.Value, b: ir.Value) -> list[tuple[ir.Value, ir.Value]] | None:
        """Pairs that must be looked at behind two values; None where they differ."""
        a, b = _plain(a), _plain(b)
        known = self.values.get(name_of(a))
        if known is not None or _is_constant(a) or _is_constant(b):
            same = known == name_of(b) or (_is_constant(a) and _is_constant(b))
            return [] if same else None
        one, other = a.producer(), b.producer()
        if one is None or other is None:
            self.values[name_of(a)] = name_of(b)
            return [] if one is other else None
        if not _alike(one, other) or a.index() != b.index():
            return None
        self.nodes[node_name(one)] = node_name(other)
        for mine, theirs in zip(one.outputs, other.outputs, strict=False):
            self.values[name_of(mine)] = name_of(theirs)
        return list(_operands(one, other))


def _plain(value: ir.Value) -> ir.Value:
    """What it was before it was quantized."""
    while (node := value.producer()) is not None and node.op_type in _PASSED:
        if node.inputs[0] is None:
            break
        value = node.inputs[0]
    return value


def _is_constant(value: ir.Value) -> bool:
    return constant(value) is not None


def _alike(one: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes may be one: of one op, with constants and tensors in the same places."""
    mine, theirs = list(one.inputs), list(other.inputs)
    most = max(len(mine), len(theirs))
    mine, theirs = (x + [None] * (most - len(x)) for x in (mine, theirs))
    places = zip(mine, theirs, strict=True)
    same = all((a is None) == (b is None) for a, b in places)
    return same and one.op_identifier() == other.op_identifier() and not _has_graph(one)


def _has_graph(node: ir.Node) -> bool:
    """Whether it holds a graph of its own, whose nodes are not looked at."""
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(each.type in kinds for each in node.attributes.values())


def _operands(one: ir.Node, other: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    for a, b in zip(one.inputs, other.inputs, strict=False):
        if a is not None and b is not None:
            yield a, b
