"""Contract of a recovery: a case in, a change out; nothing is applied here but by ``applied``.

A recovery is a value: a dataclass whose fields are its settings. There are two kinds. What needs
the case alone is a ``Rewriting``: it solves its problem once, and answers twice from that, with the
gain and with the change. What has to work through samples is a ``Sweeping``: its change costs
seconds to hours, so that its gain is a forecast from the diagnosis, and it is given what a sweep
needs. One contract for both would hand five things to members of which most use one.
"""

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar, Literal, Protocol, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.errors import LARGEST_SEED, check_number
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.plan.chosen import Written
from lostbits.plan.ranges import plan_biases, widened
from lostbits.results.diagnosis import LayerReport, NetworkReport
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judge, Judges
from lostbits.runtime.metrics import Focus
from lostbits.runtime.noise_gains import KnownGains, NoiseGains
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.cache import Cache
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import Work

Stage = Literal["scales", "network", "ranges", "weights", "precision"]
# What comes earlier changes what later ones work on: as long as a scale leaves nothing of a part,
# no figure of that part says anything; new channel scales ask for new ranges, and
# weights are rounded against the activations as they are quantized.
STAGES: tuple[Stage, ...] = ("scales", "network", "ranges", "weights", "precision")
FORMS = ("scales", "network")  # stages that give the float network another form

# Operations that one step of an optimiser costs beside its arithmetic: the calls of some hundred
# kernels, half a millisecond where an operation takes 5 ns.
STEP = 1e5


@final
@dataclass(frozen=True)
class Diagnosed:
    """What a recovery may know of where the error comes from.

    Attributes:
        network: The attribution.
        layers: Errors layer by layer.
        missing_db: What the output's SQNR lacks to the goal; None without a goal.
        unreached: Keys of weights that no sweep over layers comes to: those of recurrent nodes, and
            tables of rows.
        floatable: Keys of the sites that only ops read which the target may as well run in float.
        focus: The part of the outputs that was attributed alone, as it counts alone; None: all.
    """

    network: NetworkReport
    layers: tuple[LayerReport, ...]
    missing_db: float | None = None
    unreached: frozenset[str] = frozenset()
    floatable: frozenset[str] = frozenset()
    focus: Focus | None = None

    def share(self, role: str) -> float:
        """Part of the output error that sites of a role carry; cancelling ones count as nothing.

        Without those that are out of reach.
        """
        known = (a for a in self.network.attributions if a.key not in self.unreached)
        return sum(max(a.share, 0.0) for a in known if a.role == role)

    @property
    def constant_share(self) -> float:
        """Part of the layers' errors that is the same for all samples, by the layers' errors."""
        energy = sum(r.error for r in self.layers)
        return sum(r.error * r.bias_share for r in self.layers) / energy if energy else 0.0

    def gain_db(self, role: str, stays: float) -> float:
        """Decibels won when ``stays`` of what sites of a role carry is left."""
        return left(1 - (1 - stays) * min(self.share(role), 1.0))

    def rounding_gain_db(self, ratios: Mapping[str, float]) -> float:
        """Decibels won when rounding errors shrink to ``ratios`` of their energy, by site key.

        What is attributed to nobody stays. Where more than all is attributed, parts are of that, or
        a residual of a percent would decide what is left of the last percent.
        """
        shares = [(a, max(a.share, 0.0)) for a in self.network.attributions]
        stays = sum(
            share * (ratios.get(f"{a.tensor}:{a.role}", 1.0) if a.cause == "round" else 1.0)
            for a, share in shares
        )
        whole = sum(share for _, share in shares)
        return left((stays + max(1 - whole, 0.0)) / max(whole, 1.0))


@final
class Inputs(StrEnum):
    """What enters a layer or block that is learned: what those before it became, or float values.

    What they have become is better; float values leave none waiting for another.
    """

    RECOVERED = "recovered"
    FLOAT = "float"


