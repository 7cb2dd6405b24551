"""The network as it is measured: its outputs are the tensors that are compared.

Where an output stands behind a choice among candidates, the network ends before the choice, with
what the node that chooses reads. Everywhere else it is the network itself.
"""

from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.case import Case
from lostbits.errors import SimulationError
from lostbits.graph.outputs import Compared
from lostbits.graph.queries import name_of, node_name, values_by_name
from lostbits.graph.site import Site, Use


def chooses(compared: Sequence[Compared]) -> bool:
    """Whether any of the outputs is compared by what it is chosen from."""
    return any(each.reader is not None for each in compared)


def measured(case: Case) -> Case:
    """The case whose outputs are what is compared; without the sites behind a choice."""
    if not chooses(case.compared):
        return case
    model = measured_model(case.model, case.compared)
    names = [name_of(v) for v in case.model.graph.outputs]
    nodes = {node_name(node) for node in model.graph}
    known = values_by_name(model.graph)

    def kept(sites: Sequence[Site]) -> tuple[Site, ...]:
        moved = (replace(s, uses=_uses(s, case.compared, names, nodes)) for s in sites)
        return tuple(s for s in moved if s.uses and s.tensor in known)

    placed = case.placed
    sites = kept(placed.sites)
    keys = {s.key for s in sites}
    return replace(
        case,
        model=model,
        placed=replace(placed, sites=sites, float_biases=kept(placed.float_biases)),
        plan={key: affine for key, affine in case.plan.items() if key in keys},
        written={name: array for name, array in case.written.items() if name in known},
    )


def measured_model(model: ir.Model, compared: Sequence[Compared]) -> ir.Model:
    """A network of the same inputs that ends with what is compared.

    Raises:
        SimulationError: S025 for a network that has no such tensor.
    """
    if not chooses(compared):
        return model
    copy = with_measured(model, compared)
    del copy.graph.outputs[len(compared) :]
    common.RemoveUnusedNodesPass()(copy)
    return copy


def with_measured(model: ir.Model, compared: Sequence[Compared]) -> ir.Model:
    """The whole network, whose first outputs are what is compared; the others follow.

    Raises:
        SimulationError: S025 for a network that has no such tensor.
    """
    if not chooses(compared):
        return model
    copy = model.clone()
    ends = [_end(copy.graph, each) for each in compared]
    others = [output for output in copy.graph.outputs if output not in ends]
    copy.graph.outputs.clear()
    copy.graph.outputs.extend([*ends, *others])
    return copy


def _end(graph: ir.Graph, each: Compared) -> ir.Value:
    """What is compared, as the node that chooses reads it: where that is there, quantized."""
    reader = each.reader
    nodes = [node for node in graph if reader is not None and node.name == reader.node]
    value = nodes[0].inputs[reader.index] if nodes and reader is not None else None
    value = values_by_name(graph).get(each.name) if value is None else value
    if value is None:
        raise SimulationError("S025", f"tensor {each.name!r}", "none of that name")
    return value


def _uses(
    site: Site, compared: Sequence[Compared], outputs: Sequence[str], nodes: set[str]
) -> tuple[Use, ...]:
    """Readers that are left, and outputs: those of the graph, and what choosing nodes read."""
    ends = {name: number for number, name in enumerate(each.name for each in compared)}
    uses = [use for use in site.uses if use.node in nodes]
    uses += [
        Use("", ends[outputs[use.index]])
        for use in site.uses
        if not use.node and outputs[use.index] in ends
    ]
    read = [number for number, each in enumerate(compared) if each.reader in site.uses]
    uses += [Use("", number) for number in read if compared[number].name == site.tensor]
    return tuple(dict.fromkeys(uses))
