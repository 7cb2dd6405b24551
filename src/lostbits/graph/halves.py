"""Layers of which only one operand is quantized."""

from collections import defaultdict
from collections.abc import Iterable

import onnx_ir as ir

from lostbits.graph.queries import LINEAR, node_name
from lostbits.graph.site import Site


def half_quantized(model: ir.Model, sites: Iterable[Site]) -> dict[str, int]:
    """Linear layers that read exactly one of ``sites``, with the index of that input."""
    readers: defaultdict[str, set[int]] = defaultdict(set)
    for site in sites:
        for use in site.uses:
            readers[use.node].add(use.index)
    names = (node_name(node) for node in model.graph if node.op_type in LINEAR)
    found = {name: readers[name] for name in names if name in readers}
    return {name: indices.pop() for name, indices in found.items() if len(indices) == 1}