@final
@dataclass(frozen=True)
class Effort:
    """How hard recoveries may try.

    Attributes:
        seed: Of everything random.
        positions: Most positions of a layer's input that its statistics look at.
        iterations: Steps of those that learn, for recoveries that are named and not made; None
            leaves each its own.
        cache: Where it is kept what a sweep over the layers has finished, or None.
        goal: What is enough, for those that spend only as much as it takes.
        pool: Who works.
        inputs: Of the layers and blocks that are learned.
        deadline: When a sweep has to end; what it has decided by then counts.
    """

    seed: int = 0
    positions: int = 16384
    iterations: int | None = None
    cache: Work | None = None
    goal: Goal | None = None
    pool: Pool = field(default_factory=InProcess)
    inputs: Inputs = Inputs.RECOVERED
    deadline: Deadline = NEVER

    def __post_init__(self) -> None:
        """Refuse numbers that nobody can mean.

        Raises:
            TargetError: T017.
        """
        check_number("--seed", self.seed, 0, LARGEST_SEED)

    def kept(self, case: Case, source: Source, method: "Recovery") -> Cache | None:
        """The cache of one sweep; ``repr`` of a recovery has all of its settings."""
        if self.cache is None:
            return None
        settings = f"{method.name} {method!r} {self.seed} {self.positions} {self.inputs}"
        return Cache.of(self.cache, source, settings, case.model, case.plan, case.written)


@final
@dataclass(frozen=True)
class Context:
    """What a sweep may work with; each takes what it needs.

    Attributes:
        source: Samples to work on; those that judge are not among them.
        diagnosed: Where the error of the case comes from.
        effort: Seed, goal, workers, cache.
        progress: Told how far the work is.
        judges: Samples by which trials may be judged, with what counts; None: ``source`` alone.
        known: Noise gains of this run; None computes them anew.
    """

    source: Source
    diagnosed: Diagnosed
    effort: Effort = field(default_factory=Effort)
    progress: Progress = silent
    judges: Judges | None = None
    known: KnownGains | None = None

    def gains(self, case: Case, *, weights: bool = False) -> NoiseGains:
        """Noise gains of the float network, for the part of its outputs that counts."""
        known = self.known or KnownGains(self.source, self.effort.pool, self.effort.seed)
        return known(case, self.diagnosed.focus, weights=weights)

    def judge(self, case: Case, most: int) -> Judge:
        """Judges trials by the first samples."""
        judges = self.judges or Judges(self.source, pool=self.effort.pool)
        return judges.judge(case, most)


@final
@dataclass(frozen=True)
class Change:
    """A proposal, as data.

    Attributes:
        method: Which recovery proposes it.
        summary: What it changes and by how much, in one sentence.
        written: Constants of the quantized network, by tensor.
        plan: Parameters by site key; None leaves the site in float.
        model: The float network in another form that computes the same; its statistics are taken
            again, and ``written`` and ``plan`` of before are void.
        skipped: What it left alone, by tensor or node, with reasons.
        predicted_gain_db: What the solution itself should win, where it says so: the forecast of
            a sweep is from before it.
    """

    method: str
    summary: Message
    written: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    plan: Mapping[str, Affine | None] = field(default_factory=dict)
    model: ir.Model | None = None
    skipped: Mapping[str, Message] = field(default_factory=dict)
    predicted_gain_db: float | None = None

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return not self.written and not self.plan and self.model is None


