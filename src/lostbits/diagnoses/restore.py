"""Measured runs with some sites in float: the restore curve, and the repair of a broken network.

Shares of a broken state mislead: where one site alone leaves nothing of the output, what others add
shows only once it is repaired, and several such sites hide each other. So sites are first ranked on
the float side, where the network stands: by the error that each makes of its float input, against
the power of the tensor, and by the slope of the output error near the float network. A prefix of
the mean of both ranks lifts the network; from there on the attribution, which closes again, says
what to repair next. Runs decide how many it takes, and which of them need no repair.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.network import NetworkErrors, attributed_report
from lostbits.errors import SimulationError
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import name_of
from lostbits.results.restore import Repair, RestoreCurve, RestorePoint
from lostbits.runtime.calibration import Arrays
from lostbits.runtime.compare_networks import compare, observe, to_compare
from lostbits.runtime.executor import Executor
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.metrics import Baseline, Value
from lostbits.runtime.path_gradients import slopes
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Frozen, Simulation

COUNTS = (1, 2, 3, 5, 10, 20)
SAMPLES = 8  # of the runs: they cost as much as attributing otherwise
# Below 3 dB more than half of the output is error. It stands where the error has 3 % of its power.
FALLEN_DB, STANDS_DB = 3.0, 15.0
_LIFTED_DB = 8.0  # from where attributions close
_NEAR = 0.1  # of the errors: so far from float the output error still follows its slopes
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
        try:
            return self.judge(in_float(self.case, chosen))
        except SimulationError as error:
            if error.code != "S005":
                raise
            return None


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


def repaired(restored: Restored) -> Repair | None:
    """The sites that must be in float for a network to stand; None where it has not fallen."""
    before = restored.decibels(())
    if before >= FALLEN_DB:
        return None
    case, source = restored.case, restored.judge.source
    sites = _shortest(restored, [], suspects(case, source), _LIFTED_DB)
    if restored.decibels(sites) < STANDS_DB:
        sites = _shortest(restored, sites, attributed(in_float(case, sites), source), STANDS_DB)
    sites = _pruned(restored, sites)
    after = restored.decibels(sites)
    told = _finite(before), _finite(after)
    return Repair(sites, *told, restored.runs, len(restored.judge.source))


def _finite(decibels: float) -> float | None:
    return decibels if np.isfinite(decibels) else None


def _shortest(
    restored: Restored, known: list[str], order: Sequence[str], bound: float
) -> list[str]:
    """Known sites and a prefix of the order that reach a bound: doubled, then halved in between.

    More sites in float need not be better, so what is found does reach it, but shorter ones may.
    """
    enough = 1
    while enough < len(order) and restored.decibels([*known, *order[:enough]]) < bound:
        enough = min(2 * enough, len(order))
    less = enough // 2
    while enough - less > max(enough // 8, 1):
        middle = (enough + less) // 2
        if restored.decibels([*known, *order[:middle]]) >= bound:
            enough = middle
        else:
            less = middle
    return [*known, *order[:enough]]


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


def attributed(case: Case, source: Source) -> list[str]:
    """Sites by what they carry of the output error, largest first, where gradients pass."""
    part = next(iter(source.batches(len(source))))
    others, frozen = Simulation(case).run(part)
    executor = Executor(case.model, case.error_sites)
    if to_compare(executor, frozen):
        floats = compare(executor, part, frozen, [])
    else:
        floats = observe(executor, part, [])
    if executor.opaque:
        return suspects(case, source)
    keep = [i for i, f in enumerate(floats) if f.is_floating_point()]
    value = Value("nsr", case.output_energy, case.samples)
    errors = NetworkErrors(case, executor, value, rules=(1, 1))  # an order, for which two nodes do
    tensors = [torch.from_numpy(np.array(others[i])) for i in keep]
    errors.update(part, frozen, [floats[i] for i in keep], tensors)
    found = attributed_report(case, "nsr", errors.sums).values
    return sorted(found, key=lambda key: (-found[key], key))


def suspects(case: Case, source: Source) -> list[str]:
    """Every site, those first that are likely to bring the network down; one float-side look."""
    part = next(iter(source.batches(len(source))))
    frozen, ratios = _float_side(case, part)
    near = _slopes(case, part, frozen)
    ranks = [_ranks(ratios), _ranks(near)] if near else [_ranks(ratios)]
    return sorted(ratios, key=lambda key: (sum(rank[key] for rank in ranks), key))


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    return {key: i for i, key in enumerate(sorted(scores, key=lambda key: -scores[key]))}


def _float_side(case: Case, part: Batch) -> tuple[Frozen, dict[str, float]]:
    """The error that every site makes of its float value, and its power over that of the value."""
    _, frozen = Simulation(case).run(part)
    floats, total = _values(case, part), dict(frozen.total)
    ratios: dict[str, float] = {}
    for site in case.attributed_sites:
        error = total[site.key].numpy()
        value = case.quantized_constant(site) - error if not site.streams else floats[site.tensor]
        if site.streams:
            error = case.plan[site.key].fake_quantize(value) - value
            total[site.key] = torch.from_numpy(np.ascontiguousarray(error, np.float32))
        power = float((value.astype(np.float64) ** 2).sum())
        ratios[site.key] = float((error.astype(np.float64) ** 2).sum()) / power if power else 0.0
    return replace(frozen, total=total, clip={}, limited={}), ratios


def _values(case: Case, part: Batch) -> Arrays:
    inputs = {name_of(v) for v in case.model.graph.inputs}
    names = [t for t in _streamed(case) if t not in inputs]
    return {**part.feeds, **Session(with_outputs(case.model, names)).run(part.feeds)}


def _streamed(case: Case) -> Iterator[str]:
    yield from dict.fromkeys(s.tensor for s in case.sites if s.streams)


def _slopes(case: Case, part: Batch, frozen: Frozen) -> dict[str, float]:
    """Of the output error, near the float network; nothing where no gradient passes."""
    executor = Executor(case.model, case.attributed_sites)
    floats = [part.real(o) for o in observe(executor, part, [])]
    plain = [o for o in floats if o.is_floating_point()]
    if executor.opaque:
        return {}
    value = Value("nsr", case.output_energy, case.samples)

    def of_outputs(outputs: list[torch.Tensor]) -> torch.Tensor:
        real = [part.real(o) for o in outputs]
        return value(plain, [o for o in real if o.is_floating_point()])

    found = slopes(executor, part.feeds, frozen, _NEAR, of_outputs)
    near = {key: float(v.sum()) for (key, kind), v in found.items() if kind == "total"}
    return {s.key: abs(near.get(s.key, 0.0)) for s in case.attributed_sites}
