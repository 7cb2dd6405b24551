"""Per network: what every (site, cause, channel) contributes to the change of the output.

Frozen-noise Aumann-Shapley. The quantized network has run, and the error ``e_i`` that each site
added is known. Along the path ``x_i(t) = F_i(x(t)) + t e_i``, from the float network at t=0 to
exactly the quantized one at t=1, no quantizer is left, so the output is continuous in t and

    phi_i = integral_0^1 <dv/dx_i(t), e_i> dt,    sum_i phi_i = v(1) - v(0)

by the fundamental theorem (Aumann and Shapley 1974; Sundararajan et al. 2017, arXiv:1703.01365).
Causes and channels split by linearity, because ``e_i`` is a sum of disjoint parts. One backward
pass serves all sites at once. The integral is taken by Clenshaw-Curtis quadrature: its nodes are
nested, and its node at t=0 is free (``v`` is least there, its gradient zero). It is refined where
a batch is far off what was measured on it, and then, batch by batch, until the attributions of all
together close on the measured total.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.diagnosis import Attribution, Cause, NetworkReport
from lostbits.graph.site import Site
from lostbits.language import say
from lostbits.runtime.executor import Executor
from lostbits.runtime.measure import Value
from lostbits.runtime.simulation import Frozen
from lostbits.runtime.slopes import Key, Vector, slopes

CLOSURE = 0.015  # part of the total that the residual of all batches may reach
# What one batch misses another often gains, so each by itself may miss so many times as much.
_EACH = 5
_CHANNEL_SITES = 24  # of how many sites the result keeps the split by channel


def clenshaw_curtis(intervals: int) -> tuple[Vector, Vector]:
    """Nodes in [0, 1], ascending, and weights of the rule with an even number of intervals.

    Exact for polynomials up to degree ``intervals`` (Clenshaw and Curtis 1960).

    >>> nodes, weights = clenshaw_curtis(4)
    >>> round(float(weights @ nodes**4), 12)
    0.2
    """
    k = np.arange(intervals + 1)
    nodes = (1 - np.cos(np.pi * k / intervals)) / 2
    weights = np.zeros(intervals + 1)
    for j in range(0, intervals + 1, 2):
        half = 0.5 if j in (0, intervals) else 1.0
        weights += half * 2 / (1 - j**2) * np.cos(j * np.pi * k / intervals)
    weights *= 2 / intervals
    weights[[0, -1]] /= 2
    return nodes, weights / 2


class Gap(NamedTuple):
    """What the attributions of one batch sum to, less what was measured on it.

    Attributes:
        intervals: Of the rule that they come from.
    """

    value: float
    intervals: int


@final
@dataclass
class Attributed:
    """What batches have been attributed, and to whom; parts of the data add up.

    Attributes:
        total: The value of the quantized network.
        evaluations: Forward and backward passes, each counted for every sample.
        samples: How many.
        sums: By site and kind of error, per channel.
        gaps: Of every batch, by its first sample.
    """

    total: float = 0.0
    evaluations: int = 0
    samples: int = 0
    sums: dict[Key, Vector] = field(default_factory=dict)
    gaps: dict[int, Gap] = field(default_factory=dict)


@final
class NetworkErrors:
    """Attributes the output error, batch by batch.

    Args:
        case: What is diagnosed.
        executor: With gradients through every float node.
        value: The scalar to attribute.
        tolerance: Part of the total that the residual of all batches may reach.
        intervals: Of the coarsest and of the finest rule.
    """

    def __init__(
        self,
        case: Case,
        executor: Executor,
        value: Value,
        tolerance: float = CLOSURE,
        intervals: tuple[int, int] = (2, 16),
    ) -> None:
        self.case, self.executor, self.value = case, executor, value
        self.tolerance, self.intervals = tolerance, intervals
        self.total = 0.0
        self.evaluations = 0
        self.samples = 0
        self.gaps: dict[int, Gap] = {}
        self._sums: dict[Key, Vector] = {}

    def update(
        self,
        part: Batch,
        frozen: Frozen,
        floats: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
    ) -> None:
        """Attribute one batch by the coarsest rule that will do; ``others``: quantized outputs."""
        self.total += (total := float(self.value(floats, others)))
        self.samples += part.size
        intervals, most = self.intervals
        rules = self._integrals(part, frozen, floats)
        sums = rules(intervals)
        while intervals < most and abs(_sum(sums) - total) > _EACH * self.tolerance * total:
            intervals *= 2
            sums = rules(intervals)
        self._include(sums)
        self.gaps[part.first] = Gap(_sum(sums) - total, intervals)

    def refine(
        self,
        part: Batch,
        frozen: Frozen,
        floats: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        intervals: int,
    ) -> None:
        """Put a rule in the place of that with half as many intervals, for one batch."""
        rules = self._integrals(part, frozen, floats)
        fine, coarse = rules(intervals), rules(intervals // 2)
        self._include(fine)
        self._include({key: -vector for key, vector in coarse.items()})
        self.gaps[part.first] = Gap(_sum(fine) - float(self.value(floats, others)), intervals)

    def unsettled(self) -> dict[int, int]:
        """Batches to refine, by their first sample, and into how many intervals.

        What a coarse rule misses in one batch it often gains in another, and only the sum is
        reported. So batches are refined when all are known, those first that are off most to the
        side to which the sum is off, and no more of them than it takes if they then are exact.
        """
        excess = sum(gap.value for gap in self.gaps.values())
        side, limit = np.sign(excess), self.tolerance * abs(self.total)
        worst = sorted(self.gaps.items(), key=lambda item: -side * item[1].value)
        found: dict[int, int] = {}
        for first, gap in worst:
            if abs(excess) <= limit or side * gap.value <= 0:
                break
            if gap.intervals < self.intervals[1]:
                found[first] = 2 * gap.intervals
                excess -= gap.value
        return found

    def taken(self) -> Attributed:
        """What was attributed since the last time; from here on it counts anew."""
        own = Attributed(self.total, self.evaluations, self.samples, self._sums, self.gaps)
        self.total, self.evaluations, self.samples = 0.0, 0, 0
        self._sums, self.gaps = {}, {}
        return own

    def merge(self, other: Attributed) -> None:
        """Add what was taken elsewhere."""
        self.total += other.total
        self.evaluations += other.evaluations
        self.samples += other.samples
        self.gaps |= other.gaps
        self._include(other.sums)

    def _include(self, sums: Mapping[Key, Vector]) -> None:
        for key, vector in sums.items():
            known = self._sums.get(key)
            self._sums[key] = vector if known is None else known + vector

    def _integrals(
        self, part: Batch, frozen: Frozen, floats: Sequence[torch.Tensor]
    ) -> Callable[[int], dict[Key, Vector]]:
        """By a rule of so many intervals; what it computes serves the next one."""
        known: dict[float, dict[Key, Vector]] = {0.0: {}}

        def rule(intervals: int) -> dict[Key, Vector]:
            nodes, weights = clenshaw_curtis(intervals)
            for t in nodes:
                if (key := round(float(t), 12)) not in known:
                    known[key] = self._slopes(part, frozen, floats, float(t))
                    self.evaluations += part.size
            return _weighted(known, nodes, weights)

        return rule

    def _slopes(
        self, part: Batch, frozen: Frozen, floats: Sequence[torch.Tensor], t: float
    ) -> dict[Key, Vector]:
        """``<dv/dx_i, e_i>`` per channel at one t, for every site and cause at once."""

        def value(outputs: list[torch.Tensor]) -> torch.Tensor:
            real = [part.real(o) for o in outputs]
            return self.value(floats, [o for o in real if o.is_floating_point()])

        return slopes(self.executor, part.feeds, frozen, t, value)

    def report(self) -> NetworkReport:
        """Attributions, largest first, with the measured total and the residual."""
        scale = self.case.samples / max(self.samples, 1)  # 1 but for an interrupted run
        attributions = [
            Attribution(site.tensor, site.role, cause, scale * value, _ratio(value, self.total))
            for site in self.case.players
            for cause, value in self._causes(site)
        ]
        attributions.sort(key=lambda a: -abs(a.value))
        attributed = sum(a.value for a in attributions)
        return NetworkReport(
            method="aumann-shapley",
            metric=self.value.metric,
            total=scale * self.total,
            residual=_ratio(attributed - scale * self.total, scale * self.total),
            evaluations=self.evaluations / max(self.samples, 1),
            attributions=attributions,
            channels=self._channels(attributions),
            note=say("basis.samples", count=str(self.samples)),
        )

    def _causes(self, site: Site) -> Iterator[tuple[Cause, float]]:
        """A site always has a round value, zero if it never mattered; clip only if it clipped."""
        total = self._sums.get((site.key, "total"))
        clip = self._sums.get((site.key, "clip"))
        clipped = 0.0 if clip is None else float(clip.sum())
        yield "round", 0.0 if total is None else float(total.sum()) - clipped
        if clip is not None:
            yield "clip", clipped

    def _channels(self, attributions: Sequence[Attribution]) -> dict[str, list[float]]:
        largest = list(dict.fromkeys(f"{a.tensor}:{a.role}" for a in attributions))[:_CHANNEL_SITES]
        table = {key: self._sums.get((key, "total")) for key in largest}
        return {k: [float(v) for v in t] for k, t in table.items() if t is not None and t.size > 1}


def _weighted(
    known: dict[float, dict[Key, Vector]], nodes: Vector, weights: Vector
) -> dict[Key, Vector]:
    result: dict[Key, Vector] = {}
    for t, weight in zip(nodes, weights, strict=True):
        for key, vector in known[round(float(t), 12)].items():
            result[key] = result.get(key, np.zeros_like(vector)) + weight * vector
    return result


def _sum(result: dict[Key, Vector]) -> float:
    return sum(float(v.sum()) for (_, kind), v in result.items() if kind == "total")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
