"""Choosing attempts: the same sets as trying all of them."""

import time
from itertools import combinations
from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.attempts.knapsack import Option, best, worth

KINDS = ("network", "ranges", "weights", "precision")
# Few values, so that ties are common; halves, so that sums are exact.
OPTIONS = st.lists(
    st.builds(
        Option,
        st.sampled_from(KINDS),
        st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0]),
        st.integers(0, 12).map(lambda n: n / 2),
    ),
    max_size=9,
)


def by_brute_force(options: list[Option], room: float) -> tuple[int, ...]:
    """All subsets: the most worth, then the most attempts, then the first in order."""
    numbers = range(len(options))
    sets = (some for n in numbers for some in combinations(numbers, n + 1))
    fitting = [s for s in sets if fsum(options[i].cost for i in s) < room]
    return max(fitting, key=lambda s: (worth([options[i] for i in s]), len(s)), default=())


@pytest.mark.slow
@given(OPTIONS, st.integers(0, 40).map(lambda n: n / 2))
def test_the_choice_is_that_of_all_subsets(options: list[Option], room: float) -> None:
    assert best(options, room) == by_brute_force(options, room)


def test_thirty_attempts_are_chosen_from_at_once() -> None:
    random = np.random.default_rng(0)
    options = [
        Option(KINDS[i % 4], float(random.uniform(0.1, 9)), float(random.uniform(1, 99)))
        for i in range(30)
    ]
    start = time.perf_counter()
    chosen = best(options, 300.0)
    assert time.perf_counter() - start < 5  # all subsets are a thousand million
    assert chosen and fsum(options[i].cost for i in chosen) < 300
    assert best(options, float("inf")) == tuple(range(30))