class Recovery(abc.ABC):
    """One way to win accuracy back; a member is a ``Rewriting`` or a ``Sweeping``.

    Attributes:
        name: As in ``--methods``, and in the ledger.
        title: One line for the list of methods.
        source: Author, year and arXiv number of the formula.
        stage: Where in the order it belongs.
        afresh: Whether it is tried from the first plan as well, where others have been kept before
            it: they are tuned to errors that it removes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    stage: ClassVar[Stage]
    afresh: ClassVar[bool] = False

    @property
    def keeps_function(self) -> bool:
        """Whether the float network stays the same function; the promise is checked."""
        return False

    @abc.abstractmethod
    def cost(self, case: Case) -> float:
        """Operations that finding the change takes, by a formula of the case.

        One operation is a value of an activation, computed and looked at outside of the optimised
        float network; ``STEP`` is what a step of an optimiser costs besides. That a case is judged,
        and another form of the network calibrated, is not the recovery's to count.
        """


class Proposal(Protocol):
    """What a rewriting would do to one case; the planner may ask for either, or for both."""

    def gain(self, diagnosed: Diagnosed) -> float:
        """Decibels of output SQNR that it should win."""
        ...

    def change(self) -> "Change":
        """The change, as data; pure."""
        ...


class Rewriting(Recovery, abc.ABC):
    """A recovery that needs nothing but the case."""

    def cost(self, case: Case) -> float:
        """Nothing: few networks have weights that take longer to solve for than to run."""
        return 0.0

    @abc.abstractmethod
    def consider(self, case: Case) -> Proposal:
        """A solution for this case, from which the proposal answers; pure."""


class Sweeping(Recovery, abc.ABC):
    """A recovery that works through samples.

    Attributes:
        alone: Whether it keeps a single process busy, so that another one may be tried beside it.
        least_part: Of the time that it wants; with so much it is worth beginning, since each layer
            that is done counts.
    """

    alone: ClassVar[bool] = False
    least_part: ClassVar[float] = 1.0

    @abc.abstractmethod
    def gain(self, diagnosed: Diagnosed) -> float:
        """Decibels of output SQNR that it should win, forecast without running anything."""

    @abc.abstractmethod
    def change(self, case: Case, context: Context) -> "Change":
        """What it would change; pure."""


def walk_cost(case: Case, samples: int) -> float:
    """Operations of computing every value of some samples once."""
    return samples * case.values(case.sites)


def sweep_cost(case: Case) -> float:
    """Operations of one sweep over the layers: the float network, and the quantized one."""
    return 2 * walk_cost(case, case.samples)


def learning_cost(case: Case, iterations: int, samples: int, kernels: int = 1) -> float:
    """Operations of learning every layer: forward and backward through each, once an iteration.

    Args:
        case: Its layers are those that have a quantized weight.
        iterations: For each layer.
        samples: Of a step; backwards costs twice what forwards does.
        kernels: How often a step calls as many kernels as one of a single layer does.
    """
    layers = sum(site.role == "weight" for site in case.sites)
    return iterations * (3 * walk_cost(case, samples) + kernels * layers * STEP)


def applied(case: Case, change: Change) -> Case:
    """The case with a change that keeps the float network in its present form."""
    plan = {k: a for k, a in {**case.plan, **change.plan}.items() if a is not None}
    written = {**case.written, **change.written}
    plan |= widened(case.model, case.placed, plan, case.target, written)
    biases = plan_biases(case.model, case.placed, plan, case.target)
    plan |= {k: a for k, a in biases.items() if k in plan}
    return replace(case, plan=plan, written=written)


def swept(
    method: str,
    summary: Message,
    solved: int,
    written: Written,
    skipped: Mapping[str, Message] | None = None,
) -> Change:
    """What a sweep over the network proposes.

    Args:
        method: Which recovery proposes it.
        summary: Of what it solved itself.
        solved: How many layers or blocks that are; the others come from an earlier run.
        written: What it chose.
        skipped: What it left alone besides.
    """
    count = str(written.cached)
    if written.cached and solved:
        summary = say("ledger.cached", text=summary, count=count)
    elif written.cached:
        summary = say("ledger.all_cached", count=count)
    every = {**written.skipped, **(skipped or {})}
    return Change(method, summary, written.constants, written.plan, skipped=every)


def median_left(pairs: Iterable[tuple[float, float]]) -> str:
    """Of errors before and after: the part that the median one keeps, as text."""
    ratios = [after / before for before, after in pairs if before > 0]
    return f"{float(np.median(ratios)) if ratios else 1.0:.0%}"


def left(part: float) -> float:
    """Decibels won when ``part`` of the output error stays.

    >>> round(left(0.1), 9)
    10.0
    """
    return -10 * float(np.log10(min(max(part, 1e-4), 1.0)))
