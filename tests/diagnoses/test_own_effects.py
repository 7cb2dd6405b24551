"""What a site's own error does to the outputs, against networks with that site alone quantized."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lostbits.case import Case, constant_of
from lostbits.data import Source
from lostbits.diagnoses import own_effects as module
from lostbits.diagnoses.own_effects import most_felt, own_effects
from lostbits.diagnoses.restore import in_float
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.path_gradients import slopes_of_each
from small_nets import classical_ops, linear, make, mlp, samples


def alone(case: Case, source: Source, key: str) -> float:
    """Energy of the output error against the output, where one site alone is quantized."""
    others = [site.key for site in case.attributed_sites if site.key != key]
    decibels = Judge(case.model, source)(in_float(case, others)).sqnr_db
    return 0.0 if decibels is None else float(10 ** (-decibels / 10))


def test_of_one_linear_output_it_is_exact(tmp_path: Path) -> None:
    """One sample has one output, whose random sign is lost in the square."""
    source, case = make(tmp_path, linear(0, (6, 5, 1)), samples(0, 12, 6))
    found = own_effects(case, source, 1)
    assert len(found) == len(case.attributed_sites) >= 4
    for key, effect in found.items():
        assert effect == pytest.approx(alone(case, source, key), rel=1e-3, abs=1e-12)


def test_of_many_outputs_it_is_an_estimate_without_bias(tmp_path: Path) -> None:
    """Many draws: 800 samples one by one."""
    source, case = make(tmp_path, linear(1, (6, 5, 8)), samples(1, 800, 6))
    found = own_effects(case, source, 1)
    expected = {key: alone(case, source, key) for key in found}
    ratios = [found[key] / expected[key] for key in found if expected[key]]
    assert np.abs(np.array(ratios) - 1).max() < 0.3


@pytest.mark.parametrize(
    ("count", "batch", "draws"),
    [(16, 4, [4] * 4), (16, 2, [2] * 8), (16, 1, [1] * 16), (3, 1, [4] * 3)],
)
def test_smaller_batches_draw_no_more(
    count: int, batch: int, draws: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = make(tmp_path, mlp(2), samples(2, count, 6))
    found: list[int] = []

    def counted(*told: Any) -> Any:
        found.append(len(told[-1]))
        return slopes_of_each(*told)

    monkeypatch.setattr(module, "slopes_of_each", counted)
    assert own_effects(case, source, batch).keys() == {s.key for s in case.attributed_sites}
    assert found == draws


def test_the_order_is_that_of_measured_runs(tmp_path: Path) -> None:
    source, case = make(tmp_path, mlp(2), samples(2, 64, 6))
    keys = [site.key for site in case.attributed_sites]
    measured = {key: alone(case, source, key) for key in keys}
    order, own = most_felt(case, source)
    assert sorted(own) == sorted(keys)
    assert sorted(order) == sorted(keys)
    first = max(measured, key=lambda key: measured[key])
    assert measured[order[0]] > measured[first] / 2


def test_a_weight_and_the_correction_in_its_bias_have_one_effect(tmp_path: Path) -> None:
    """A bias that takes back all of what its weight's error does leaves nothing of either."""
    source, case = make(tmp_path, mlp(3, (6, 1), relu=False), np.ones((8, 6), np.float32))
    (weight,) = (s for s in case.attributed_sites if s.role == "weight")
    (bias,) = (s for s in case.attributed_sites if s.role == "bias")
    assert own_effects(case, source)[weight.key] > 1e-9
    plain = case.quantized_constant(bias)
    error = case.quantized_constant(weight) - constant_of(case.model, weight)
    plan = {key: affine for key, affine in case.plan.items() if key != bias.key}
    written = {bias.tensor: (plain - error.sum()).astype(np.float32)}
    corrected = replace(case, plan=plan, written=written)
    found = own_effects(corrected, source)
    assert found[weight.key] == found[bias.key] < 1e-3 * own_effects(case, source)[weight.key]
    for order in most_felt(corrected, source):
        assert order.index(bias.key) == order.index(weight.key) + 1


def test_where_no_gradient_passes_the_errors_of_the_tensors_order_them(tmp_path: Path) -> None:
    source, case = make(tmp_path, classical_ops("Normalizer"), samples(4, 16, 6))
    found = own_effects(case, source)
    assert set(found) == {site.key for site in case.attributed_sites}
    assert min(found.values()) >= 0 and max(found.values()) > 0
