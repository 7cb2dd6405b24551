"""Laws of every statistic, and the error model of the histogram against samples."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lostbits import statistics
from lostbits.grid import Grid, affine_from_range, split_error
from lostbits.statistic import Statistic
from lostbits.statistics import Extrema, Histogram, Tally
from lostbits.workers.record import flattened

Batch = NDArray[np.float32]
Make = Callable[[], Statistic[Any]]
CHANNELS = 3
laws = settings(deadline=None, max_examples=60, derandomize=True)
numbers = st.floats(-1e6, 1e6, width=32).map(lambda v: 0.0 if abs(v) < 1e-20 else v)
batches = st.lists(
    st.integers(0, 4).flatmap(lambda n: arrays(np.float32, (n, CHANNELS, 2), elements=numbers)),
    min_size=1,
    max_size=6,
)


def f32(*values: Any) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def makers(parts: list[Batch], axis: int | None) -> dict[type[Statistic[Any]], Make]:
    """How each statistic is begun for these batches."""
    seen = Extrema(axis)
    for part in parts:
        seen.update(part)
    lo, hi = (np.where(np.isfinite(v), v, 0.0) for v in (seen.lo, seen.hi))
    return {
        Extrema: lambda: Extrema(axis),
        Histogram: lambda: Histogram(lo, hi, 64, axis),
        Tally: lambda: Tally(axis),
    }


def fold(make: Make, parts: list[Batch]) -> Statistic[Any]:
    result = make()
    for part in parts:
        result.update(part)
    return result


def assert_same(a: Statistic[Any], b: Statistic[Any]) -> None:
    one, two = flattened(a.state()), flattened(b.state())
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("kind", statistics.ALL)
@laws
@given(parts=batches, cut=st.integers(0, 6))
def test_splitting_reordering_and_merging_change_nothing(
    kind: type[Statistic[Any]], axis: int | None, parts: list[Batch], cut: int
) -> None:
    whole = np.concatenate(parts)
    if not whole.size:
        return
    make = makers(parts, axis)[kind]
    expected = make().update(whole)
    assert_same(fold(make, parts), expected)
    assert_same(fold(make, parts[::-1]), expected)
    assert_same(fold(make, parts[:cut]).merge(fold(make, parts[cut:])), expected)
    assert_same(fold(make, parts[cut:]).merge(fold(make, parts[:cut])), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", statistics.ALL)
@laws
@given(parts=batches)
def test_what_was_given_is_not_changed(kind: type[Statistic[Any]], parts: list[Batch]) -> None:
    if not sum(part.size for part in parts):
        return
    make = makers(parts, 1)[kind]
    before = copy.deepcopy(parts)
    other = fold(make, parts)
    state = copy.deepcopy(other.state())
    make().merge(other)
    np.testing.assert_equal(parts, before)
    np.testing.assert_equal(other.state(), state)


def test_extremes_are_those_of_the_data() -> None:
    x = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    seen = Extrema(axis=1).update(x)
    np.testing.assert_array_equal(seen.lo, x.min(axis=(0, 2)))
    np.testing.assert_array_equal(seen.hi, x.max(axis=(0, 2)))
    assert Extrema().update(x).include(f32(-99), f32(3)).lo == -99
    assert Extrema().update(x[:0]).lo == np.inf


def test_a_histogram_counts_values_where_they_lie() -> None:
    x = f32(-1, -0.999, -0.26, -0.24, 0, 0, 0.1, 0.26, 0.5, 0.99, 1.0)
    seen = Histogram(f32(-1.0), f32(1.0), bins=4).update(x)
    np.testing.assert_array_equal(seen.counts, [[2, 0, 1, 1, 3, 1, 1, 2]])
    np.testing.assert_array_equal(seen.edges, [np.linspace(-1, 1, 9)])
    assert (seen.size, seen.zeros.tolist(), seen.live[0, 4]) == (11, [2], 1)


def test_a_histogram_agrees_with_numpy_away_from_edges() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=50_000).astype(np.float32)
    top = np.abs(x).max()
    position = x.astype(np.float64) / top * 512
    x = x[np.abs(position - np.rint(position)) > 1e-3]
    seen = Histogram(f32(-top), f32(top), bins=512).update(x)
    expected = np.histogram(x.astype(np.float64), bins=1024, range=(-float(top), float(top)))[0]
    np.testing.assert_array_equal(seen.counts[0], expected)


def test_each_channel_has_its_own_row() -> None:
    x = np.random.default_rng(2).normal(size=(3, 4, 50)).astype(np.float32)
    x[:, 2] = 0
    lo, hi = x.min(axis=(0, 2)), x.max(axis=(0, 2))
    seen = Histogram(lo, hi, bins=16, axis=1).update(x)
    for row in range(4):
        alone = Histogram(lo[[row]], hi[[row]], bins=16).update(x[:, row])
        np.testing.assert_array_equal(seen.counts[row], alone.counts[0])
    assert seen.zeros.tolist() == [0, 0, 150, 0]
    assert seen.live[2].sum() == 0


def test_channels_that_lie_innermost_count_as_any_others() -> None:
    x = np.random.default_rng(3).normal(size=(5, 30, 4)).astype(np.float32)
    lo, hi = x.min(axis=(0, 1)), x.max(axis=(0, 1))
    seen = Histogram(lo, hi, bins=16, axis=-1).update(x)
    assert_same(seen, Histogram(lo, hi, bins=16, axis=0).update(np.moveaxis(x, 2, 0)))
    assert seen.counts.sum(axis=1).tolist() == [150] * 4


def test_histograms_of_different_ranges_do_not_merge() -> None:
    for other in (Histogram(f32(-2.0), f32(1.0)), Histogram(f32(-1.0), f32(1.0), bins=64)):
        with pytest.raises(ValueError, match="differ"):
            Histogram(f32(-1.0), f32(1.0)).merge(other)


GRIDS = [
    (Grid.of(bits, signed=symmetric), symmetric)
    for bits in (3, 8, 12)
    for symmetric in (True, False)
]


@pytest.mark.parametrize(("grid", "symmetric"), GRIDS)
@pytest.mark.parametrize("ends", [(-1.0, 0.8), (-0.3, 0.2), (0.0, 0.5), (-1.2, 1.5)])
def test_distortion_is_exact_for_values_spread_evenly_in_each_bin(
    grid: Grid, symmetric: bool, ends: tuple[float, float]
) -> None:
    bins, per_bin = 16, 20_000
    middles = (np.arange(2 * bins * per_bin) + 0.5) / (bins * per_bin) - 1
    seen = Histogram(f32(-1.0), f32(1.0), bins)
    seen.counts[0] = np.arange(2 * bins) % 5 * per_bin  # any counts will do
    weight = np.repeat(seen.counts[0] / per_bin, per_bin)
    affine = affine_from_range(*ends, grid, symmetric=symmetric)
    lo, hi, scale = (
        np.atleast_1d(v).astype(np.float64) for v in (affine.lo, affine.hi, affine.scale)
    )
    error = seen.distortion(lo, hi, scale)
    limited = np.clip(middles, lo, hi)
    rounded = np.rint(limited / scale) * scale
    assert error.round[0] == pytest.approx(weight @ (rounded - limited) ** 2, rel=2e-5)
    assert error.clip[0] == pytest.approx(weight @ (middles - limited) ** 2, rel=2e-5)
    assert error.total == error.round + error.clip


@pytest.mark.parametrize(("grid", "symmetric"), GRIDS)
@pytest.mark.parametrize("shrink", [1.0, 0.5, 0.1])
def test_distortion_is_the_error_of_the_samples(grid: Grid, symmetric: bool, shrink: float) -> None:
    rng = np.random.default_rng(3)
    x = np.maximum(rng.normal(0.5, 1, size=400_000), -0.7).astype(np.float32)
    x[x < -0.6] = 0  # a third of a rectified tensor is exactly zero
    seen = Histogram(f32(x.min()), f32(x.max())).update(x)
    affine = affine_from_range(shrink * x.min(), shrink * x.max(), grid, symmetric=symmetric)
    split = split_error(x, affine)
    error = seen.distortion(*(np.atleast_1d(v) for v in (affine.lo, affine.hi, affine.scale)))
    assert error.round[0] == pytest.approx(split.round, rel=0.01)
    assert error.clip[0] == pytest.approx(split.clip, rel=0.01, abs=1e-3)


def test_distortion_takes_many_candidates_at_once() -> None:
    x = np.random.default_rng(4).normal(size=(3, 1000)).astype(np.float32)
    seen = Histogram(x.min(1), x.max(1), bins=32, axis=0).update(x)
    tops = np.linspace(0.5, 3, 7)[:, None] * np.ones(3)
    error = seen.distortion(-tops, tops, tops / 8).total
    assert error.shape == (7, 3)
    for i in (0, 6):
        np.testing.assert_allclose(error[i], seen.distortion(-tops[i], tops[i], tops[i] / 8).total)


def test_zeros_cost_nothing() -> None:
    seen = Histogram(f32(0.0), f32(1.0), bins=8).update(np.zeros(100, np.float32))
    error = seen.distortion(np.zeros(1), np.ones(1), np.full(1, 1 / 3))
    assert error.total == 0


def test_zeros_in_a_wide_range_stay_where_they_are() -> None:
    """A tensor of zeros shares the range of another: its own bins are narrower than any number."""
    zeros = Tally(None)
    zeros.update(np.zeros((4, 8), np.float32))
    seen = zeros.whole(-3.0, 1e6, 64)
    assert seen.counts.sum() == 32 and seen.counts[0, 64] == 32
