"""What one look at the data remembers, against what two would."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lostbits.statistics import Histogram, Tally
from lostbits.statistics.activation_counts import Kept
from lostbits.workers.record import flattened, rebuilt

Floats = NDArray[np.float32]
laws = settings(deadline=None, max_examples=60, derandomize=True)
LARGEST = float(np.finfo(np.float32).max)
everything = st.floats(-LARGEST, LARGEST, width=32)


def feature_map(*shape: int, seed: int = 0) -> Floats:
    """Rectified in part, each channel of another size, one of nothing but zeros."""
    random = np.random.default_rng(seed)
    sizes = random.permutation(np.geomspace(1e-4, 1e4, shape[1])).reshape(-1, 1, 1)
    x = random.laplace(0, 1, shape) * sizes
    x[:, 1] = np.maximum(x[:, 1], 0)
    x[:, 2] = 0
    made: Floats = x.astype(np.float32)
    return made


@pytest.mark.slow
@laws
@given(x=arrays(np.float32, (3, 2, 4), elements=everything))
def test_extremes_and_zeros_are_those_of_the_values(x: Floats) -> None:
    seen = Tally(1).update(x)
    np.testing.assert_array_equal(seen.lo, x.min(axis=(0, 2)))
    np.testing.assert_array_equal(seen.hi, x.max(axis=(0, 2)))
    assert not np.signbit(seen.lo[seen.lo == 0]).any()
    whole = seen.whole(float(x.min()), float(x.max()), 16)
    assert (whole.size, whole.zeros[0]) == (x.size, np.count_nonzero(x == 0))
    np.testing.assert_array_equal(seen.channels(8).zeros, np.count_nonzero(x == 0, axis=(0, 2)))


@laws
@given(x=arrays(np.float32, (1, 1, 30), elements=everything), bins=st.sampled_from([1, 16, 512]))
def test_no_value_is_counted_far_from_where_it_lies(x: Floats, bins: int) -> None:
    """Of the histogram's values as many lie below every edge as of those a fine bin further on."""
    made = Tally(1).update(x).whole(float(x.min()), float(x.max()), bins)
    fine = 2.0 ** np.frexp(float(made.absmax[0]))[1] / 32768
    below = np.cumsum(made.counts[0])[:-1]
    inner = made.edges[0, 1:-1]
    values = np.sort(x.astype(np.float64).ravel())
    assert (below >= np.searchsorted(values, inner - fine, "left")).all()
    assert (below <= np.searchsorted(values, inner + fine, "right")).all()


@pytest.mark.slow
@laws
@given(
    x=arrays(np.float32, (3, 2, 4), elements=everything),
    y=arrays(np.float32, (2, 2, 3), elements=everything),
)
def test_what_is_kept_comes_back_and_can_be_added_to(x: Floats, y: Floats) -> None:
    seen = Tally(1).update(x)
    again = Tally(1).restore(rebuilt(Kept, flattened(seen.state())))
    for tally in (seen, again):
        tally.merge(Tally(1).update(y))
    assert flattened(again.state()).keys() == flattened(seen.state()).keys()
    for name, array in flattened(seen.state()).items():
        np.testing.assert_array_equal(flattened(again.state())[name], array)
    Tally(1).restore(Tally(1).state())  # of nothing


def test_few_values_are_counted_in_another_bin_than_numpy_does() -> None:
    x = feature_map(8, 6, 50, 50)
    seen = Tally(1).update(x)
    assert displaced(seen.whole(float(x.min()), float(x.max()), 2048), [x]).max() < 0.01
    assert displaced(seen.channels(32), list(x.swapaxes(0, 1))).max() < 0.03


def displaced(made: Histogram, rows: list[Floats]) -> NDArray[np.float64]:
    """Which share of each row lies in another bin."""
    shares = []
    for counts, edges, x in zip(made.counts, made.edges, rows, strict=True):
        expected = np.histogram(x.astype(np.float64), edges)[0] if x.any() else counts
        shares.append(np.abs(np.cumsum(counts - expected)).sum() / x.size)
    return np.array(shares)


def test_values_on_edges_of_both_kinds_of_bins_count_outwards_below_zero() -> None:
    x = np.array([-8, -7, -1, -0.0, 0, 0, 1, 3, 4, 8], np.float32).reshape(1, 1, -1)
    made = Tally(1).update(x).whole(-8.0, 8.0, 8)
    assert made.zeros[0] == 3
    np.testing.assert_array_equal(made.counts[0, 8:], [3, 1, 0, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(made.counts[0, :8], [2, 0, 0, 0, 0, 0, 1, 0])


def test_the_range_of_a_group_may_be_wider_than_what_was_seen() -> None:
    x = feature_map(2, 4, 9, 9)
    assert displaced(Tally(1).update(x).whole(-1e6, 1e6, 2048), [x]).max() < 0.01


@pytest.mark.parametrize("shape", [(8, 5, 40, 40), (8, 5, 3, 3), (8, 5, 1, 1)])
def test_short_rows_and_long_ones_are_counted_alike(shape: tuple[int, ...]) -> None:
    x = feature_map(*shape)
    one, all_rows = Tally(1).update(x), Tally(None).update(x)
    apart = Tally(1)
    for sample in x:
        apart.update(sample[None])
    np.testing.assert_equal(apart.state(), one.state())
    np.testing.assert_equal(all_rows.state().whole, one.state().whole)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_never_forgotten(bad: float) -> None:
    x = feature_map(2, 4, 5, 5)
    x[1, 3, 2, 2] = bad
    seen = Tally(1).update(x).update(feature_map(2, 4, 5, 5))
    assert not seen.finite
    assert not Tally(1).update(feature_map(2, 4, 5, 5)).merge(seen).finite
    assert not (np.isfinite(seen.lo[3]) and np.isfinite(seen.hi[3]))


def test_what_is_sent_is_short_and_comes_back_whole() -> None:
    seen = Tally(1).update(feature_map(8, 6, 50, 50))
    sent = pickle.dumps(seen, 5)
    assert len(sent) < Tally.bytes(6) / 4
    back = pickle.loads(sent)
    np.testing.assert_equal(back.state(), seen.state())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(Tally(1))).lo, [np.inf])


def test_a_sum_waits_in_narrow_numbers_and_goes_on_growing() -> None:
    first, then = (feature_map(2, 4, 8, 8, seed=n) for n in (1, 2))
    merged = Tally(1).merge(Tally(1).update(first))
    assert merged._whole.counts.dtype == np.uint16 and merged._channels.counts.dtype == np.uint8
    both = Tally(1).update(first).update(then)
    assert pickle.dumps(merged.update(then).state()) == pickle.dumps(both.state())
