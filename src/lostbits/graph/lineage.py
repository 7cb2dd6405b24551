"""Which of some tensors reach which others, whatever stands in between."""

from collections.abc import Collection

import onnx_ir as ir

from lostbits.graph.queries import name_of


def sources(graph: ir.Graph, tensors: Collection[str]) -> dict[str, list[str]]:
    """For each of ``tensors``, those of them and inputs of the graph that it is computed from.

    What lies between two of them, such as a convolution before its activation, is passed over.
    """
    reach = {name_of(v): [name_of(v)] for v in graph.inputs}
    found: dict[str, list[str]] = {}
    for node in graph:
        names = [v.name for v in node.inputs if v is not None and v.name is not None]
        # A shape tells nothing of the values.
        names = [] if node.op_type in ("Shape", "Size") else names
        before = list(dict.fromkeys(s for name in names for s in reach.get(name, [])))
        for output in node.outputs:
            name = output.name or ""
            reach[name] = [name] if name in tensors else before
            if name in tensors:
                found[name] = before
    return found
