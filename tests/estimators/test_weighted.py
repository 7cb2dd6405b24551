"""Ranges by what values are worth at the output, beside a search through all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.estimators.weighted import Weighted
from lostbits.grid import Grid
from lostbits.statistics import Histogram

UNSIGNED = Grid.of(8, signed=False)
ENDS = 2.0 ** (-np.arange(36) / 10)


def seen_of(seed: int) -> tuple[Histogram, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.standard_t(3, 2000) * random.uniform(0.1, 10) + random.normal()
    seen = Histogram(x.min(keepdims=True), x.max(keepdims=True), 64).update(x.astype(np.float32))
    return seen, random.exponential(1.0, 128) * (seen.counts[0] > 0)


@given(st.integers(0, 1000), st.sampled_from([1.0, 16.0]))
def test_no_pair_of_ends_is_better(seed: int, coherence: float) -> None:
    seen, weights = seen_of(seed)
    middles = (seen.edges[0, 1:] + seen.edges[0, :-1]) / 2
    lowest, highest = min(seen.lo[0], 0.0), max(seen.hi[0], 0.0)

    def cost(lo: float, hi: float) -> float:
        step, inside = (hi - lo) / 255, (middles >= lo) & (middles <= hi)
        beyond = weights * (middles - np.clip(middles, lo, hi)) ** 2
        return float(step**2 / 12 * weights[inside].sum() + coherence * beyond.sum())

    lo, hi = Weighted(weights, coherence).ranges(seen, UNSIGNED, symmetric=False)
    least = min(cost(lowest * a, highest * b) for a in ENDS for b in ENDS)
    assert cost(lo[0], hi[0]) == pytest.approx(least, rel=1e-9)


def test_a_value_that_is_worth_nothing_may_go() -> None:
    x = np.r_[np.linspace(-1, 1, 5000), 40.0].astype(np.float32)
    seen = Histogram(np.array([-1.0]), np.array([40.0]), 2048).update(x)
    worth = seen.counts[0].astype(float)
    (kept,) = Weighted(worth * 0 + (seen.edges[0, :-1] > 30) * worth * 1e6).ranges(
        seen, UNSIGNED, symmetric=False
    )[1]
    worth[seen.edges[0, :-1] > 30] = 0.0
    lo, hi = Weighted(worth).ranges(seen, UNSIGNED, symmetric=False)
    assert kept == pytest.approx(40.0)
    # One step of the ends is a tenth of an octave.
    assert 40 * ENDS[-1] <= hi[0] < 4.0
    assert -1.0 <= lo[0] < -0.9
    assert Weighted(worth, keep_highest=True).ranges(seen, UNSIGNED, symmetric=False)[1] == 40.0
