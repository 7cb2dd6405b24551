"""Outputs that stand behind a choice among candidates, and the last tensors before it.

TopK, NonMaxSuppression or ArgMax choose other candidates after the slightest change. Of what they
choose, rows of two networks do not belong together, and an error of elements means nothing. What
they choose from can be compared.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, final

import onnx_ir as ir

from lostbits.graph.queries import LINEAR, RECURRENT, constant

_SELECTING = frozenset(
    {"ArgMax", "ArgMin", "Hardmax", "NonMaxSuppression", "NonZero", "TopK", "Unique"}
)
_INDEXED = {  # which input holds the indices
    "Compress": 1,
    "Gather": 1,
    "GatherElements": 1,
    "GatherND": 1,
    "ScatterElements": 1,
    "ScatterND": 1,
}
_SCATTERING = frozenset({"ScatterElements", "ScatterND"})
_GATHERING = _INDEXED.keys() - _SCATTERING
_OF_SHAPES = frozenset({"Shape", "Size"})
# What these make of a tensor shows nothing that the tensor does not show.
_PLAIN = frozenset(
    {
        *("Cast", "Expand", "Flatten", "Identity", "ReduceMax", "Reshape", "Slice", "Split"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    }
)


@final
class Candidates(NamedTuple):
    """A tensor that something is chosen from.

    Attributes:
        value: The tensor.
        reader: The node that reads it.
        position: As which of its inputs.
    """

    value: ir.Value
    reader: ir.Node
    position: int


def chosen(graph: ir.Graph) -> list[ir.Value]:
    """Outputs that are chosen, or made of what was chosen, with nothing learned behind it."""
    behind = _Choices(graph).behind
    return [output for output in graph.outputs if output in behind]


def candidates(graph: ir.Graph) -> list[Candidates]:
    """The last float tensors before the choices that outputs stand behind, in order."""
    return _Choices(graph).candidates()


def not_shown(found: Sequence[Candidates], outputs: Iterable[ir.Value]) -> list[Candidates]:
    """Those of ``found`` that nothing else shows.

    A network with its suppression in the graph often gives boxes and scores as well: what is
    compared as an output needs no second comparison. What follows from an output, or from another
    candidate, by moving values or taking the largest, needs none either.
    """
    compared = set(outputs)
    known = compared | {each.value for each in found}
    return [
        each
        for each in found
        if each.value not in compared and not _follows(each.value, known - {each.value})
    ]


def rows_chosen(graph: ir.Graph) -> list[ir.Value]:
    """Outputs whose rows are chosen inside the network, with layers behind the choice.

    As the queries of a detection transformer: what is chosen is no end that could be compared
    before the choice, and yet another order of the rows is no error. Rows that are scattered back
    are in their places again.
    """
    choices = _Choices(graph)
    picks = (n for n in graph if choices.picks_rows(n) and _learned_behind(n))
    behind = {value for node in picks for value in _downstream(node, _SCATTERING)}
    return [output for output in graph.outputs if output in behind]


@final
class _Choices:
    """What depends on data in a graph, and what of that stands behind a choice.

    Attributes:
        behind: Values that do.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.moving: set[ir.Value] = set(graph.inputs)  # values that data change
        self.real: set[ir.Value] = {v for v in graph.inputs if _may_be_float(v)}
        for node in graph:
            self._mark(node)
        self.behind: set[ir.Value] = set()
        for node in graph:
            if self._chooses(node) and not _learned_behind(node):
                self.behind |= _downstream(node)

    def candidates(self) -> list[Candidates]:
        """See ``candidates``."""
        order = {node: number for number, node in enumerate(self.graph)}
        found: dict[ir.Value, Candidates] = {}
        waiting = [o.producer() for o in self.graph.outputs if o in self.behind]
        seen = set(waiting)
        while waiting:
            for each in self._entering(waiting.pop()):
                if isinstance(each, Candidates):
                    found.setdefault(each.value, each)
                elif each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return sorted(found.values(), key=lambda each: order[_producer(each.value)])

    def _entering(self, node: ir.Node | None) -> Iterator[Candidates | ir.Node]:
        """Candidates that a node reads, and nodes before it that may read some."""
        assert node is not None
        for index, value in enumerate(node.inputs):
            producer = None if value is None else value.producer()
            if value is None or producer is None:
                continue
            if value in self.behind or (value in self.real and not _may_be_float(value)):
                yield producer
            elif value in self.real:
                yield Candidates(value, node, index)

    def _mark(self, node: ir.Node) -> None:
        """Integers are of interest only where they were made of floats: indices, not tokens."""
        if node.op_type in _OF_SHAPES:
            return
        if any(v in self.moving for v in node.inputs):
            self.moving.update(node.outputs)
            real = any(v in self.real for v in node.inputs)
            self.real.update(o for o in node.outputs if real or _may_be_float(o))

    def picks_rows(self, node: ir.Node) -> bool:
        """Whether it gathers, by indices made of floats, what data have made."""
        return node.op_type in _GATHERING and self._chooses(node) and node.inputs[0] in self.real

    def _chooses(self, node: ir.Node) -> bool:
        if node.op_type in _SELECTING:
            return any(v in self.real for v in node.inputs)
        index = _INDEXED.get(node.op_type)
        return index is not None and index < len(node.inputs) and node.inputs[index] in self.real


def _may_be_float(value: ir.Value) -> bool:
    return value.dtype in (None, ir.DataType.FLOAT)


def _producer(value: ir.Value) -> ir.Node:
    producer = value.producer()
    assert producer is not None
    return producer


def _downstream(node: ir.Node, ends: Collection[str] = ()) -> set[ir.Value]:
    """What is made of its outputs, but not by nodes of the ops ``ends``."""
    found, waiting = set(node.outputs), list(node.outputs)
    while waiting:
        for use in waiting.pop().uses():
            passed = use.node.op_type not in ends
            fresh = [o for o in use.node.outputs if passed and o not in found]
            found.update(fresh)
            waiting += fresh
    return found


def _learned_behind(node: ir.Node) -> bool:
    """Whether layers follow the choice: then it is a step of the network, not its end."""
    readers = {use.node for value in _downstream(node) for use in value.uses()}
    return any(_learned(reader) for reader in readers)


def _learned(node: ir.Node) -> bool:
    if node.op_type in RECURRENT:
        return True
    return node.op_type in LINEAR and any(constant(v) is not None for v in node.inputs[:2])


def _follows(value: ir.Value, known: set[ir.Value]) -> bool:
    """Whether nodes that show nothing new lead to ``value`` from what is known."""
    while (node := value.producer()) is not None and node.op_type in _PLAIN:
        source = node.inputs[0]
        if source is None:
            return False
        if source in known:
            return True
        value = source
    return False
