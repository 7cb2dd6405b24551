"""Whether the shares of sites are right: against a finer rule, and by leaving sites in float."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import lostbits
from benchmarks.cases import planned
from benchmarks.diagnosis.closure import SAMPLES, TARGETS
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, EVALUATION, MANY
from benchmarks.results import recorded
from benchmarks.table import Column
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.network import NetworkErrors, attributed_report
from lostbits.diagnoses.permutation import Coalitions
from lostbits.results.diagnosis import Diagnosis, NetworkReport
from lostbits.runtime.compare_networks import observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.float_reference import input_specs
from lostbits.runtime.metrics import Value
from lostbits.runtime.simulation import Simulation

_HELD_OUT = 32
_DELETED = (1, 3, 5, 10)
_QUADRATURE = (
    Column("photographs"),
    Column("target"),
    Column("sum / total", "", ".4f"),
    Column("largest share", "", ".1%"),
    Column("worst", "points", ".1f"),
    Column("all together", "points", ".1f"),
)


def quadrature(save: bool) -> None:
    """Shares by the rule that every batch begins with, against a rule of ten evaluations."""
    n = f"{SAMPLES} photographs"
    with recorded("quadrature", _QUADRATURE, n=n, keys=2, save=save) as rows:
        for data in (CALIBRATION, MANY):
            for name in TARGETS:
                source, case = planned(EFFICIENTNET, data, name, samples=SAMPLES)
                coarse, fine = (_attributed(case, source, rule) for rule in (1, 3))
                finer = {(a.tensor, a.role, a.cause): a.share for a in fine.attributions}
                pairs = [(a.share, finer[a.tensor, a.role, a.cause]) for a in coarse.attributions]
                off = [100 * abs(share - other) for share, other in pairs]
                largest = max(finer.values())
                rows.add(data.stem, name, 1 + coarse.residual, largest, max(off), sum(off))


def _attributed(case: Case, source: Source, rule: int) -> NetworkReport:
    executor, simulation = Executor(case.model, case.attributed_sites), Simulation(case)
    value = Value("nsr", case.output_energy, case.samples)
    errors = NetworkErrors(case, executor, value, rules=(rule, rule))
    for part in source.batches(8):
        others, frozen = simulation.run(part)
        floats = observe(executor, part)
        errors.update(part, frozen, floats, [torch.from_numpy(np.array(o)) for o in others])
    return attributed_report(case, value.metric, errors.sums)


def deletion(save: bool) -> None:
    """Output error left on other photographs when the first k sites are set to float."""
    case = lostbits.load(EFFICIENTNET, CALIBRATION, "snpe", samples=SAMPLES)
    result = lostbits.diagnose(case)
    source = lostbits.data.open_source(str(EVALUATION), _specs(case)).slice(0, _HELD_OUT)
    orders = {"attribution": _by_attribution(result, case), "local SQNR": _by_noise(result, case)}
    random = np.random.default_rng(0)
    orders |= {f"random {i}": list(random.permutation(len(case.sites))) for i in range(2)}
    coalitions = Coalitions(case)
    nothing = np.zeros((coalitions.count, 2), bool)
    floats = [coalitions.outputs(part, nothing)[0] for part in source.batches(8)]
    whole = _left(coalitions, source, floats, [])
    columns = (Column("order"), *(Column(f"k = {k}", "", ".0%") for k in _DELETED))
    n = f"{SAMPLES} photographs diagnosed under snpe, {_HELD_OUT} others judged"
    with recorded("deletion", columns, n=n, save=save) as rows:
        for name, order in orders.items():
            left = (_left(coalitions, source, floats, order[:k]) for k in _DELETED)
            rows.add(name, *(each / whole for each in left))


def _specs(case: Case) -> list[Any]:
    return input_specs(case.model)


def _by_attribution(result: Diagnosis, case: Case) -> list[int]:
    numbers = {s.key: i for i, s in enumerate(case.sites)}
    totals = result.network.values
    return [numbers[k] for k in sorted(totals, key=lambda k: -totals[k])]


def _by_noise(result: Diagnosis, case: Case) -> list[int]:
    """What other tools print: the site with the worst signal-to-noise ratio first."""
    numbers = {s.key: i for i, s in enumerate(case.sites)}
    ratios = {s.key: s.sqnr_db for s in result.sites if s.sqnr_db is not None}
    return [numbers[key] for key in sorted(ratios, key=lambda key: ratios[key])]


def _left(
    coalitions: Coalitions, source: Source, floats: Sequence[torch.Tensor], deleted: Sequence[int]
) -> float:
    """Squared error of the output with some sites in float."""
    on = np.ones((coalitions.count, 2), bool)
    on[list(deleted)] = False
    parts = zip(source.batches(8), floats, strict=True)
    return sum(float((coalitions.outputs(p, on)[0] - f).square().sum()) for p, f in parts)
