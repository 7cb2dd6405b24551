"""The order of nodes: ONNX asks that a tensor is made before it is read, and not all tools do it.

ONNX Runtime sorts by itself, so such a file has been in use for long when it comes here.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence

import onnx


def sort(model: onnx.ModelProto) -> None:
    """Put nodes behind those whose results they read, where they are not; others keep their order.

    Nodes in a circle are left to the check of the model.
    """
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        order = _order(nodes)
        if order != sorted(order) and len(order) == len(nodes):
            copies = [onnx.NodeProto.FromString(nodes[i].SerializeToString()) for i in order]
            del nodes[:]
            nodes.extend(copies)


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """Indices of nodes in an order to run them, the first that can run always first."""
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{maker[n] for n in _read(node) if n in maker} - {i} for i, node in enumerate(nodes)]
    readers: dict[int, list[int]] = {}
    for index, sources in enumerate(needs):
        for source in sources:
            readers.setdefault(source, []).append(index)
    waiting = [len(sources) for sources in needs]
    ready, order = [i for i, count in enumerate(waiting) if not count], list[int]()
    while ready:
        order.append(heapq.heappop(ready))
        for reader in readers.get(order[-1], ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    return order


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Tensors that a node reads, those of the graphs inside it too."""
    yield from node.input
    for attribute in node.attribute:
        inner: Iterable[onnx.GraphProto] = attribute.graphs
        for graph in (*inner, *([attribute.g] if attribute.HasField("g") else [])):
            for each in graph.node:
                yield from _read(each)
