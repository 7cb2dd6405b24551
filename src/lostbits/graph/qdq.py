"""The Q/DQ file of a plan: what ``recover`` writes and what is exported."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.graph.instrument import after, quantized, repeat_pairs
from lostbits.graph.opset import in_opset_13
from lostbits.graph.queries import name_of, opset, values_by_name
from lostbits.graph.site import Site
from lostbits.grid import Affine

# Behind these, ONNX Runtime repeats a pair by itself. From opset 21 on it gives the new one the
# type of the old as an attribute, makes uint8 of all int8 afterwards, and refuses the contradiction
# (1.32); where the pair is there already it does nothing.
_MOVES = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
_TYPED = 21


def qdq_model(
    model: ir.Model,
    sites: Sequence[Site],
    plan: Mapping[str, Affine],
    *,
    float_weights: bool = False,
) -> ir.Model:
    """The Q/DQ model of ``plan`` in a form that runtimes load and rewrite; see ``quantized``.

    Tensors have the names of the float model wherever there is one: inputs, outputs, and the
    integer constants. Its opset is 13 or more.
    """
    made = quantized(in_opset_13(model), sites, plan, float_weights=float_weights)
    common.RemoveUnusedNodesPass()(made)
    _restore_names(made.graph, sites)
    if opset(made) >= _TYPED:
        repeat_pairs(made.graph, _MOVES)
    return made


def _restore_names(graph: ir.Graph, sites: Sequence[Site]) -> None:
    """Give outputs and integer constants the names that they have in the float model."""
    values = values_by_name(graph)

    def call(value: ir.Value, name: str) -> None:
        del values[name_of(value)]
        value.name, values[name] = name, value

    for site in sites:
        made, old = values.get(after(site)), values.get(site.tensor)
        if made is None:
            table = values.get(f"{site.key}__codes")
            if table is not None and old is None:  # of rows that are looked up
                call(table, site.tensor)
            continue
        if made.is_graph_output() and old is not None:
            call(old, f"{site.tensor}__float")
            made.type, made.shape = old.type, old.shape
        if made.is_graph_output() or old is None:
            call(made, site.tensor)
