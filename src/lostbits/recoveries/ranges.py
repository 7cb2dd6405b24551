"""Activation ranges, judged where it matters: at the output.

Every method's ranges are tried for all tensors at once, and so are those by noise gains, which say
what rounding and clipping each value is worth at the output. Where no gradient passes, methods and
fractions of the full range are tried tensor by tensor instead: what counts there is not the
tensor's own error but the error of its readers' outputs relative to their power. A rare outlier in
a channel that a layer hardly weighs may be clipped, one that decides a logit may not. A tensor that
no layer with a constant weight reads is added, multiplied or handed on: what its range does to its
own values is what it does to the next ones.

References:
    Banner et al., 2019, arXiv:1810.05723 (ACIQ); Migacz, 2017 (KL); Wu et al., EasyQuant, 2020,
    arXiv:2006.16669 (judging at the layer's output).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.errors import DataError
from lostbits.estimator import Estimator
from lostbits.estimators import MEMBERS, estimator
from lostbits.graph.site import Site
from lostbits.grid import Affine, affine_from_range
from lostbits.language import Figure, Message, listed, say, verbatim
from lostbits.plan.noise_ranges import noise_ranges
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.recovery import (
    Change,
    Context,
    Diagnosed,
    Stage,
    Sweeping,
    applied,
    sweep_cost,
    walk_cost,
)
from lostbits.runtime.judged import counting, decibels
from lostbits.runtime.memory_layout import dot
from lostbits.runtime.simulation import fake_quantize
from lostbits.statistics.histogram import Density
from lostbits.sweep.layer import Layer
from lostbits.sweep.layers import OpenJob, sweep

_FRACTIONS = (0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
_USUAL = 0.75  # part of the activations' error that stays, by experience
_SAMPLES = 32
_CANDIDATE = 0.3  # part of a sweep that trying one at all layers takes
_COHERENCE = 16.0  # of clipping: its errors have one sign and do not average out
_PASSES = 5  # of all samples, that noise gains of half of them take
Choice = tuple[dict[str, Affine | None], list[Figure]]  # ranges, and names of new ones
_TRIALS = 0.5  # part of the time that is left, where it is bounded, in which choices are judged
_CLEAR = 0.99  # a new range must leave less than this part of the error of the present one


@final
@dataclass(frozen=True, kw_only=True)
class Ranges(Sweeping):
    """Chooses the range of every activation among those of all methods.

    Attributes:
        methods: Range methods to try, by name or made; none stands for all that there are.
        fractions: Of the range in use, tried as well.
        samples: Most samples that are looked at.
    """

    name: ClassVar[str] = "ranges"
    title: ClassVar[str] = "activation ranges chosen at the outputs of the layers that read them"
    source: ClassVar[str] = (
        "Wu et al. 2020, arXiv:2006.16669; the range methods: see lostbits methods"
    )
    stage: ClassVar[Stage] = "ranges"
    afresh: ClassVar[bool] = True
    methods: tuple[str | Estimator, ...] = ()
    fractions: tuple[float, ...] = _FRACTIONS
    samples: int = _SAMPLES

    def cost(self, case: Case) -> float:
        """Noise gains and each method as a whole, on few samples; where a method is named, a sweep.

        A sweep in place of noise gains, where no gradient passes, ends with half of the time.
        """
        few = min(self.samples, case.samples)
        walk, methods = walk_cost(case, few), len(self.methods or MEMBERS.all())
        if not self.methods:
            return (methods + 2 + _PASSES) * walk
        candidates = 1 + _CANDIDATE * (methods + len(self.fractions))
        return candidates * few / max(case.samples, 1) * sweep_cost(case) + (methods + 2) * walk

    def gain(self, diagnosed: Diagnosed) -> float:
        """A quarter of what activations cost."""
        return diagnosed.gain_db("activation", _USUAL)

    def change(self, case: Case, context: Context) -> Change:
        """The best of all choices; one range for all tensors that share it."""
        trial, noise = _Trial(case, self), self._by_noise(case, context)
        if not noise:
            self._sweep(case, trial, context)
        plan, names = self._best(case, trial, context, noise)
        counts = {n: names.count(n) for n in dict.fromkeys(names)}
        replaced = [say("ledger.counted", count=str(n), name=name) for name, n in counts.items()]
        how = listed(replaced) if replaced else say("ledger.none")
        return Change(
            self.name,
            say("ledger.ranges", count=str(len(names)), all=str(len(trial.candidates)), how=how),
            plan=plan,
            skipped=trial.skipped,
        )

    def _sweep(self, case: Case, trial: "_Trial", context: Context) -> None:
        """Let the trial see few samples at all layers."""
        few = context.source.slice(0, min(self.samples, len(context.source)))
        effort = context.effort
        sweep(
            case,
            few,
            trial,
            pool=effort.pool,
            correct_biases=False,
            progress=context.progress,
            deadline=effort.deadline.part(1 - _TRIALS),
        )

    def _by_noise(self, case: Case, context: Context) -> dict[str, Affine]:
        """Ranges by noise gains; none where no gradient passes a node."""
        if self.methods or context.effort.deadline.passed:
            return {}
        return noise_ranges(case, context.gains(case), _COHERENCE)

    def _best(
        self, case: Case, trial: "_Trial", context: Context, noise: Mapping[str, Affine]
    ) -> Choice:
        """What is best at the output: one method for all, by noise gains, or tensor by tensor.

        A layer's output is a forecast of the network's, and so many choices may add up to a loss
        that none of them shows. What noise gains leave as it is, the best single method may move.
        """
        judge = context.judge(case, self.samples)

        def score(choice: Choice) -> tuple[float, float]:
            if context.effort.deadline.passed:
                return -np.inf, -np.inf
            found = judge(applied(case, Change(self.name, say("ledger.none"), plan=choice[0])))
            return counting(found)(found), decibels(found)

        scores = [(score(choice), choice) for choice in self._choices(trial, noise) if choice[0]]
        if not scores:
            return {}, []
        most, best = max(scores, key=lambda pair: pair[0])
        both = _upon(best, noise, trial.shared)
        more = noise and len(both[0]) > len(noise)  # else it is one of those
        return both if more and score(both) > most else best

    def _choices(self, trial: "_Trial", noise: Mapping[str, Affine]) -> list[Choice]:
        """All that differ in kind; those that looked at layers where there is no noise model."""
        singles = [trial.of_one(method.name) for method in trial.methods]
        if noise:
            return [_upon(({}, []), noise, trial.shared), *singles]
        at_layers, others = trial.at_layers(), trial.by_own_error()
        every = ({**at_layers[0], **others[0]}, [*at_layers[1], *others[1]])
        return [every, *singles, *([at_layers] if others[0] else [])]


def _upon(choice: Choice, noise: Mapping[str, Affine], shared: Mapping[str, str]) -> Choice:
    """Ranges by noise gains, and those of one method for the tensors that these leave.

    Names are counted by ranges, which some tensors share.
    """
    left = {key: affine for key, affine in choice[0].items() if key not in noise}
    theirs, own = (len({shared[key] for key in each}) for each in (left, noise))
    names = [*choice[1][:1] * theirs, *[say("ledger.by_noise")] * own]
    return {**left, **noise}, names


@final
class _Trial:
    """Listens to the layers and adds up what each candidate would cost."""

    whole = False
    apart = False

    def __init__(self, case: Case, settings: Ranges) -> None:
        self.case, self.fractions = case, settings.fractions
        self.methods = tuple(map(estimator, settings.methods)) or MEMBERS.all()
        self.skipped: dict[str, Message] = {}
        self.groups: dict[str, list[Site]] = {}
        for site in case.sites:
            if site.streams:
                self.groups.setdefault(site.group, []).append(site)
        self.shared = {s.key: group for group, mates in self.groups.items() for s in mates}
        self.candidates = {g: self._candidates(mates) for g, mates in self.groups.items()}
        self.costs: dict[str, dict[Figure, float]] = {}

    def _candidates(self, mates: list[Site]) -> Mapping[Figure, Affine]:
        site = mates[0]
        now = self.case.plan[site.key]
        found: dict[Figure, Affine] = {"in use": now}
        for method in self.methods:
            try:
                wish = Override(site.tensor, method=method)
                found[method.name] = replanned(self.case, mates, wish)[site.key]
            except DataError as error:  # too few samples for this method
                self.skipped[f"{method.name} of {site.tensor}"] = verbatim(str(error))
        if now.axis is None:
            found |= {
                say("ledger.part", share=f"{f:.0%}"): _shrunk(now, f, self.case)
                for f in self.fractions
            }
        return found

    def look(self, layer: Layer) -> tuple[float, dict[Figure, float]] | None:
        """Power of the layer's output, and the error of each candidate of its input."""
        if (group := _group(layer)) not in self.candidates:
            return None
        weight = torch.from_numpy(layer.values)
        power = sum(_energy(layer.output(x, weight)) for x in layer.inputs)
        candidates = self.candidates[group].items()
        return power, {name: self._error(layer, weight, affine) for name, affine in candidates}

    def solve(
        self,
        layer: Layer,
        found: Sequence[tuple[float, dict[Figure, float]] | None],
        job: OpenJob,
    ) -> None:
        """Add the errors up, relative to the power."""
        known = [pair for pair in found if pair is not None]
        if not known:
            return
        group = _group(layer) or ""
        costs = self.costs.setdefault(group, dict.fromkeys(self.candidates[group], 0.0))
        power = max(sum(power for power, _ in known), 1e-30)
        for name in costs:
            costs[name] += sum(errors[name] for _, errors in known) / power

    @staticmethod
    def _error(layer: Layer, weight: torch.Tensor, affine: Affine) -> float:
        """Energy of what the range does to the layer's output."""
        changes = (fake_quantize(x, affine).sub_(x) for x in layer.inputs)
        return sum(_energy(layer.output(e, weight)) for e in changes)

    def at_layers(self) -> Choice:
        """The cheapest candidate of every group that a layer reads, where it is clearly better."""
        return self._cheapest(self.costs)

    def by_own_error(self) -> Choice:
        """The same of the other groups, by the squared error of their own values."""
        others = (group for group in self.groups if group not in self.costs)
        return self._cheapest({group: self._own(group) for group in others})

    def _own(self, group: str) -> dict[Figure, float]:
        """Squared error of all tensors of a group under every candidate."""
        seen = [self.case.seen[site.key] for site in self.groups[group]]
        candidates = self.candidates[group].items()
        whole = self.candidates[group]["in use"].axis is None
        rows = [(each.whole if whole else each.channels).density() for each in seen]
        return {n: sum(_squared(each, affine) for each in rows) for n, affine in candidates}

    def _cheapest(self, costs: Mapping[str, Mapping[Figure, float]]) -> Choice:
        plan: dict[str, Affine | None] = {}
        names: list[Figure] = []
        for group, each in costs.items():
            best = min(each, key=each.__getitem__)
            if each[best] < _CLEAR * each["in use"]:
                names.append(best)
                plan |= {s.key: self.candidates[group][best] for s in self.groups[group]}
        return plan, names

    def of_one(self, method: str) -> Choice:
        """One method's range for every group that it has one for, where that is another one."""
        found = {g: c[method] for g, c in self.candidates.items() if method in c}
        new = {g: a for g, a in found.items() if a != self.candidates[g]["in use"]}
        plan = {s.key: a for g, a in new.items() for s in self.groups[g]}
        return dict(plan), [method] * len(new)


def _group(layer: Layer) -> str | None:
    """The group of the tensor that a layer multiplies with its weight; None for one in float."""
    site = layer.executor.reader_site(layer.step.name, 1 - layer.index)
    return None if site is None or not site.streams else site.group


def _squared(rows: Density, affine: Affine) -> float:
    ends = (np.atleast_1d(v) for v in (affine.lo, affine.hi, affine.scale))
    return float(rows.error(*ends).sum())


def _energy(y: torch.Tensor) -> float:
    return dot(y, y)


def _shrunk(affine: Affine, fraction: float, case: Case) -> Affine:
    lo, hi = (np.asarray(fraction * end) for end in (affine.lo, affine.hi))
    symmetric = case.target.activations.symmetric
    return affine_from_range(lo, hi, affine.grid, symmetric=symmetric)
