"""Precision: the fewest sites with more bits that reach the goal.

Sites are taken in the order of what their own errors do to the output; those that share a scale
move together. How many it takes is found by real runs, because sites that cancel each other make
any sum over them a poor forecast.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from lostbits.case import Case, Plan, constant_of
from lostbits.data import Source
from lostbits.diagnoses.own_effects import RANKED, own_effects
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.recovery import Change, Context, Diagnosed, Stage, Sweeping, applied, walk_cost
from lostbits.system.deadline import NEVER, Deadline
from lostbits.workers.progress import Progress, silent

Group = tuple[Site, ...]  # sites that share a scale, or a single one
Step = tuple[Group, ...]  # groups that must move together


@final
@dataclass(frozen=True, kw_only=True)
class Precision(Sweeping):
    """Moves sites to the target's wide grid, or to float where it has none.

    Attributes:
        samples: Most samples that a trial runs.
        trials: Runs after which the search is content with what it has.
    """

    name: ClassVar[str] = "precision"
    title: ClassVar[str] = "the fewest tensors at 16 bits (or in float) that reach the goal"
    source: ClassVar[str] = (
        "greedy by own effects (see lostbits.diagnoses.own_effects), verified by real runs"
    )
    stage: ClassVar[Stage] = "precision"
    afresh: ClassVar[bool] = True
    samples: int = 32
    trials: int = 40

    def cost(self, case: Case) -> float:
        """All trials."""
        return self.trials * walk_cost(case, min(self.samples, case.samples))

    def gain(self, diagnosed: Diagnosed) -> float:
        """What the goal asks, and nothing without one."""
        return max(diagnosed.missing_db or 0.0, 0.0)

    def change(self, case: Case, context: Context) -> Change:
        """Search the groups in the order of their effects."""
        if (goal := context.effort.goal) is None:
            return Change(self.name, say("ledger.precision_no_goal"))
        judge = context.judge(case, self.samples)

        def enough(steps: Sequence[Step]) -> bool:
            return goal.met(judge(applied(case, widened(case, steps))))

        order = by_cost(case, context.source)
        until = context.effort.deadline
        return widened(case, fewest(order, enough, context.progress, self.trials, until))


def fewest(
    order: Sequence[Step],
    enough: Callable[[Sequence[Step]], bool],
    progress: Progress = silent,
    trials: int = 40,
    until: Deadline = NEVER,
) -> list[Step]:
    """Few steps that are enough; all of them where not even those are.

    The least number from the front is looked for. The last of them is needed whatever comes before
    it, so it moves to the very front, and the search starts again among those before. A step that
    matters, but was attributed little, thus costs one round instead of everything ahead of it.
    After ``trials`` runs, or when there is no more time, the last round's answer stands.

    >>> fewest("abcdef", lambda steps: {"b", "e"} <= set(steps))
    ['e', 'b']
    """
    needed: list[Step] = []
    rest = list(order)
    if not enough(rest):
        return rest
    runs = 0

    def met(number: int) -> bool:
        nonlocal runs
        runs += 1
        if until.passed:  # what has not been tried may not be enough
            return False
        progress("precision", min(runs, trials), trials)
        return enough([*needed, *rest[:number]])

    while runs < trials and not until.passed:
        count = _least(len(rest), met)
        if not count:
            return needed
        needed.append(rest[count - 1])
        rest = rest[: count - 1]
    return needed + rest


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The least number that is enough: doubled from zero, then bisected; ``most`` always is."""
    low, high = 0, 0
    while high < most and not enough(high):
        low, high = high + 1, min(max(2 * high, 1), most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def by_cost(case: Case, source: Source) -> list[Step]:
    """Groups that must move together, the costliest first; biases follow their layers."""
    values = own_effects(case, source.slice(0, min(RANKED, len(source))))
    groups: dict[str, list[Site]] = {}
    for site in case.sites:
        if site.role != "bias":
            groups.setdefault(_name(site), []).append(site)
    leaders = _leaders(case, groups)
    joined: dict[str, list[Group]] = {}
    for name, mates in groups.items():
        joined.setdefault(leaders[name], []).append(tuple(mates))
    cost = {
        name: sum(values.get(s.key, 0.0) for mates in parts for s in mates)
        for name, parts in joined.items()
    }
    return [tuple(joined[name]) for name in sorted(joined, key=lambda name: (-cost[name], name))]


def _name(site: Site) -> str:
    return site.group if site.streams else site.key


def _leaders(case: Case, groups: Mapping[str, Sequence[Site]]) -> dict[str, str]:
    """One name for all groups that layers join; each its own where nothing has to agree.

    They have to where the platform takes both operands of a layer or neither, and the wide form
    is float.
    """
    leaders = {name: name for name in groups}
    if not case.target.together or case.target.wide_bits is not None:
        return leaders
    readers: dict[str, set[str]] = {}
    for name, mates in groups.items():
        for use in (use for site in mates for use in site.uses):
            readers.setdefault(use.node, set()).add(name)
    for joined in readers.values():
        old = {leaders[name] for name in joined}
        leaders = {n: min(old) if leader in old else leader for n, leader in leaders.items()}
    return leaders


def widened(case: Case, steps: Sequence[Step]) -> Change:
    """The sites of some steps on the wide grid, or in float; their constants as they came."""
    groups = [group for step in steps for group in step]
    plan: dict[str, Affine | None] = {}
    bits = case.target.wide_bits
    for mates in groups:
        wish = Override(mates[0].tensor, bits=bits, as_float=bits is None)
        wide: Plan = replanned(case, mates, wish)
        plan |= {s.key: wide.get(s.key) for s in mates}
    sites = [s for mates in groups for s in mates]
    constants = [s for s in sites if not s.streams]
    return Change(
        Precision.name,
        _summary(case, sites, constants),
        {s.tensor: constant_of(case.model, s) for s in constants if s.tensor in case.written},
        plan,
    )


def _summary(case: Case, sites: Sequence[Site], constants: Sequence[Site]) -> Message:
    bits = case.target.wide_bits
    width = say("ledger.float") if bits is None else say("ledger.bits", bits=str(bits))
    more = (32 if bits is None else bits) - case.target.weights.grid.bits
    parameters = sum(constant_of(case.model, s).size for s in constants)
    moved = case.values(sites)
    return say(
        "ledger.precision",
        sites=str(len(sites)),
        all=str(len(case.sites)),
        width=width,
        memory=f"{parameters * more / 8 / 1024:.1f}",
        values=f"{moved:.0f}",
    )
