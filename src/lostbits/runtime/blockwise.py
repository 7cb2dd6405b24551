"""One block at a time: a part of the network that a single tensor enters and another one leaves.

What a block computes is compared at its exit only, so the layers inside it may make up for each
other's errors, and a residual connection is seen by those that it spans (Li et al., BRECQ, ICLR
2021, arXiv:2102.05426).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import say
from lostbits.runtime.cache import Cache, packed, unpacked
from lostbits.runtime.executor import Step, Walk
from lostbits.runtime.memory import keep_freed_memory
from lostbits.runtime.networks import Array, Networks, Written, quantized_weight
from lostbits.runtime.progress import Progress, silent
from lostbits.runtime.stretch import Stretch, stretches

_MOST = 24  # weights of a block: the activations of more would not fit into memory
_GRID = ("grid", "scale", "zero_point")  # as runtime.cache packs one
Quantize = Callable[[Site, torch.Tensor], torch.Tensor]


class Entry(NamedTuple):
    """What enters a block: the one float tensor, and whole numbers such as the size of a batch."""

    x: torch.Tensor
    shapes: Mapping[str, torch.Tensor]

    def split(self, samples: int) -> "list[Entry]":
        """Smaller batches; one alone where whole numbers may tell its size."""
        if self.shapes:
            return [self]
        return [Entry(x, {}) for x in torch.split(self.x, samples)]


@final
@dataclass(frozen=True)
class Block:
    """A stretch with quantized weights, and the values at both of its ends.

    Attributes:
        stretch: Its steps.
        weights: Sites of the weights that its linear steps read, by key.
        activations: Sites of the activations that it reads, by key.
        inputs: What enters it in the quantized network, before any quantizer, a tensor a batch.
        targets: What leaves it in the float network.
        networks: Where it stands.
    """

    stretch: Stretch
    weights: Mapping[str, Site]
    activations: Mapping[str, Site]
    inputs: Sequence[Entry]
    targets: Sequence[torch.Tensor]
    networks: Networks

    def forward(
        self, entry: Entry, weights: Mapping[str, torch.Tensor], quantize: Quantize
    ) -> torch.Tensor:
        """What leaves the block for ``entry``, with these weights and quantized activations."""
        values = {**entry.shapes, self.stretch.entrance: entry.x}
        rounded: dict[str, torch.Tensor] = {}

        def read(step: Step, index: int, name: str) -> torch.Tensor:
            site = self.networks.executor.reader_site(step.name, index)
            if site is None:
                return values[name] if name in values else self._float(name)
            if not site.streams:
                return weights[site.key] if site.key in weights else self.networks.constant(site)
            if site.key not in rounded:
                rounded[site.key] = quantize(site, values[name])
            return rounded[site.key]

        for step in self.stretch.steps:
            inputs = [None if n is None else read(step, i, n) for i, n in enumerate(step.inputs)]
            outputs = self.networks.executor.evaluate(step, inputs)
            values.update(zip(step.outputs, outputs, strict=False))
        return values[self.stretch.exit]

    def _float(self, name: str) -> torch.Tensor:
        return self.networks.executor.constants[name]


@final
@dataclass(frozen=True)
class Reconstructed:
    """What was decided for a block: weights on their grids, and grids that changed; by site key."""

    values: Mapping[str, Array] = field(default_factory=dict)
    plan: Mapping[str, Affine] = field(default_factory=dict)


class BlockSolver(Protocol):
    """Chooses constants and grids of one block."""

    def __call__(self, block: Block) -> Reconstructed:
        """What to change."""
        ...


def sweep_blocks(
    case: Case,
    source: Source,
    solve: BlockSolver,
    *,
    cache: Cache | None = None,
    progress: Progress = silent,
) -> Written:
    """Let ``solve`` choose for every block, in topological order; see ``layerwise.sweep``."""
    keep_freed_memory()
    with torch.no_grad():
        networks = Networks(case, source)
        parts = list(stretches(networks))
        for number, stretch in enumerate(parts, 1):
            _one(networks, stretch, solve, cache, number)
            progress("blocks", number, len(parts))
        return networks.written


def _one(
    networks: Networks, stretch: Stretch, solve: BlockSolver, cache: Cache | None, number: int
) -> None:
    weights, activations = _sites(networks, stretch)
    reason = _reason_to_skip(stretch, weights)
    inputs = [] if reason else [_entry(walk, stretch) for walk in networks.quantized]
    targets = _advanced(networks.plain, stretch)
    if reason:
        networks.written.skipped |= {s.tensor: reason for s in weights.values()}
    else:
        block = Block(stretch, weights, activations, inputs, targets, networks)
        _change(networks, block, _solved(block, solve, cache, number))
    _advanced(networks.quantized, stretch)


def _entry(walk: Walk, stretch: Stretch) -> Entry:
    return Entry(walk.values[stretch.entrance], {n: walk.values[n] for n in stretch.shapes})


def _sites(networks: Networks, stretch: Stretch) -> tuple[dict[str, Site], dict[str, Site]]:
    executor = networks.executor
    found = [w for step in stretch.steps if (w := quantized_weight(executor, step)) is not None]
    uses = ((step.name, i) for step in stretch.steps for i in range(len(step.inputs)))
    read = (networks.executor.reader_site(*use) for use in uses)
    streamed = {s.key: s for s in read if s is not None and s.streams}
    return {site.key: site for _, site in found}, streamed


def _reason_to_skip(stretch: Stretch, weights: Mapping[str, Site]) -> str:
    if not stretch.entrance or not stretch.exit:
        return say("skipped.no_block")
    if len(weights) > _MOST:
        return say("skipped.large_block", count=str(len(weights)), most=str(_MOST))
    return ""


def _advanced(walks: Sequence[Walk], stretch: Stretch) -> list[torch.Tensor]:
    """Values at the exit after all steps of the stretch."""
    for step in stretch.steps:
        for walk in walks:
            walk.advance(step)
    return [walk.values[stretch.exit] for walk in walks] if stretch.exit else []


def _solved(block: Block, solve: BlockSolver, cache: Cache | None, number: int) -> Reconstructed:
    """From the cache where an interrupted run has been here before."""
    if not block.weights:
        return Reconstructed()
    sites = [*block.weights, *block.activations]
    found = None if cache is None else cache.load(number)
    if found is not None:
        block.networks.written.cached += 1
        return _read(found, sites)
    solved = solve(block)
    if cache is not None:
        cache.keep(number, **_kept(solved, sites))
    return solved


def _kept(solved: Reconstructed, sites: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Arrays under names that a file can have; ``_read`` is the way back."""
    kept: dict[str, NDArray[np.generic]] = {}
    for i, key in enumerate(sites):
        if key in solved.values:
            kept[f"values{i}"] = solved.values[key]
        if key in solved.plan:
            kept |= {f"{name}{i}": array for name, array in packed(solved.plan[key]).items()}
    return kept


def _read(found: dict[str, NDArray[np.generic]], sites: Sequence[str]) -> Reconstructed:
    """What ``_kept`` made."""
    values: dict[str, Array] = {}
    plan: dict[str, Affine] = {}
    for i, key in enumerate(sites):
        if f"values{i}" in found:
            values[key] = found[f"values{i}"].astype(np.float32)
        own = {name: found[f"{name}{i}"] for name in _GRID if f"{name}{i}" in found}
        if affine := unpacked(own):
            plan[key] = affine
    return Reconstructed(values, plan)


def _change(networks: Networks, block: Block, solved: Reconstructed) -> None:
    sites = {**block.weights, **block.activations}
    for key, affine in solved.plan.items():
        networks.change_grid(sites[key], affine)
    for key, values in solved.values.items():
        networks.write(sites[key], values)
