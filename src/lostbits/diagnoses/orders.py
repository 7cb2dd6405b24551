"""Which order of the sites restores most, measured.

No ranking that takes few runs is the best on every network. Own effects are seen near the float
network, and miss what errors do together; shares and slopes are seen at the quantized one, and
miss what other errors hide. So a network that has lost much gets the order whose first sites
restore most. One that has lost little has no use for a better order, and the runs are saved.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.cancelling import corrected
from lostbits.diagnoses.own_effects import floats, most_felt, ordered
from lostbits.diagnoses.restore import FALLEN_DB, Restored
from lostbits.results.diagnosis import NetworkReport
from lostbits.runtime.compare_networks import observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.measured import measured
from lostbits.runtime.metrics import Value
from lostbits.runtime.path_gradients import slopes
from lostbits.runtime.simulation import Simulation

_TRIED = (3, 10)  # first sites of an order that are set to float
_ENOUGH_DB = 20.0  # a hundredth of the power of the output is error
_RESTORED_DB = 60.0  # what restores more is as good


def best_order(
    restored: Restored, network: NetworkReport, source: Source, batch: int
) -> Sequence[str]:
    """Keys of the sites, those first that restore most.

    A network that has fallen gets the order by own effects: what is seen where nothing of the
    output is left misleads.

    Args:
        restored: Runs the network.
        network: The attribution, an order of its own.
        source: Samples to make the others of.
        batch: So many run at a time, at most.
    """
    case = restored.case
    felt, own = most_felt(case, source, batch)
    if not FALLEN_DB <= restored.decibels(()) < _ENOUGH_DB:
        return felt
    others = [scores for scores in (network.values, steepest(case, source, batch)) if scores]
    orders = [felt, own, *(_whole(case, scores) for scores in others)]
    return max(orders, key=lambda order: _restores(restored, order))


def _whole(case: Case, scores: Mapping[str, float]) -> list[str]:
    """Every site, those without a score as if it were 0."""
    known = {site.key: scores.get(site.key, 0.0) for site in case.attributed_sites}
    return ordered(known, corrected(case))


def _restores(restored: Restored, order: Sequence[str]) -> float:
    return sum(min(restored.decibels(order[:count]), _RESTORED_DB) for count in _TRIED)


def steepest(case: Case, source: Source, batch: int) -> dict[str, float]:
    """Slope of the output error along each site's error, at the quantized network.

    That is the first term of Taylor's series. A weight and the correction in its bias have that of
    both; empty where no gradient passes.
    """
    case, pairs = measured(case), corrected(case)
    executor, simulation = Executor(case.model, case.attributed_sites), Simulation(case)
    value = Value("nsr", case.output_energy, case.samples, case.compared)
    found: dict[str, float] = defaultdict(float)
    for part in source.batches(batch):
        plain = floats(observe(executor, part))
        if executor.opaque:
            return {}
        frozen = simulation.run(part)[1]

        def error(outputs: list[torch.Tensor], plain: Any = plain, part: Any = part) -> Any:
            return value(plain, floats([part.real(output) for output in outputs]), part)

        for (key, kind), slope in slopes(executor, part.feeds, frozen, 1.0, error).items():
            if kind == "total":
                found[pairs.get(key, key)] += float(slope.sum())
    return {site.key: found[pairs.get(site.key, site.key)] for site in case.attributed_sites}
