"""One layer at a time, in the float and the quantized network; see ``runtime.networks``.

The samples are walked in shards, each by one worker, and what the shards tell of a layer comes
together where it is decided on. The decision is broadcast, and all walk on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import numpy as np

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import say
from lostbits.plan.chosen import Written
from lostbits.sweep.layer import Layer, Place, Shard, places, shards, view, whole
from lostbits.sweep.shards import Decision, Look, MeanError, Sweep, Task
from lostbits.sweep.twin_networks import Array, Networks, unread_weights
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.cache import Arrays, Cache
from lostbits.workers.pool import Opened, Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent
from lostbits.workers.record import flattened, rebuilt

OpenJob = Opened[Task, Any]


@final
@dataclass(frozen=True)
class Solved:
    """What a solver decided for one layer.

    Attributes:
        values: Weights on the grid, in the shape of the layer's weight.
        affine: The grid, if it is not the layer's own.
    """

    values: Array
    affine: Affine | None = None


class Solver(Protocol):
    """Chooses the weights of one layer after the other.

    Attributes:
        whole: Whether it has to see all samples at once. It then works in this process, unless
            layers are apart.
        apart: Whether it is shown what a layer would see if no other were quantized. None waits
            for another then, and the next free worker takes the next.
    """

    whole: bool
    apart: bool

    def look(self, layer: Layer) -> Any:
        """What is to be known of a layer on one shard, computed where the shard is; pure."""
        ...

    def solve(self, layer: Layer, found: Sequence[Any], job: OpenJob) -> Solved | None:
        """The layer's weights; None leaves them as the plan rounds them.

        Args:
            layer: Without samples.
            found: What ``look`` has found, in the order of the shards.
            job: Who else can work on it.
        """
        ...


def sweep(  # noqa: PLR0913 - options are keywords
    case: Case,
    source: Source,
    solver: Solver,
    *,
    pool: Pool | None = None,
    correct_biases: bool = True,
    cache: Cache | None = None,
    progress: Progress = silent,
    deadline: Deadline = NEVER,
) -> Written:
    """Let ``solver`` choose the weights of every layer, in topological order.

    With ``correct_biases`` each layer's bias then takes up the mean error that is left per output
    channel (Nagel et al. 2019, arXiv:1906.04721, section 4.2, empirical form). Layers found in
    ``cache`` are not solved again. Without a pool this process does it all. Layers that are not
    done by the deadline stay as they are, by name.
    """
    several = pool if pool is not None and (solver.apart or not solver.whole) else InProcess()
    parts = whole(source) if solver.whole else shards(source)
    with several.open(Sweep(case, source, solver.look)) as job:
        return _Sweep(case, solver, parts, job, cache, deadline).run(correct_biases, progress)


class _LateError(Exception):
    """There is no time for another layer."""


@final
class _Sweep:
    """One pass in progress, as the driver sees it."""

    def __init__(
        self,
        case: Case,
        solver: Solver,
        parts: Sequence[Shard],
        job: OpenJob,
        cache: Cache | None,
        deadline: Deadline,
    ) -> None:
        self.networks = Networks(case, None)
        self.solver, self.parts, self.job, self.cache = solver, parts, job, cache
        self.deadline = deadline
        self.affinities = [shard.number for shard in parts]
        self.known: dict[int, Solved | None] = {}

    def _solve_apart(self, every: Sequence[Place], progress: Progress) -> None:
        """Give the next layer that no earlier run has decided to the next free worker."""
        asked = [place for place in every if self._kept(place) is None]
        looks = [Look(place.number, shard, apart=True) for place in asked for shard in self.parts]
        told = self.job.map(looks)
        for place in asked:
            if self.deadline.passed:
                break
            self.known[place.number] = self._new(place, [next(told) for _ in self.parts])
            progress("layers apart", len(self.known), len(asked))
        told.close()

    def run(self, correct_biases: bool, progress: Progress) -> Written:
        """Decide on layer after layer."""
        every = places(self.networks.executor)
        for site, op in unread_weights(self.networks.case):
            self.networks.written.skipped[site.tensor] = say("skipped.other_node", op=op)
        if self.solver.apart:
            self._solve_apart(every, progress)
        for place in every:
            try:
                self._layer(place, correct_biases)
            except _LateError:
                late = {p.weight.tensor: say("skipped.late") for p in every[place.number - 1 :]}
                self.networks.written.skipped |= late
                break
            progress("layers", place.number, len(every))
        return self.networks.written

    def _layer(self, place: Place, correct_biases: bool) -> None:
        """Weight and bias of one layer.

        Raises:
            _LateError: Where the deadline passes before it is decided. A weight that is decided
                gets its bias, without which it may be worse than before.
        """
        solved = self._solved(place)
        if solved is not None:
            grids = {} if solved.affine is None else {place.weight.key: solved.affine}
            self._decide("weight", place, Decision({place.weight.key: solved.values}, grids))
        if correct_biases:
            self._correct_bias(place)

    def _told(self, tasks: Sequence[Task]) -> list[Any]:
        """What the shards answer, one task each; in time, or not at all."""
        found, answers = [], self.job.map(tasks, self.affinities)
        try:
            for _ in tasks:
                self._check_time()
                found.append(next(answers))
        finally:
            answers.close()
        self._check_time()
        return found

    def _check_time(self) -> None:
        if self.deadline.passed:
            raise _LateError

    def _decide(self, what: str, place: Place, decision: Decision) -> None:
        decision.apply(self.networks)
        self.job.broadcast(f"{what} of layer {place.number}", decision)

    def _solved(self, place: Place) -> Solved | None:
        """As it is known, or from the cache where an interrupted run has been here before."""
        if place.number in self.known:
            return self.known[place.number]
        if (found := self._kept(place)) is not None:
            self.networks.written.cached += 1
            return found
        return self._new(place, self._told([Look(place.number, shard) for shard in self.parts]))

    def _new(self, place: Place, told: Sequence[Any]) -> Solved | None:
        """What the solver makes of what it was told of a layer."""
        solved = self.solver.solve(view(self.networks, place, self.parts[0]), told, self.job)
        if solved is not None and self.cache is not None:
            kept = replace(solved, values=solved.values.astype(np.float32))
            self.cache.keep(place.number, flattened(kept))
        return solved

    def _kept(self, place: Place) -> Solved | None:
        def read(arrays: Arrays) -> Solved:
            solved = rebuilt(Solved, arrays)
            check_values(self.networks, place.weight, solved.values)
            if solved.affine is not None:
                check_grid(self.networks, place.weight, solved.affine)
            return solved

        return None if self.cache is None else self.cache.load(place.number, read)

    def _correct_bias(self, place: Place) -> None:
        bias = self.networks.biases.get(place.weight.key)
        if bias is None:
            self.networks.written.skipped[place.weight.tensor] = say("skipped.no_bias")
            return
        means = [MeanError(place.number, shard) for shard in self.parts]
        total = sum(self.job.map(means, self.affinities), np.zeros(()))
        floats = self.networks.executor.constants[bias.tensor].numpy()
        shift = (total / self.parts[0].total).reshape(floats.shape)
        decided = (floats + shift).astype(np.float32)
        self._decide("bias", place, Decision({bias.key: decided}, {}))


def check_values(networks: Networks, site: Site, values: Array) -> None:
    """Whether these can be the values of a constant.

    Raises:
        ValueError: When their shape is another, or they are not finite.
    """
    if values.shape != networks.executor.constants[site.tensor].shape:
        raise ValueError(f"{site.key} has another shape than {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{site.key} would not be finite")


def check_grid(networks: Networks, site: Site, affine: Affine) -> None:
    """Whether this can be what the grid of a site has become.

    Raises:
        ValueError: When more than scale and zero point differ.
    """
    own = networks.plan[site.key]
    if (affine.grid, affine.axis, affine.scale.shape) != (own.grid, own.axis, own.scale.shape):
        raise ValueError(f"{site.key} has another grid")
    if not ((own.grid.qmin <= affine.zero_point) & (affine.zero_point <= own.grid.qmax)).all():
        raise ValueError(f"the zero point of {site.key} is no code of its grid")
