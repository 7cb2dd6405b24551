"""Attribution by forward passes only: permutations of real quantizers.

Players are (site, cause). A permutation turns them on one after the other in one ONNX Runtime
session with switches; a player's value is the change that it makes on its turn. Each permutation
sums exactly to the measured total, so any number of them does. The first two are the topological
order and its reverse, further ones are drawn in antithetic pairs. Clip and round of one site stay
neighbours, which makes the result an Owen value with sites as unions (Owen 1977; Castro et al.
2009 for sampling).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.graph.instrument import switched
from lostbits.language import Message, say
from lostbits.results.diagnosis import Attribution, Cause, NetworkReport
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.metrics import Metric, Value
from lostbits.runtime.session import Session
from lostbits.statistic import RecordSum

# Values that all runs together may compute, some 10 seconds of an ONNX graph that is run as it is
# written, and how many of them the call of a kernel is worth.
_WALKED, _NODE = 1e9, 2e3

CAUSES: tuple[Cause, Cause] = ("clip", "round")  # the order of a site's two attributed_sites


def affordable(case: Case, orders: int) -> int:
    """Samples over which so many permutations can be walked in some seconds; maybe none.

    A formula of the case, so that two runs look at the same samples.
    """
    runs = 2 * len(case.attributed_sites) * orders
    nodes = sum(1 for _ in case.model.graph)
    return int(_WALKED // (runs * (case.values(case.sites) + _NODE * nodes)))


@final
class Coalitions:
    """The quantized network with any subset of its errors switched on."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.count = len(case.attributed_sites)
        self._session = Session(
            switched(case.model, case.attributed_sites, case.plan, case.written), optimise=False
        )

    def outputs(self, part: Batch, on: NDArray[np.bool_]) -> list[torch.Tensor]:
        """Float outputs with some causes on; ``on`` has one row a site, columns clip and round."""
        switches = {"lostbits_clip": on[:, 0].copy(), "lostbits_round": on[:, 1].copy()}
        feeds: Mapping[str, NDArray[Any]] = {**part.feeds, **switches}
        run = self._session.run(feeds)
        values = trimmed({**part.feeds, **run}, part)
        arrays = [np.asarray(values[name]) for name in run]
        return [torch.from_numpy(np.array(a)) for a in arrays if a.dtype.kind == "f"]


@final
@dataclass
class Walked(RecordSum):
    """What batches have been walked over; parts of the data add up.

    Attributes:
        total: The value of the quantized network.
        evaluations: Forward passes, each counted for every sample.
        samples: How many.
        sums: By player.
    """

    total: float
    evaluations: int
    samples: int
    sums: NDArray[np.float64]

    @classmethod
    def none(cls, case: Case) -> Self:
        """Nothing yet."""
        return cls(0.0, 0, 0, np.zeros(2 * len(case.attributed_sites)))

    def merge(self, other: Self) -> Self:
        """Add what was walked elsewhere."""
        self.total += other.total
        self.evaluations += other.evaluations
        self.samples += other.samples
        self.sums += other.sums
        return self


@final
class PermutationErrors:
    """Attributes the output error by walking permutations over batches.

    Attributes:
        sums: What was walked.
    """

    def __init__(self, case: Case, value: Value, seed: int = 0, pairs: int = 1) -> None:
        self.case, self.value = case, value
        self.orders = _orders(len(case.attributed_sites), pairs, np.random.default_rng(seed))
        self.sums = Walked.none(case)

    @cached_property
    def coalitions(self) -> Coalitions:
        """Made when the first batch comes: a report needs none."""
        return Coalitions(self.case)

    def update(self, part: Batch) -> None:
        """Walk every permutation over one batch."""
        nothing = np.zeros((self.coalitions.count, 2), bool)
        floats = self.coalitions.outputs(part, nothing)
        for order in self.orders:
            self._walk(part, order, floats)
        whole = self.coalitions.outputs(part, ~nothing)
        self.sums.total += float(self.value(floats, whole, part))
        self.sums.samples += part.size

    def _walk(self, part: Batch, order: Sequence[int], floats: Sequence[torch.Tensor]) -> None:
        on = np.zeros((self.coalitions.count, 2), bool)
        before = 0.0
        for player in order:
            on.reshape(-1)[player] = True
            outputs = self.coalitions.outputs(part, on)
            now = float(self.value(floats, outputs, part))
            # Some errors without others may divide by zero. What they change then counts with the
            # next one that makes a number of it; with all of them there is one.
            now = now if math.isfinite(now) else before
            self.sums.sums[player] += (now - before) / len(self.orders)
            before = now
            self.sums.evaluations += part.size


def walked_report(
    case: Case, metric: Metric, sums: Walked, orders: int, reason: Message
) -> NetworkReport:
    """Attributions, largest first; the residual is rounding of float sums.

    Args:
        case: What was walked over.
        metric: Of its value.
        sums: Of all batches.
        orders: How many permutations each was walked over by.
        reason: Why permutations were walked.
    """
    scale = case.samples / max(sums.samples, 1)  # only the first samples were walked
    attributions = [
        Attribution(site.tensor, site.role, cause, scale * v, v / (sums.total or 1.0))
        for site, row in zip(case.attributed_sites, sums.sums.reshape(-1, 2).tolist(), strict=True)
        for cause, v in zip(CAUSES, row, strict=True)
        if cause == "round" or v
    ]
    attributions.sort(key=lambda a: -abs(a.value))
    told = {"orders": str(orders), "samples": str(sums.samples)}
    return NetworkReport(
        method="permutation",
        metric=metric,
        total=scale * sums.total,
        residual=(float(sums.sums.sum()) - sums.total) / (sums.total or 1.0),
        evaluations=sums.evaluations / max(sums.samples, 1),
        attributions=attributions,
        channels={},
        note=say("basis.permutations", reason=reason, **told),
    )


def _orders(sites: int, pairs: int, random: np.random.Generator) -> list[list[int]]:
    """Topological order and its reverse, then random antithetic pairs."""
    orders = []
    for number in range(pairs):
        order = np.arange(sites) if number == 0 else random.permutation(sites)
        forward = [player for site in order for player in (2 * int(site), 2 * int(site) + 1)]
        orders += [forward, forward[::-1]]
    return orders
