"""A graph with ops that ONNX Runtime lacks, run piece by piece.

Nodes of the domain ``lostbits.kernels`` are computed by NumPy; what lies between two of them is a
graph of its own. Tensors are kept until nothing reads them any more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant, name_of
from lostbits.kernels.integer_ops import DOMAIN, OPS, attributes_of

Arrays = dict[str, NDArray[Any]]


class Engine(Protocol):
    """What runs a graph of ONNX's own ops."""

    def run(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]
    ) -> Sequence[Any]:
        """Values of the named outputs."""
        ...


def in_pieces(graph: ir.Graph) -> bool:
    """Whether a graph has nodes that ONNX Runtime lacks."""
    return any(node.domain == DOMAIN for node in graph)


@final
@dataclass(frozen=True)
class _Piece:
    """Nodes that are computed at once.

    Attributes:
        inputs, outputs: Names of tensors.
        compute: Gives the outputs, in order.
        done: Tensors that nothing behind it reads.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    compute: Callable[[Arrays], Sequence[Any]]
    done: tuple[str, ...]


@final
class Pieces:
    """See the module.

    Args:
        model: Sorted, with types where ONNX Runtime cannot infer them.
        make: Makes an engine of a model.
    """

    def __init__(self, model: ir.Model, make: Callable[[ir.Model], Engine]) -> None:
        self._constants = {n: constant(v) for n, v in model.graph.initializers.items()}
        self._outputs = [name_of(v) for v in model.graph.outputs]
        self._pieces = list(_cut(model, make, self._constants))

    def run(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]
    ) -> Sequence[Any]:
        """Values of the named outputs."""
        values: Arrays = {**self._known(), **feeds}
        for piece in self._pieces:
            found = piece.compute({name: values[name] for name in piece.inputs})
            values |= zip(piece.outputs, found, strict=True)
            for name in piece.done:
                del values[name]
        return [values[name] for name in self._outputs if outputs is None or name in outputs]

    def _known(self) -> Arrays:
        return {name: array for name, array in self._constants.items() if array is not None}


def _cut(
    model: ir.Model, make: Callable[[ir.Model], Engine], constants: Mapping[str, Any]
) -> Iterator[_Piece]:
    nodes = [list(some) for _, some in groupby(model.graph, key=_Kind())]
    reads = [_read(some) - constants.keys() for some in nodes]
    ends = {name_of(v) for v in model.graph.outputs}
    for number, some in enumerate(nodes):
        made = {name_of(v) for node in some for v in node.outputs if v.name}
        later = ends.union(*reads[number + 1 :])
        outputs = tuple(sorted(made & later))
        own = some[0].domain == DOMAIN
        inputs = _named(some[0]) if own else tuple(sorted(reads[number] - made))
        if own:
            outputs = tuple(name_of(v) for v in some[0].outputs)
        compute = _kernel(some[0]) if own else _graph(model, make, inputs, outputs)
        gone = {*inputs, *outputs} - later - constants.keys()
        yield _Piece(inputs, outputs, compute, tuple(sorted(gone)))


@final
class _Kind:
    """A key that differs between neighbours where a piece begins: each kernel is one of its own."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, node: ir.Node) -> int:
        if node.domain == DOMAIN:
            self.number += 2
            return self.number - 1
        return self.number


def _read(nodes: Sequence[ir.Node]) -> set[str]:
    """Names that nodes read, those of graphs inside them included."""
    found = {name_of(v) for node in nodes for v in node.inputs if v is not None and v.name}
    for node in nodes:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                found |= _captured(attribute.value)
    return found


def _captured(graph: ir.Graph) -> set[str]:
    """What a graph inside a node reads of the one around it."""
    own = {*graph.initializers, *(name_of(v) for v in graph.inputs)}
    own |= {name_of(v) for node in graph for v in node.outputs if v.name}
    return (_read(list(graph)) | {name_of(v) for v in graph.outputs}) - own


def _named(node: ir.Node) -> tuple[str, ...]:
    return tuple(name_of(v) for v in node.inputs if v is not None)


def _kernel(node: ir.Node) -> Callable[[Arrays], Sequence[Any]]:
    own, compute = attributes_of(node), OPS[node.op_type]
    names = _named(node)
    return lambda values: compute(own, [np.asarray(values[name]) for name in names])


def _graph(
    model: ir.Model,
    make: Callable[[ir.Model], Engine],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
) -> Callable[[Arrays], Sequence[Any]]:
    if not outputs:
        return lambda values: ()
    part = ir.convenience.extract(model.graph, inputs, outputs)
    opsets = {domain: v for domain, v in model.opset_imports.items() if domain != DOMAIN}
    part.opset_imports.update(opsets)
    functions = list(model.functions.values())
    engine = make(ir.Model(part, ir_version=model.ir_version, functions=functions))
    return lambda values: engine.run(outputs, values)
