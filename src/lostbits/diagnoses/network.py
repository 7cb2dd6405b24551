"""Per network: what every (site, cause, channel) contributes to the change of the output.

Frozen-noise Aumann-Shapley. The quantized network has run, and the error ``e_i`` that each site
added is known. Along the path ``x_i(t) = F_i(x(t)) + t e_i``, from the float network at t=0 to
exactly the quantized one at t=1, no quantizer is left, so the output is continuous in t and

    phi_i = integral_0^1 <dv/dx_i(t), e_i> dt,    sum_i phi_i = v(1) - v(0)

by the fundamental theorem (Aumann and Shapley 1974; Sundararajan et al. 2017, arXiv:1703.01365).
Causes and channels split by linearity, because ``e_i`` is a sum of disjoint parts. One backward
pass serves all sites at once. The integral is taken by Radau's rule and its extensions: they have
a node at t=0, which is free (``v`` is least there, its gradient zero), and each rule has the nodes
of the one before. It is refined where a batch is far off what was measured on it, and then, batch
by batch, until the attributions of all together close on the measured total.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Self, final

import numpy as np
import torch
from numpy.polynomial import legendre

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.diagnoses.finite import not_finite
from lostbits.graph.site import Site
from lostbits.language import say
from lostbits.results.diagnosis import Attribution, Cause, NetworkReport
from lostbits.runtime.executor import Executor
from lostbits.runtime.metrics import Metric, Value
from lostbits.runtime.path_gradients import Key, Vector, slopes
from lostbits.runtime.simulation import Frozen
from lostbits.statistic import RecordSum
from lostbits.system.deadline import NEVER, Deadline

CLOSURE = 0.02  # part of the total that the residual of all batches may reach
# What one batch misses another often gains, so each by itself may miss so many times as much.
_EACH = 8
_CHANNEL_SITES = 24  # of how many sites the result keeps the split by channel


# What each of the first rules adds to the nodes of the one before; see ``quadrature``.
_NODES = (
    (0.0, (6 - 6**0.5) / 10, (6 + 6**0.5) / 10),
    (0.1185152302618685, 0.6251843490419574, 0.9705861349819248),
)
FINEST = 4
_MOMENTS = 8  # that a rule has right at least, if it has as many nodes


@lru_cache(FINEST)
def quadrature(rule: int) -> tuple[Vector, Vector]:
    """Nodes in [0, 1] and weights of the 1st to 4th rule, with 2, 5, 10, 20 nodes beside zero.

    The first is Radau's rule, the second the most exact that holds the nodes of the first (Kronrod
    1965; Patterson, The Optimum Addition of Points to Quadrature Formulae, 1968): exact for
    polynomials up to degree 4 and 8. What those leave open has jumps, at which high degrees are no
    help. So the last two halve the gaps, and weights are the widths of the nodes' cells, changed as
    little as makes them exact up to degree 7.

    >>> nodes, weights = quadrature(1)
    >>> round(float(weights @ nodes**4), 12)
    0.2
    """
    nodes = _nodes(rule)
    widths = np.diff(np.concatenate([[0.0], _middles(nodes), [1.0]]))
    # Integrals of Legendre's polynomials: all but the first cancel.
    values = legendre.legvander(2 * nodes - 1, min(nodes.size, _MOMENTS) - 1)
    missing = np.eye(values.shape[1])[0] - widths @ values
    change = values @ np.linalg.solve((values.T * widths) @ values, missing)
    return nodes, np.asarray(widths * (1 + change), np.float64)


def _nodes(rule: int) -> Vector:
    if rule <= len(_NODES):
        return np.array(sorted(chain.from_iterable(_NODES[:rule])))
    coarse = _nodes(rule - 1)
    return np.sort(np.concatenate([coarse, _middles(coarse)]))


def _middles(nodes: Vector) -> Vector:
    return np.asarray((nodes[1:] + nodes[:-1]) / 2, np.float64)


class Gap(NamedTuple):
    """What the attributions of one batch sum to, less what was measured on it.

    Attributes:
        rule: That they come from.
    """

    value: float
    rule: int


@final
@dataclass
class Attributed(RecordSum):
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

    def merge(self, other: Self) -> Self:
        """Add what was attributed elsewhere; of a batch that was refined the later gap holds."""
        self.total += other.total
        self.evaluations += other.evaluations
        self.samples += other.samples
        self.gaps |= other.gaps
        self.include(other.sums)
        return self

    def include(self, sums: Mapping[Key, Vector]) -> None:
        """Add sums by site and kind."""
        for key, vector in sums.items():
            known = self.sums.get(key)
            self.sums[key] = vector if known is None else known + vector

    def unsettled(self, tolerance: float, finest: int = FINEST) -> dict[int, int]:
        """Batches to refine, by their first sample, and by which rule.

        What a coarse rule misses in one batch it often gains in another, and only the sum is
        reported. So batches are refined when all are known, those first that are off most to the
        side to which the sum is off, and no more of them than it takes if they then are exact.
        """
        excess = sum(gap.value for gap in self.gaps.values())
        side, limit = np.sign(excess), tolerance * abs(self.total)
        worst = sorted(self.gaps.items(), key=lambda item: -side * item[1].value)
        found: dict[int, int] = {}
        for first, gap in worst:
            if abs(excess) <= limit or side * gap.value <= 0:
                break
            if gap.rule < finest:
                found[first] = gap.rule + 1
                excess -= gap.value
        return found


@final
class NetworkErrors:
    """Attributes the output error, batch by batch.

    Args:
        case: What is diagnosed.
        executor: With gradients through every float node.
        value: The scalar to attribute.
        tolerance: Part of the total that the residual of all batches may reach.
        rules: The coarsest and the finest one.
        deadline: After which a batch gets no finer one.

    Attributes:
        sums: What was attributed.
    """

    def __init__(
        self,
        case: Case,
        executor: Executor,
        value: Value,
        tolerance: float = CLOSURE,
        rules: tuple[int, int] = (1, FINEST),
        deadline: Deadline = NEVER,
    ) -> None:
        self.case, self.executor, self.value = case, executor, value
        self.tolerance, self.rules, self.deadline = tolerance, rules, deadline
        self.sums = Attributed()

    def update(
        self,
        part: Batch,
        frozen: Frozen,
        floats: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        before: Sequence[torch.Tensor] | None = None,
    ) -> None:
        """Attribute one batch by the coarsest rule that will do.

        Args:
            part: Samples.
            frozen: Errors along the path.
            floats: Outputs of the float network.
            others: Of the quantized one.
            before: Of the network that the path starts from; default, the float one.
        """
        self.sums.total += (total := self._total(floats, others, before, part))
        self.sums.samples += part.size
        rule, finest = self.rules
        integral = self._integrals(part, frozen, floats)
        sums = integral(rule)
        limit = _EACH * self.tolerance * abs(total)
        while rule < finest and abs(_sum(sums) - total) > limit and not self.deadline.passed:
            rule += 1
            sums = integral(rule)
        self.sums.include(sums)
        self.sums.gaps[part.first] = Gap(_sum(sums) - total, rule)

    def refine(
        self,
        part: Batch,
        frozen: Frozen,
        floats: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        rule: int,
        before: Sequence[torch.Tensor] | None = None,
    ) -> None:
        """Put a rule in the place of the one before it, for one batch; see ``update``."""
        integral = self._integrals(part, frozen, floats)
        fine, coarse = integral(rule), integral(rule - 1)
        self.sums.include(fine)
        self.sums.include({key: -vector for key, vector in coarse.items()})
        total = self._total(floats, others, before, part)
        self.sums.gaps[part.first] = Gap(_sum(fine) - total, rule)

    def _total(
        self,
        floats: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        before: Sequence[torch.Tensor] | None,
        part: Batch,
    ) -> float:
        start = 0.0 if before is None else float(self.value(floats, before, part))
        return float(self.value(floats, others, part)) - start

    def _integrals(
        self, part: Batch, frozen: Frozen, floats: Sequence[torch.Tensor]
    ) -> Callable[[int], dict[Key, Vector]]:
        """By one of the rules; what it computes serves the next one."""
        # In the float network the value is least, so its gradient is zero; in another it is not.
        known: dict[float, dict[Key, Vector]] = {} if frozen.start else {0.0: {}}

        def integral(rule: int) -> dict[Key, Vector]:
            nodes, weights = quadrature(rule)
            for t in nodes.tolist():
                if t not in known:
                    known[t] = self._slopes(part, frozen, floats, t)
                    self.sums.evaluations += part.size
            return _weighted(known, nodes, weights)

        return integral

    def _slopes(
        self, part: Batch, frozen: Frozen, floats: Sequence[torch.Tensor], t: float
    ) -> dict[Key, Vector]:
        """``<dv/dx_i, e_i>`` per channel at one t, for every site and cause at once."""

        def value(outputs: list[torch.Tensor]) -> torch.Tensor:
            real = [part.real(o) for o in outputs]
            return self.value(floats, [o for o in real if o.is_floating_point()], part)

        found = slopes(self.executor, part.feeds, frozen, t, value)
        for (key, _), slope in found.items():
            if not np.isfinite(slope).all():
                raise not_finite(f"attribution of {key!r}", f"no slope {part.span}")
        return found


def attributed_report(case: Case, metric: Metric, sums: Attributed) -> NetworkReport:
    """Attributions, largest first, with the measured total and the residual."""
    scale = case.samples / max(sums.samples, 1)  # 1 but for an interrupted run
    rounded = {site.key for site in case.attributed_sites}
    attributions = [
        Attribution(site.tensor, site.role, cause, scale * value, _ratio(value, sums.total))
        for site in case.error_sites
        for cause, value in _causes(sums, site, summed=site.key not in rounded)
    ]
    attributions.sort(key=lambda a: -abs(a.value))
    attributed = sum(a.value for a in attributions)
    return NetworkReport(
        method="aumann-shapley",
        metric=metric,
        total=scale * sums.total,
        residual=_ratio(attributed - scale * sums.total, scale * sums.total),
        evaluations=sums.evaluations / max(sums.samples, 1),
        attributions=attributions,
        channels=_channels(sums, attributions),
        note=say("basis.samples", count=str(sums.samples)),
    )


def _causes(sums: Attributed, site: Site, *, summed: bool) -> Iterator[tuple[Cause, float]]:
    """A site always has a round value, zero if it never mattered; the others only if they are."""
    yield from causes(sums.sums, site.key, rounds=not summed).items()


def causes(sums: Mapping[Key, Vector], key: str, *, rounds: bool = True) -> dict[Cause, float]:
    """What a site carries, by cause.

    Args:
        sums: By site and kind of error, per channel.
        key: Of the site.
        rounds: Whether anything is rounded there; if not, all of it is the arithmetic's.
    """
    kinds: tuple[Cause, ...] = ("clip", "accumulate")
    known = {kind: float(sums[key, kind].sum()) for kind in kinds if (key, kind) in sums}
    total = sums.get((key, "total"))
    rest = (0.0 if total is None else float(total.sum())) - sum(known.values())
    return {"round": rest, **known} if rounds else known


def _channels(sums: Attributed, attributions: Sequence[Attribution]) -> dict[str, list[float]]:
    largest = list(dict.fromkeys(f"{a.tensor}:{a.role}" for a in attributions))[:_CHANNEL_SITES]
    table = {key: sums.sums.get((key, "total")) for key in largest}
    return {k: [float(v) for v in t] for k, t in table.items() if t is not None and t.size > 1}


def _weighted(
    known: dict[float, dict[Key, Vector]], nodes: Vector, weights: Vector
) -> dict[Key, Vector]:
    result: dict[Key, Vector] = {}
    for t, weight in zip(nodes.tolist(), weights, strict=True):
        for key, vector in known[t].items():
            result[key] = result.get(key, np.zeros_like(vector)) + weight * vector
    return result


def _sum(result: dict[Key, Vector]) -> float:
    return sum(float(v.sum()) for (_, kind), v in result.items() if kind == "total")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
