"""Functions that a model brings along, before they are inlined."""

from collections.abc import Iterable, Iterator, Mapping
from typing import final

import onnx

from lostbits.errors import ModelError

MOST_NODES = 100_000  # of a model with functions; two dozen that call each other twice make 2^24
_DEEPEST = 100
_Nodes = Iterable[onnx.NodeProto]
_Key = tuple[str, str, str]


def check_functions(model: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, those that take for ever to inline, and loose ends.

    Raises:
        ModelError: M002.
    """
    _check_references(model.graph.node)
    if not model.functions:
        return
    bodies = {(f.domain, f.name, _overload(f)): f.node for f in model.functions}
    count = _Count(bodies).of(model.graph.node)
    if count > MOST_NODES:
        found = f"{count:,} nodes" if count < 1 << 80 else "over 2^80"
        raise ModelError("M002.nodes", "functions", found, most=MOST_NODES)


def _check_references(nodes: _Nodes) -> None:
    """An attribute of the function around it: in a graph there is none around."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                where = f"node {node.name or node.op_type!r}: attribute {attribute.name!r}"
                raise ModelError("M002.reference", where, repr(attribute.ref_attr_name))
        for inner in _inner(node):
            _check_references(inner)


@final
class _Count:
    """Nodes that bodies have once functions are inlined."""

    def __init__(self, bodies: Mapping[_Key, _Nodes]) -> None:
        self.bodies = bodies
        self.known: dict[_Key, int] = {}
        self.open: list[_Key] = []

    def of(self, nodes: _Nodes) -> int:
        return sum(self._node(node) + sum(map(self.of, _inner(node))) for node in nodes)

    def _node(self, node: onnx.NodeProto) -> int:
        key = (node.domain, node.op_type, _overload(node))
        if key not in self.bodies:
            return 1
        if key in self.open or len(self.open) > _DEEPEST:
            where, found = f"function {node.op_type!r}", " > ".join(k[1] for k in self.open)
            raise ModelError("M002.calls", where, found, deepest=_DEEPEST)
        if key not in self.known:
            self.open.append(key)
            self.known[key] = self.of(self.bodies[key])
            self.open.pop()
        return self.known[key]


def _overload(named: onnx.NodeProto | onnx.FunctionProto) -> str:
    return str(getattr(named, "overload", ""))


def _inner(node: onnx.NodeProto) -> Iterator[_Nodes]:
    for attribute in node.attribute:
        yield from (graph.node for graph in attribute.graphs)
        if attribute.HasField("g"):
            yield attribute.g.node
