"""The float and the quantized network, side by side, one node at a time.

Listeners are told of every node; only the tensors that later nodes still read are held.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final

import torch

from lostbits.data import Batch
from lostbits.graph.site import Site
from lostbits.runtime.chords import chord, evaluated, pointed
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.runtime.saturating import saturated
from lostbits.runtime.simulation import Frozen, on_grids, replayed, settle

Tensors = Sequence[torch.Tensor | None]


@final
@dataclass(frozen=True)
class Pair:
    """A node in both networks.

    Attributes:
        step: The node.
        inputs, quantized_inputs: What it reads.
        outputs, quantized_outputs: What it computes, before any quantizer behind it; within the
            ends of a tensor that saturates.
    """

    step: Step
    inputs: Tensors
    quantized_inputs: Tensors
    outputs: Sequence[torch.Tensor]
    quantized_outputs: Sequence[torch.Tensor]

    @cached_property
    def error(self) -> torch.Tensor:
        """What the first output is off; nobody changes it before all have been told of the node."""
        return self.quantized_outputs[0] - self.outputs[0]


class Listener(Protocol):
    """Takes part in a comparison."""

    def at_site(self, site: Site, x: torch.Tensor, part: Batch) -> None:
        """``x`` is the float network's value at a site that streams."""
        ...

    def at_node(self, pair: Pair, frozen: Frozen) -> None:
        """Both networks have just computed a node."""
        ...


def compare(
    executor: Executor, part: Batch, frozen: Frozen, listeners: Sequence[Listener]
) -> list[torch.Tensor]:
    """Walk both networks over one batch; returns the outputs of the float one.

    Puts the chords of the batch into ``frozen``, where it needs some.
    A batch that was filled up runs as a whole, because a static batch size may be written into
    the graph. Sites see the real samples only; nodes see all, which counts the last one twice.
    """
    feeds = part.feeds
    with torch.no_grad():
        inject = (on_grids if to_compare(executor, frozen) else replayed)(frozen)
        plain, quantized = (Walk(executor, feeds, None), Walk(executor, feeds, inject))
        for name in feeds:
            _tell_sites(executor, name, plain.values[name], part, listeners)
        for step in executor.steps:
            _advance(executor, step, (plain, quantized), part, frozen, listeners)
        return [part.real(output) for output in plain.results()]


def to_compare(executor: Executor, frozen: Frozen) -> bool:
    """Whether an attribution needs what ``compare`` puts into ``frozen``."""
    return bool(frozen.limited) or pointed(executor)


def observe(
    executor: Executor, part: Batch, listeners: Sequence[Listener] = ()
) -> list[torch.Tensor]:
    """``compare`` for listeners to sites only: the quantized network need not run."""

    def tell(site: Site, x: torch.Tensor) -> torch.Tensor:
        if site.streams:
            for listener in listeners:
                listener.at_site(site, part.real(x), part)
        return x

    with torch.no_grad():
        return [part.real(output) for output in executor.run(part.feeds, tell)]


def _advance(
    executor: Executor,
    step: Step,
    walks: tuple[Walk, Walk],
    part: Batch,
    frozen: Frozen,
    listeners: Sequence[Listener],
) -> None:
    inputs = [walk.read(step) for walk in walks]
    if (own := chord(executor, step, *inputs)) is not None:
        frozen.chords[step.name] = own
    outputs = [
        executor.evaluate(step, inputs[0]),
        evaluated(executor, frozen.chords, step, inputs[1]),
    ]
    for name, value, other in zip(step.outputs, *outputs, strict=False):
        _tell_sites(executor, name, value, part, listeners)
        for site in executor.by_tensor.get(name, ()):
            settle(frozen, site, other)
    kept = [_held(step, values, frozen) for values in outputs]
    pair = Pair(step, *inputs, *kept)  # type: ignore[arg-type]
    for listener in listeners:
        listener.at_node(pair, frozen)
    for walk, computed in zip(walks, outputs, strict=True):
        walk.write(step, computed)


def _held(step: Step, outputs: Sequence[torch.Tensor], frozen: Frozen) -> tuple[torch.Tensor, ...]:
    """What a node computes, within the ends between which it means something."""
    ends = frozen.saturations
    pairs = zip(step.outputs, outputs, strict=False)
    return tuple(saturated(x, ends.get(name)) for name, x in pairs)


def _tell_sites(
    executor: Executor, name: str, x: torch.Tensor, part: Batch, listeners: Sequence[Listener]
) -> None:
    for site in executor.by_tensor.get(name, ()):
        for listener in listeners:
            listener.at_site(site, part.real(x) if site.streams else x, part)
