"""Orders of the sites for the restore curve, against what setting sites to float restores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.orders import best_order, steepest
from lostbits.diagnoses.own_effects import most_felt
from lostbits.diagnoses.restore import FALLEN_DB, Restored
from lostbits.diagnoses.settings import Settings
from lostbits.runtime.held_out_figures import Judge
from lostbits.workers.progress import silent
from small_nets import linear, make, mlp, samples


def judged(case: Case, source: Source) -> Restored:
    return Restored(case, Judge(case.model, source))


def with_ranges(case: Case, factor: float) -> Case:
    """Activations whose ranges are so many times as wide."""
    sites = {site.key for site in case.attributed_sites if site.role == "activation"}
    plan = {
        key: replace(a, scale=np.asarray(a.scale * factor, np.float32)) if key in sites else a
        for key, a in case.plan.items()
    }
    return replace(case, plan=plan)


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_the_slope_of_one_error_of_a_linear_network_is_twice_the_error(
    tmp_path: Path, batch: int
) -> None:
    """The error is a square: v(t) = t * t * v(1)."""
    source, case = make(tmp_path, linear(3, (6, 5, 4)), samples(3, 16, 6))
    for site in case.attributed_sites:
        alone = replace(case, plan={site.key: case.plan[site.key]})
        restored = judged(alone, source).decibels(())
        found = steepest(alone, source, batch)
        assert found[site.key] == pytest.approx(2 * 10 ** (-restored / 10), rel=1e-3, abs=1e-12)
        assert not any(value for key, value in found.items() if key != site.key)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_restores_at_least_what_own_effects_do(tmp_path: Path, seed: int) -> None:
    source, fine = make(tmp_path, mlp(seed, (6, 9, 9, 9, 4)), samples(seed, 16, 6))
    case = with_ranges(fine, 20.0)
    run = Run(case, source, Settings(), None)
    run.diagnose(silent)
    restored = judged(case, source)
    assert FALLEN_DB < restored.decibels(()) < 20
    best = best_order(restored, run.network(), source, 4)
    felt, own = most_felt(case, source, 4)
    assert sorted(best) == sorted(felt) == sorted(own)
    counted = {
        name: sum(min(restored.decibels(order[:k]), 60.0) for k in (3, 10))
        for name, order in (("best", best), ("felt", felt), ("own", own))
    }
    assert counted["best"] == max(counted.values())


def test_a_network_that_has_lost_little_costs_no_run(tmp_path: Path) -> None:
    source, case = make(tmp_path, mlp(5), samples(5, 16, 6))
    run = Run(case, source, Settings(), None)
    run.diagnose(silent)
    restored = judged(case, source)
    assert restored.decibels(()) > 20
    assert best_order(restored, run.network(), source, 4) == most_felt(case, source, 4)[0]
    assert restored.runs == 1
