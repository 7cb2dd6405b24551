"""The float and the quantized network side by side, all samples at once.

A recovery that chooses constants must know the values that they will really meet: those that the
layers before them produce, already quantized and already recovered. Walking both networks with
every sample in hand gives each layer exactly that in one pass, whatever the number of layers, and
lets what one layer cannot repair be seen, and made good, by the next.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.graph.queries import LINEAR, node_name
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.plan.chosen import Written
from lostbits.plan.ranges import with_biases
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.runtime.simulation import fake_quantize
from lostbits.system.arrays_on_disk import spilled
from lostbits.system.memory import too_large

BATCH = 16
Array = NDArray[np.float32]


def executor_of(case: Case) -> Executor:
    """One that both networks of a case can be walked with."""
    return Executor(case.model, (*case.sites, *case.placed.float_biases))


def quantized_weight(executor: Executor, step: Step) -> tuple[int, Site] | None:
    """The quantized weight that a linear step is the first to read, and which input it is."""
    if step.operator.op_type not in LINEAR:
        return None
    for index in (1, 0):
        site = executor.reader_site(step.name, index)
        if site is not None and site.role == "weight" and site.uses[0].node == step.name:
            return index, site
    return None


def unread_weights(case: Case) -> Iterator[tuple[Site, str]]:
    """Weights that no linear step reads first, with the type of the node that does."""
    ops = {node_name(node): node.op_type for node in case.model.graph}
    for site in case.sites:
        op = ops.get(site.uses[0].node, "") if site.uses else ""
        if site.role == "weight" and site.axis is not None and op not in LINEAR:
            yield site, op


@final
class Networks:
    """Both networks on their way through the graph.

    Args:
        case: What is quantized, and how.
        source: The samples; None for the choices alone, without anybody on the way.
        executor: One of ``executor_of``, where there is one already.
        total: Samples that wait between layers in this process, where others do beside these.

    Attributes:
        parts: The batches.
        plan: Grids in use, those of ``written`` included.
        written: What was chosen so far.
        plain, quantized: A walk for each batch.
    """

    def __init__(
        self,
        case: Case,
        source: Source | None,
        executor: Executor | None = None,
        total: int | None = None,
    ) -> None:
        self.case = case
        samples = () if source is None else source
        self._together = 2 * math.ceil((len(samples) if total is None else total) / BATCH)
        self.executor = executor or executor_of(case)
        self.parts: list[Batch] = []
        self.plan: dict[str, Affine] = dict(case.plan)
        self.biases = {s.scales[1]: s for s in case.placed.biases if s.scales is not None}
        self.written = Written(constants=dict(case.written))
        self._last: tuple[str, torch.Tensor] | None = None
        self.plain: list[Walk] = []
        self.quantized: list[Walk] = []
        for part in () if source is None else source.batches(BATCH):
            self._begin(part)

    def _begin(self, part: Batch) -> None:
        """Enter both networks with one of the batches."""
        for inject, known in ((None, self.plain), (self._inject, self.quantized)):
            known.append(Walk(self.executor, part.feeds, inject))
            known[-1].lay_down(part.feeds, self._together)
        feeds = {
            name: spilled(array) if too_large(array.nbytes * self._together) else array
            for name, array in part.feeds.items()
        }
        self.parts.append(replace(part, feeds=feeds))

    def _inject(self, site: Site, x: torch.Tensor) -> torch.Tensor:
        if site.tensor not in self.executor.large:
            return self.quantize(site, x)
        if self._last is None or self._last[0] != site.key:  # all walks read it one after the other
            self._last = None
            self._last = (site.key, self.quantize(site, x))
        return self._last[1]

    def quantize(self, site: Site, x: torch.Tensor) -> torch.Tensor:
        """A float value on the grid in use; of a constant, that which was chosen for it."""
        if site.tensor in self.written.constants:
            x = torch.from_numpy(self.written.constants[site.tensor])
        affine = self.plan.get(site.key)
        return x if affine is None else fake_quantize(x, affine)

    def advance(self, step: Step, walks: Sequence[Walk] | None = None) -> None:
        """Compute a node for all samples: in both networks, or in those walks alone."""
        for walk in (*self.plain, *self.quantized) if walks is None else walks:
            walk.advance(step)
            walk.lay_down(step.outputs, self._together)

    def constant(self, site: Site) -> torch.Tensor:
        """A constant as the quantized network has it now."""
        return self.quantized[0].at(site, site.tensor)

    def write(self, site: Site, values: Array) -> None:
        """Give the quantized network another constant."""
        if site.tensor in self.executor.large:
            values = spilled(values)
        self.written.constants[site.tensor] = values
        self._visit(site)

    def change_grid(self, site: Site, affine: Affine) -> None:
        """Another grid; a bias has the scales of its layer's input and weight, and follows."""
        self.plan[site.key] = self.written.plan[site.key] = affine
        self._visit(site)
        before, self.plan = self.plan, dict(with_biases(self.case, self.plan, {site.key}))
        for bias in self.biases.values():
            if self.plan.get(bias.key) is not before.get(bias.key):
                self._visit(bias)

    def _visit(self, site: Site) -> None:
        """Let the quantized network see the value as it is now, where it has been computed."""
        self._last = None
        for walk in self.quantized:
            if site.tensor in walk.values and site.tensor not in self.executor.large:
                walk.quantized[site.key] = self._inject(site, walk.values[site.tensor])
