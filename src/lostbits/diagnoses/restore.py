"""Measured runs with some sites in float: the restore curve, and the repair of a broken network.

Shares of a broken state mislead: where one site alone leaves nothing of the output, what others add
shows only once it is repaired, and several such sites hide each other. So sites are ranked on the
float side, where the network stands: by what the own error of each does to the outputs. Runs decide
how many of them it takes, and which of those need no repair.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.results.restore import Repair, RestoreCurve, RestorePoint
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.simulation import unless_infinite

COUNTS = (1, 2, 3, 5, 10, 20)
SAMPLES = 8  # of the runs: they cost as much as attributing otherwise
# Below 4 dB two fifths of the power of the output are error. It stands where that is 3 %.
FALLEN_DB, STANDS_DB = 4.0, 15.0
_PRUNING = 12  # runs at most that look for sites which need no repair


@final
class Restored:
    """The network of a case with some sites in float, measured.

    Attributes:
        runs: How many there were.
    """

    def __init__(self, case: Case, judge: Judge) -> None:
        self.case, self.judge, self.runs = case, judge, 0
        self._known: dict[frozenset[str], Baseline | None] = {}

    def __call__(self, keys: Iterable[str]) -> Baseline | None:
        """Figures; None where an output is not finite."""
        chosen = frozenset(keys)
        if chosen not in self._known:
            self.runs += 1
            self._known[chosen] = self._measured(chosen)
        return self._known[chosen]

    def decibels(self, keys: Iterable[str]) -> float:
        """SQNR of the outputs: infinite where they are equal, less than all where not finite."""
        found = self(keys)
        if found is None:
            return -np.inf
        return np.inf if found.sqnr_db is None else found.sqnr_db

    def _measured(self, chosen: frozenset[str]) -> Baseline | None:
        return unless_infinite(lambda: self.judge(in_float(self.case, chosen)))


def in_float(case: Case, keys: Iterable[str]) -> Case:
    """The case with some of its sites, and what was written for them, left in float."""
    chosen = set(keys)
    freed = {s.tensor for s in case.attributed_sites if s.key in chosen}
    plan = {key: affine for key, affine in case.plan.items() if key not in chosen}
    written = {name: array for name, array in case.written.items() if name not in freed}
    return replace(case, plan=plan, written=written)


def restore_curve(restored: Restored, order: Sequence[str]) -> RestoreCurve:
    """Measured for none, and for as many of the sites as ``COUNTS`` says.

    Args:
        restored: Runs the network.
        order: Keys of the sites, those first that should matter most.
    """
    counts = [0, *(k for k in COUNTS if k <= len(order))]
    points = [_point(k, restored(order[:k])) for k in counts]
    return RestoreCurve(list(order[: counts[-1]]), points, len(restored.judge.source))


def _point(count: int, found: Baseline | None) -> RestorePoint:
    if found is None:
        return RestorePoint(count, None, None, None)
    return RestorePoint(count, found.sqnr_db, found.agreement, found.accuracy_quantized)


def repaired(restored: Restored, order: Sequence[str]) -> Repair | None:
    """The sites that must be in float for a network to stand; None where it has not fallen.

    Args:
        restored: Runs the network.
        order: Keys of the sites, those first that should matter most.
    """
    before = restored.decibels(())
    if before >= FALLEN_DB:
        return None
    sites = _pruned(restored, _shortest(restored, order))
    told = _finite(before), _finite(restored.decibels(sites))
    return Repair(sites, *told, restored.runs, len(restored.judge.source))


def _finite(decibels: float) -> float | None:
    return decibels if np.isfinite(decibels) else None


def _shortest(restored: Restored, order: Sequence[str]) -> list[str]:
    """A prefix of the order with which the network stands: doubled, then halved in between.

    More sites in float need not be better, so what is found does stand, but shorter ones may.
    """
    enough = 1
    while enough < len(order) and restored.decibels(order[:enough]) < STANDS_DB:
        enough = min(2 * enough, len(order))
    less = enough // 2
    while enough - less > max(enough // 8, 1):
        middle = (enough + less) // 2
        if restored.decibels(order[:middle]) >= STANDS_DB:
            enough = middle
        else:
            less = middle
    return [*order[:enough]]


def _pruned(restored: Restored, sites: list[str]) -> list[str]:
    """Without those that it also stands without: parts from the end, smaller ones as they fail."""
    step, place, last = max(len(sites) // 4, 1), len(sites), restored.runs + _PRUNING
    while step and restored.runs < last and len(sites) > 1:
        place = min(place, len(sites))
        part = sites[max(place - step, 0) : place]
        rest = [key for key in sites if key not in part]
        if rest and restored.decibels(rest) >= STANDS_DB:
            sites = rest
        place -= step
        if place <= 0:
            step, place = step // 2, len(sites)
    return sites
