"""Attribution by forward passes only: permutations of real quantizers.

Players are (site, cause). A permutation turns them on one after the other in one ONNX Runtime
session with switches; a player's value is the change that it makes on its turn. Each permutation
sums exactly to the measured total, so any number of them does. The first two are the topological
order and its reverse, further ones are drawn in antithetic pairs. Clip and round of one site stay
neighbours, which makes the result an Owen value with sites as unions (Owen 1977; Castro et al.
2009 for sampling).
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.diagnosis import Attribution, NetworkReport
from lostbits.graph.instrument import switched
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.measure import Value
from lostbits.runtime.session import Session


@final
class Coalitions:
    """The quantized network with any subset of its errors switched on."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.count = len(case.sites)
        self._session = Session(switched(case.model, case.sites, case.plan), optimise=False)

    def outputs(
        self, part: Batch, clip: NDArray[np.bool_], rounded: NDArray[np.bool_]
    ) -> list[torch.Tensor]:
        """Float outputs with the given causes on, one entry a site."""
        feeds: Mapping[str, NDArray[Any]] = {
            **part.feeds,
            "lostbits_clip": clip,
            "lostbits_round": rounded,
        }
        run = self._session.run(feeds)
        values = trimmed({**part.feeds, **run}, part)
        arrays = [np.asarray(values[name]) for name in run]
        return [torch.from_numpy(np.array(a)) for a in arrays if a.dtype.kind == "f"]

    def value(self, part: Batch, players: Sequence[int], value: Value) -> float:
        """``v`` of a set of players; player ``2 i`` is the clip of site i, ``2 i + 1`` its round."""
        on = np.zeros((self.count, 2), bool)
        on.reshape(-1)[list(players)] = True
        nothing = np.zeros(self.count, bool)
        floats = self.outputs(part, nothing, nothing)
        return float(value(floats, self.outputs(part, on[:, 0].copy(), on[:, 1].copy())))


@final
class PermutationErrors:
    """Attributes the output error by walking permutations over batches."""

    def __init__(self, case: Case, value: Value, seed: int = 0, pairs: int = 1) -> None:
        self.case, self.value = case, value
        self.coalitions = Coalitions(case)
        self.orders = _orders(len(case.sites), pairs, np.random.default_rng(seed))
        self.sums = np.zeros(2 * len(case.sites))
        self.total = 0.0
        self.samples = 0
        self.evaluations = 0

    def update(self, part: Batch) -> None:
        """Walk every permutation over one batch."""
        count = self.coalitions.count
        nothing = np.zeros(count, bool)
        floats = self.coalitions.outputs(part, nothing, nothing)
        for order in self.orders:
            self._walk(part, order, floats)
        everything = np.ones(count, bool)
        self.total += float(
            self.value(floats, self.coalitions.outputs(part, everything, everything))
        )
        self.samples += part.size

    def _walk(self, part: Batch, order: Sequence[int], floats: Sequence[torch.Tensor]) -> None:
        on = np.zeros((self.coalitions.count, 2), bool)
        before = 0.0
        for player in order:
            on.reshape(-1)[player] = True
            outputs = self.coalitions.outputs(part, on[:, 0].copy(), on[:, 1].copy())
            now = float(self.value(floats, outputs))
            self.sums[player] += (now - before) / len(self.orders)
            before = now
            self.evaluations += part.size

    def report(self, reason: str) -> NetworkReport:
        """Attributions, largest first; the residual is rounding of float sums."""
        attributions = [
            Attribution(site.tensor, site.role, cause, float(v), float(v) / (self.total or 1.0))  # type: ignore[arg-type]
            for number, site in enumerate(self.case.sites)
            for cause, v in zip(
                ("clip", "round"), self.sums[2 * number : 2 * number + 2], strict=True
            )
            if cause == "round" or v
        ]
        attributions.sort(key=lambda a: -abs(a.value))
        attributed = float(self.sums.sum())
        return NetworkReport(
            method="permutation",
            metric=self.value.metric,
            total=self.total,
            residual=(attributed - self.total) / (self.total or 1.0),
            evaluations=self.evaluations / max(self.samples, 1),
            attributions=attributions,
            channels={},
            note=f"{reason}; {len(self.orders)} permutations over {self.samples} samples",
        )


def _orders(sites: int, pairs: int, random: np.random.Generator) -> list[list[int]]:
    """Topological order and its reverse, then random antithetic pairs."""
    orders = []
    for number in range(pairs):
        order = np.arange(sites) if number == 0 else random.permutation(sites)
        forward = [player for site in order for player in (2 * int(site), 2 * int(site) + 1)]
        orders += [forward, forward[::-1]]
    return orders
