"""Gains on few samples: what is clear, and what may be chance."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_rel

import lostbits as lb
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.judged import Difference, Judged, better, decibels
from lostbits.runtime.metrics import Baseline
from text_models import proto, random, saved

HEAVY = np.array([100.0, 1, 1, 1, 1, 1, 1, 1])  # error energy by sample: one has most of it


def judged(errors: NDArray[np.float64]) -> Judged:
    def figure(energy: float) -> Baseline:
        return Baseline(-10 * float(np.log10(energy)), None, None)

    without = [figure(errors.sum() - each) for each in errors]
    return Judged(figure(errors.sum()), without, [figure(each) for each in errors])


def less(gains: NDArray[np.float64]) -> Judged:
    """The samples, with so many decibels less error."""
    return judged(HEAVY / 10 ** (gains / 10))


def test_what_all_samples_win_is_clear_though_one_has_most_of_the_error() -> None:
    gains = np.array([0.3, 2.0, 1.5, 2.5, 2.0, 1.8, 2.2, 1.9])
    assert not Difference.of(judged(HEAVY), less(gains), decibels).clear
    assert better(judged(HEAVY), less(gains), 0.05)


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_compared_by_a_paired_t_test(seed: int) -> None:
    gains = np.random.default_rng(seed).normal(0.5, 1.0, 8)
    found = Difference.of_groups(judged(HEAVY), less(gains), decibels)
    assert found.value == pytest.approx(gains.mean())
    assert found.clear == (ttest_rel(gains, np.zeros(8), alternative="greater").pvalue < 0.1)


def test_what_half_of_them_lose_is_chance_even_where_the_whole_wins() -> None:
    gains = np.array([0.3, 2.0, -2.0, 2.0, -2.0, 2.0, -2.0, 0.0])
    assert decibels(less(gains).baseline) > decibels(judged(HEAVY).baseline) + 0.05
    assert not better(judged(HEAVY), less(gains), 0.05)


def test_what_the_whole_loses_is_no_gain() -> None:
    gains = np.array([-0.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert not better(judged(HEAVY), less(gains), 0.05)


def test_outputs_of_all_samples_together_have_one_group_and_no_error(tmp_path: Path) -> None:
    """No sample can be left out of a mean over all of them, where a single batch holds them."""
    nodes = "{ m = MatMul(x, w) y = ReduceMean<keepdims = 0>(m) }"
    model = saved(proto(f"net (float[N,3] x) => (float y) {nodes}", w=random(3, 3)), tmp_path)
    case = lb.load(model, data={"x": random(8, 3)}, target="onnxruntime", hold_out=True)
    judge = Judge(case.model, case.origin.judged.source)  # type: ignore[union-attr]
    assert judge.judged(case) == Judged(judge(case))
