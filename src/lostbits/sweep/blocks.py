"""One block at a time: a part of the network that a single tensor enters and another one leaves.

What a block computes is compared at its exit only, so the layers inside it may make up for each
other's errors, and a residual connection is seen by those that it spans (Li et al., BRECQ, ICLR
2021, arXiv:2102.05426).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.batch_axis import batch_axis
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.plan.chosen import Written
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.sweep.cuts import MOST, Segment, segments
from lostbits.sweep.layer import Shard, whole
from lostbits.sweep.layers import OpenJob, check_grid, check_values
from lostbits.sweep.shards import Decision, Sweep, Worker
from lostbits.sweep.twin_networks import Array, Networks, quantized_weight
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.cache import Arrays, Cache
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent
from lostbits.workers.record import flattened, rebuilt

Quantize = Callable[[Site, torch.Tensor], torch.Tensor]


class Entry(NamedTuple):
    """What enters a block: the one float tensor, and whole numbers such as the size of a batch.

    ``fixed`` is whether the network takes batches of one size: it may be written into any node.
    """

    x: torch.Tensor
    shapes: Mapping[str, torch.Tensor]
    fixed: bool = False

    def split(self, samples: int) -> "list[Entry]":
        """Smaller batches; one alone where whole numbers, or the network, may tell its size."""
        if self.shapes or self.fixed:
            return [self]
        return [Entry(x, {}) for x in torch.split(self.x, samples)]


@final
@dataclass(frozen=True)
class Block:
    """A segment with quantized weights, and the values at both of its ends.

    Attributes:
        segment: Its steps.
        weights: Sites of the weights that its linear steps read, by key.
        activations: Sites of the activations that it reads, by key.
        inputs: What enters it in the quantized network, or in the float one where blocks are
            learned apart; before any quantizer, a tensor a batch.
        targets: What leaves it in the float network.
        networks: Where it stands.
    """

    segment: Segment
    weights: Mapping[str, Site]
    activations: Mapping[str, Site]
    inputs: Sequence[Entry]
    targets: Sequence[torch.Tensor]
    networks: Networks

    def forward(
        self, entry: Entry, weights: Mapping[str, torch.Tensor], quantize: Quantize
    ) -> torch.Tensor:
        """What leaves the block for ``entry``, with these weights and quantized activations."""
        values = {**entry.shapes, self.segment.entrance: entry.x}
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

        for step in self.segment.steps:
            inputs = [None if n is None else read(step, i, n) for i, n in enumerate(step.inputs)]
            outputs = self.networks.executor.evaluate(step, inputs)
            values.update(zip(step.outputs, outputs, strict=False))
        return values[self.segment.exit]

    @property
    def opaque(self) -> list[str]:
        """Its nodes that no gradient passes; known once the float network has run."""
        known = self.networks.executor.opaque
        return [step.name for step in self.segment.steps if step.name in known]

    def _float(self, name: str) -> torch.Tensor:
        return self.networks.executor.constants[name]


@final
@dataclass(frozen=True)
class Reconstructed:
    """What was decided for a block.

    Attributes:
        values, plan: Weights on their grids, and grids that changed; by site key.
        loss: Before and after; None where nothing was learned, or by an earlier run.
        moved: How far scales went, as logarithms of ratios.
        skipped: What was left alone, with reasons.
    """

    values: Mapping[str, Array] = field(default_factory=dict)
    plan: Mapping[str, Affine] = field(default_factory=dict)
    loss: tuple[float, float] | None = None
    moved: tuple[float, ...] = ()
    skipped: Mapping[str, Message] = field(default_factory=dict)


class BlockSolver(Protocol):
    """Chooses constants and grids of one block after the other."""

    def look(self, block: Block) -> Reconstructed:
        """What to change; pure; computed by the worker that has the block."""
        ...

    def take(self, solved: Reconstructed) -> None:
        """Be told of what was newly decided, in order."""
        ...


def sweep_blocks(
    case: Case,
    source: Source,
    solver: BlockSolver,
    *,
    pool: Pool | None = None,
    cache: Cache | None = None,
    progress: Progress = silent,
    deadline: Deadline = NEVER,
) -> Written:
    """Let ``solver`` choose for every block, in topological order; see ``layerwise.sweep``.

    Without a pool a block sees what the blocks before it have become. With one it sees what they
    are in the float network, so that none has to wait for another, and a free worker takes
    the next. Blocks that are not done by the deadline stay as they are, by name.
    """
    with (pool or InProcess()).open(Sweep(case, source, solver.look)) as job:
        return _Blocks(case, source, solver, job, cache, deadline).run(pool is None, progress)


@final
@dataclass(frozen=True)
class Rebuild:
    """What the solver makes of a block.

    Attributes:
        number: Blocks are counted from 1.
        shard: All samples.
        apart: Whether what enters it is that of the float network.
    """

    number: int
    shard: Shard
    apart: bool

    def __call__(self, worker: Worker) -> Reconstructed:
        """With the values at both of its ends."""
        segment = list(segments(worker.executor))[self.number - 1]
        go = worker.ahead if self.apart else worker.to
        networks = go(segment.start, self.shard)
        walks = networks.plain if self.apart else networks.quantized
        inputs = [_entry(walk, segment) for walk in walks]
        worker.ahead(segment.start + len(segment.steps), self.shard)
        targets = [walk.values[segment.exit] for walk in networks.plain]
        sites = _sites(worker.executor, segment)
        solved: Reconstructed = worker.job.look(Block(segment, *sites, inputs, targets, networks))
        return solved


@final
class _Blocks:
    """One pass in progress, as the driver sees it."""

    def __init__(
        self,
        case: Case,
        source: Source,
        solver: BlockSolver,
        job: OpenJob,
        cache: Cache | None,
        deadline: Deadline,
    ) -> None:
        self.networks = Networks(case, None)
        self.solver, self.job, self.cache, self.deadline = solver, job, cache, deadline
        (self.shard,) = whole(source)
        self.parts = list(segments(self.networks.executor))

    def run(self, in_order: bool, progress: Progress) -> Written:
        """Decide on block after block."""
        known = {n: self._kept(n) for n in self._to_solve()}
        asked = [n for n, kept in known.items() if kept is None]
        self.networks.written.cached = len(known) - len(asked)
        outcomes = iter(()) if in_order else self.job.map(self._tasks(asked, apart=True))
        for number in range(1, len(self.parts) + 1):
            if number in known:
                if in_order and known[number] is None:
                    outcomes = self.job.map(self._tasks([number], apart=False))
                solved = known[number] or self._new(number, outcomes)
                if solved is None:
                    self._pass_over(n for n in asked if n >= number)
                    break
                self._decide(number, solved, in_order)
            progress("blocks", number, len(self.parts))
        return self.networks.written

    def _pass_over(self, late: Iterable[int]) -> None:
        """Note the weights of blocks that there is no time for."""
        for number in late:
            weights, _ = _sites(self.networks.executor, self.parts[number - 1])
            names = (site.tensor for site in weights.values())
            self.networks.written.skipped |= dict.fromkeys(names, say("skipped.late"))

    def _tasks(self, numbers: Sequence[int], *, apart: bool) -> list[Rebuild]:
        return [Rebuild(number, self.shard, apart) for number in numbers]

    def _to_solve(self) -> list[int]:
        """Blocks with weights, but those that cannot be solved: they are noted."""
        found = []
        for number, segment in enumerate(self.parts, 1):
            weights, _ = _sites(self.networks.executor, segment)
            if reason := _reason_to_skip(segment, weights):
                self.networks.written.skipped |= {s.tensor: reason for s in weights.values()}
            elif weights:
                found.append(number)
        return found

    def _kept(self, number: int) -> Reconstructed | None:
        """From the cache where an interrupted run has been here before."""
        sites: dict[str, Site] = {}
        for kind in _sites(self.networks.executor, self.parts[number - 1]):
            sites |= kind

        def read(arrays: Arrays) -> Reconstructed:
            solved = rebuilt(Reconstructed, arrays)
            for key, values in solved.values.items():
                check_values(self.networks, sites[key], values)
            for key, affine in solved.plan.items():
                check_grid(self.networks, sites[key], affine)
            return solved

        return None if self.cache is None else self.cache.load(number, read)

    def _new(self, number: int, outcomes: Iterator[Reconstructed]) -> Reconstructed | None:
        """What the solver makes of a block; None where that is not in time."""
        solved = None if self.deadline.passed else next(outcomes)
        if solved is None or self.deadline.passed:
            return None
        self.solver.take(solved)
        if self.cache is not None:
            values = {key: array.astype(np.float32) for key, array in solved.values.items()}
            self.cache.keep(number, flattened(Reconstructed(values, solved.plan)))
        return solved

    def _decide(self, number: int, solved: Reconstructed, in_order: bool) -> None:
        decision = Decision(solved.values, solved.plan)
        decision.apply(self.networks)
        if in_order:
            self.job.broadcast(f"block {number}", decision)


def _entry(walk: Walk, segment: Segment) -> Entry:
    shapes = {n: walk.values[n] for n in segment.shapes}
    return Entry(walk.values[segment.entrance], shapes, _fixed(walk.executor))


def _fixed(executor: Executor) -> bool:
    shaped = [v for v in executor.model.graph.inputs if v.shape is not None and len(v.shape)]
    return any(isinstance((v.shape or ())[batch_axis(v)], int) for v in shaped)


def _sites(executor: Executor, segment: Segment) -> tuple[dict[str, Site], dict[str, Site]]:
    """Sites of the weights and of the activations."""
    found = [w for step in segment.steps if (w := quantized_weight(executor, step)) is not None]
    uses = ((step.name, i) for step in segment.steps for i in range(len(step.inputs)))
    read = (executor.reader_site(*use) for use in uses)
    streamed = {s.key: s for s in read if s is not None and s.streams}
    return {site.key: site for _, site in found}, streamed


def _reason_to_skip(segment: Segment, weights: Mapping[str, Site]) -> Message | None:
    if not segment.entrance or not segment.exit:
        return say("skipped.no_block")
    if len(weights) > MOST:
        return say("skipped.large_block", count=str(len(weights)), most=str(MOST))
    return None
