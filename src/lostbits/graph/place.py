"""Placement: which tensors a target quantizes, read from its rules.

A tensor gets a site when the target's rules ask for one and its value does not already lie on a
grid (the output of Reshape or MaxPool of a quantized tensor does). Activations come first; the
weights and biases of the layers that read them follow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import onnx_ir as ir

from lostbits.graph.activations import FUSED, find_activations
from lostbits.graph.parameters import find_parameters
from lostbits.graph.queries import node_name
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import Message
from lostbits.target import Target

_ROLES = {"weight": 0, "bias": 1, "activation": 2, "output": 2}  # order within a node


@final
@dataclass(frozen=True)
class Placed:
    """The sites of a model under a target, and the float tensors that got none, with reasons.

    Attributes:
        sites: What is quantized.
        left_in_float: Tensors without a site, with reasons.
        float_biases: Biases of quantized layers that the target adds in float; a recovery may
            correct them, although there is nothing to quantize.
        inherited: Tensors without a site that lie on a grid all the same, with its group.
    """

    sites: tuple[Site, ...]
    left_in_float: dict[str, Message]
    float_biases: tuple[Site, ...] = ()
    inherited: dict[str, str] = field(default_factory=dict)

    @cached_property
    def groups(self) -> dict[str, tuple[Site, ...]]:
        """Activations that share their parameters, by the name of their group."""
        found: dict[str, list[Site]] = {}
        for site in self.sites:
            if site.streams:
                found.setdefault(site.group, []).append(site)
        return {group: tuple(sites) for group, sites in found.items()}

    @property
    def fused(self) -> frozenset[str]:
        """Tensors that only the activation or bias behind them reads, which is fused with them."""
        return frozenset(name for name, why in self.left_in_float.items() if why.code == FUSED)

    @property
    def biases(self) -> tuple[Site, ...]:
        """Biases of quantized layers, rounded or not."""
        return tuple(s for s in (*self.sites, *self.float_biases) if s.role == "bias")

    def inherits(self, tensor: str, plan: Mapping[str, Affine]) -> Affine | None:
        """Parameters that a tensor without a site has from its sources, if they agree."""
        sources = self.groups.get(self.inherited.get(tensor, ""), ())
        known = [plan[s.key] for s in sources if s.key in plan]
        return known[0] if known and all(affine == known[0] for affine in known) else None


def place(model: ir.Model, target: Target) -> Placed:
    """Every site that ``target`` quantizes in the normalised ``model``, in topological order."""
    activations = find_activations(model.graph, target.placement)
    parameters = find_parameters(model.graph, target, activations)
    sites = sorted([*activations.sites, *parameters.sites], key=_order(model.graph))
    left = {**activations.left, **parameters.left}
    taken = {site.tensor for site in sites}
    left = {t: why for t, why in left.items() if t not in taken}
    inherited = {t: group for t, group in activations.groups.items() if t not in taken}
    return Placed(tuple(sites), left, tuple(parameters.float_biases), inherited)


def _order(graph: ir.Graph) -> Callable[[Site], tuple[int, int, str]]:
    position = {node_name(node): number for number, node in enumerate(graph)}
    return lambda site: (position.get(site.node, -1), _ROLES[site.role], site.tensor)
