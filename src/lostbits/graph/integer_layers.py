"""Layers that integer kernels compute, and the sums that they give as floats."""

from collections.abc import Collection, Sequence

import onnx_ir as ir

from lostbits.graph.channel_axis import channel_axis
from lostbits.graph.queries import LINEAR, name_of, node_name, sole_consumer
from lostbits.graph.site import Site, Use

_LIMITS = ("Clip", "Relu")


def integer_layers(graph: ir.Graph, sites: Sequence[Site]) -> list[ir.Node]:
    """Linear nodes both of whose factors are quantized."""
    read = {use for site in sites for use in site.uses}
    return [
        node
        for node in graph
        if node.op_type in LINEAR and {Use(node_name(node), i) for i in (0, 1)} <= read
    ]


def sum_sites(graph: ir.Graph, sites: Sequence[Site]) -> tuple[Site, ...]:
    """Where errors of accumulators enter that no quantizer is behind: results of such layers.

    Nothing is rounded there. They are sites only in that an error is added to their tensors.
    """
    rounded: Collection[str] = {site.tensor for site in sites if site.streams}
    values = [node.outputs[0] for node in integer_layers(graph, sites)]
    return tuple(_sum_site(v, graph) for v in values if name_of(v) not in rounded)


def result_of(node: ir.Node, fused: Collection[str]) -> str:
    """Name of the tensor that a node's kernel gives: behind the activation that is fused to it."""
    value = node.outputs[0]
    while name_of(value) in fused and (reader := sole_consumer(value)) is not None:
        value = reader.outputs[0]
    return name_of(value)


def layer_behind(graph: ir.Graph, tensor: str) -> str:
    """Name of the node whose kernel gives a tensor: behind limits that the kernel takes over."""
    node = next((n for n in graph for v in n.outputs if v.name == tensor), None)
    while node is not None and node.op_type in _LIMITS and node.inputs[0] is not None:
        before = node.inputs[0].producer()
        if before is None:
            break
        node = before
    return "" if node is None else node_name(node)


def _sum_site(value: ir.Value, graph: ir.Graph) -> Site:
    name, node = name_of(value), value.producer()
    assert node is not None
    uses = [Use(node_name(use.node), use.idx) for use in value.uses()]
    uses += [Use("", i) for i, output in enumerate(graph.outputs) if output is value]
    return Site(name, "activation", node_name(node), tuple(uses), name, channel_axis(value))
