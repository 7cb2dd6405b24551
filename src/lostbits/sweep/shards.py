"""The worker's side of a sweep: both networks on some shards of the samples, as far as they are.

A task is pure: what a layer sees follows from the case, the samples and what was decided for the
layers before, and a worker that is new to a shard walks there from the input. One that has been
there goes on from where it stands, which is why a shard stays with its worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.grid import Affine
from lostbits.sweep.layer import Layer, Place, Shard, places, view
from lostbits.sweep.token_weights import token_weights
from lostbits.sweep.twin_networks import Array, Networks, executor_of
from lostbits.workers.handover import by_threads

Task = Callable[["Worker"], Any]
_TINY = 1e-12  # weight of a batch that is padding alone


@final
@dataclass(frozen=True)
class Decision:
    """What the quantized network has from now on, by site key.

    Attributes:
        values: Constants.
        plan: Grids.
    """

    values: Mapping[str, Array]
    plan: Mapping[str, Affine]

    def apply(self, networks: Networks) -> None:
        """Change the quantized network."""
        sites = {s.key: s for s in (*networks.executor.sites, *networks.biases.values())}
        for key, values in self.values.items():
            networks.write(sites[key], values)
        for key, affine in self.plan.items():
            networks.change_grid(sites[key], affine)


@final
@dataclass(frozen=True)
class Sweep:
    """The job; its items are tasks that are called with the worker.

    Attributes:
        case: What is quantized, and how.
        source: The samples.
        look: What a solver makes of a layer on one shard, or of a block.
    """

    case: Case
    source: Source
    look: Callable[[Any], Any]

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.case.model)

    def open(self) -> "Worker":
        """A worker that has seen nothing yet."""
        return Worker(self)


@final
@dataclass
class _Walks:
    """Both networks on a shard, and how many steps each of them has behind it."""

    networks: Networks
    plain: int = 0
    quantized: int = 0


@final
class Worker:
    """Keeps the walks of its shards.

    Attributes:
        problem: What a solver has broadcast last: something to be computed in parts.
        executor: Of all walks.
    """

    def __init__(self, job: Sweep) -> None:
        self.job = job
        self.problem: Any = None
        self._decisions: list[Decision] = []
        self.executor = executor_of(job.case)
        self._places: list[Place] = places(self.executor)
        self._walks: dict[Shard, _Walks] = {}

    @torch.no_grad()
    def __call__(self, task: Task) -> Any:
        """Work on a task."""
        return task(self)

    def receive(self, place: str, value: object) -> None:
        """Take a decision to all walks, or the next problem."""
        if not isinstance(value, Decision):
            self.problem = value
            return
        self._decisions.append(value)
        for walks in self._walks.values():
            value.apply(walks.networks)

    def at(self, number: int, shard: Shard, *, apart: bool = False) -> tuple[Networks, Layer]:
        """Both networks just before a layer, or the float one alone, and that layer."""
        place = self._places[number - 1]
        networks = (self.ahead if apart else self.to)(place.position, shard)
        return networks, view(networks, place, shard, apart=apart)

    def to(self, position: int, shard: Shard) -> Networks:
        """Both networks with so many steps behind them."""
        walks = self._before(position, shard)
        for step in self.executor.steps[walks.quantized : walks.plain]:
            walks.networks.advance(step, walks.networks.quantized)
        for step in self.executor.steps[walks.plain : position]:
            walks.networks.advance(step)
        walks.plain = walks.quantized = position
        return walks.networks

    def ahead(self, position: int, shard: Shard) -> Networks:
        """The float network alone goes on to there."""
        walks = self._before(position, shard)
        for step in self.executor.steps[walks.plain : position]:
            walks.networks.advance(step, walks.networks.plain)
        walks.plain = position
        return walks.networks

    def _before(self, position: int, shard: Shard) -> _Walks:
        """Those of the shard, from the input where they have passed the place."""
        walks = self._walks.get(shard)
        if walks is None or max(walks.plain, walks.quantized) > position:
            walks = self._walks[shard] = _Walks(self._begun(shard))
        return walks

    def _begun(self, shard: Shard) -> Networks:
        samples = self.job.source.slice(shard.samples.start, shard.samples.stop)
        networks = Networks(self.job.case, samples, self.executor, shard.total)
        for decision in self._decisions:
            decision.apply(networks)
        return networks


@final
@dataclass(frozen=True)
class Look:
    """What the solver wants to know of a layer on a shard.

    Attributes:
        apart: Whether it is told float values, as if no layer before had been quantized.
    """

    number: int
    shard: Shard
    apart: bool = False

    def __call__(self, worker: Worker) -> Any:
        """By the solver."""
        return worker.job.look(worker.at(self.number, self.shard, apart=self.apart)[1])


@final
@dataclass(frozen=True)
class MeanError:
    """Float minus quantized output per channel, summed over the samples of a shard."""

    number: int
    shard: Shard

    def __call__(self, worker: Worker) -> NDArray[np.float64]:
        """With the weights that were decided on, and the float bias in both."""
        networks, layer = worker.at(self.number, self.shard)
        weight = networks.constant(layer.weight)
        floats = networks.executor.constants[layer.weight.tensor]
        total: NDArray[np.float64] | float = 0.0
        inputs = zip(layer.inputs, layer.quantized_inputs, layer.shares, strict=True)
        for part, (x, z, share) in zip(layer.parts, inputs, strict=True):
            error = part.real(layer.output(x, floats) - layer.output(z, weight))
            axes = [d for d in range(error.ndim) if d != layer.channel_axis % error.ndim]
            weights = token_weights(layer, x)
            if weights is None:
                mean = error.double().mean(axes) / max(share, 1e-9)
            else:
                real = part.real(weights).double()
                mean = (error.double() * real[..., None]).sum(axes) / real.sum().clamp(min=_TINY)
            total = total + mean.numpy() * part.size
        return np.asarray(total)


@final
class Ask:
    """A method of the problem that was broadcast last, with these arguments."""

    def __init__(self, method: str, *arguments: Any) -> None:
        self.method, self.arguments = method, arguments

    def __call__(self, worker: Worker) -> Any:
        """What the method returns."""
        return getattr(worker.problem, self.method)(*self.arguments)
