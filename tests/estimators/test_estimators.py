"""Laws of every range estimator, golden values, and comparisons with plain definitions."""

import copy
import struct
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import erf, ndtri

from lostbits import estimators
from lostbits.errors import TargetError
from lostbits.estimator import Estimator
from lostbits.estimators import (
    AciqGauss,
    AciqLaplace,
    Entropy,
    MeanSquaredError,
    MinMax,
    Percentile,
    SnpeEnhanced,
    enhanced,
    estimator,
)
from lostbits.estimators.aciq import bit_allocation, gauss_ratio, laplace_ratio
from lostbits.estimators.entropy import divergences
from lostbits.estimators.mse import best_ranges
from lostbits.grid import Grid, Range, affine_from_range, split_error
from lostbits.statistics import Histogram

Floats = NDArray[np.float64]
INT8, UINT8 = Grid.of(8, signed=True), Grid.of(8, signed=False)
INT4, UINT4 = Grid.of(4, signed=True), Grid.of(4, signed=False)
laws = settings(deadline=None, max_examples=30, derandomize=True)
numbers = st.floats(-1e6, 1e6, width=32).map(lambda v: 0.0 if abs(v) < 1e-20 else v)
samples = arrays(np.float32, st.integers(1, 60), elements=numbers)


def f32(*values: Any) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def histogram(x: NDArray[np.floating], bins: int = 2048) -> Histogram:
    x = x.astype(np.float32)
    return Histogram(f32(x.min()), f32(x.max()), bins).update(x)


def rows(x: NDArray[np.floating], bins: int = 64) -> Histogram:
    x = x.astype(np.float32)
    return Histogram(x.min(axis=1), x.max(axis=1), bins, axis=0).update(x)


def squared_error(x: NDArray[np.float32], r: Range, grid: Grid, symmetric: bool) -> float:
    return split_error(x, affine_from_range(r.lo, r.hi, grid, symmetric=symmetric)).total


def distribution(kind: str, size: int = 20_000, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    x = rng.laplace(size=size) if "laplace" in kind else rng.normal(size=size)
    if "relu" in kind:
        x = np.maximum(x, 0)
    if "shifted" in kind:
        x += 2
    if "outliers" in kind:
        x = np.r_[x, 25.0, -19.0, 30.0]
    return x.astype(np.float32)


KINDS = ["gauss", "laplace", "relu", "laplace relu", "shifted", "gauss outliers", "relu outliers"]


# ---- every member ---------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("member", estimators.ALL, ids=lambda e: e.name)
@laws
@given(x=samples, side=st.sampled_from([-1, 0, 1]), grid=st.sampled_from([INT8, UINT8, INT4]))
def test_ranges_are_usable(
    member: Estimator, symmetric: bool, x: NDArray[np.float32], side: int, grid: Grid
) -> None:
    seen = histogram(np.abs(x) * side if side else x, bins=64)
    before = copy.deepcopy(seen.state())
    r = member(seen, grid, symmetric=symmetric)
    assert r.lo <= 0 <= r.hi
    assert member(seen, grid, symmetric=symmetric) == r
    np.testing.assert_equal(seen.state(), before)
    affine = affine_from_range(r.lo, r.hi, grid, symmetric=symmetric)
    assert affine.scale > 0
    assert grid.qmin <= affine.zero_point <= grid.qmax
    assert affine.fake_quantize(f32(0.0)) == 0


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("member", estimators.ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("x", [np.zeros(500), np.full(500, 3.0), np.full(500, -3.0)])
def test_constants_are_kept(member: Estimator, symmetric: bool, x: Floats) -> None:
    r = member(histogram(x), INT8, symmetric=symmetric)
    if not x.any():
        assert r == Range(0.0, 0.0)
    affine = affine_from_range(*r, INT8, symmetric=symmetric)
    np.testing.assert_allclose(affine.fake_quantize(x.astype(np.float32)), x, rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("member", estimators.ALL, ids=lambda e: e.name)
@settings(max_examples=60, deadline=None)
@given(
    x=st.one_of(
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=3),
        st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=3),
        st.integers(1, 300).map(lambda n: [1.0] * n),
        st.integers(1, 300).map(lambda n: [0.0] * n),
    ),
    magnitude=st.sampled_from([1e-38, 1e-30, 1e-6, 1.0, 1e6, 1e30]),
    side=st.sampled_from([-1, 0, 1]),
    grid=st.sampled_from([INT8, UINT8, INT4]),
)
def test_few_or_equal_values_of_any_size_have_a_range(
    member: Estimator, symmetric: bool, x: list[float], magnitude: float, side: int, grid: Grid
) -> None:
    values = f32(*x) * np.float32(magnitude)
    values = np.abs(values) * np.float32(side) if side else values
    r = member(histogram(values), grid, symmetric=symmetric)
    # Half a code is not asked for: methods may clip. But no range is turned over, endless, or of
    # another order than the values.
    assert np.isfinite(r).all()
    assert r.lo <= 0 <= r.hi
    largest = float(np.abs(values).max())
    assert max(-r.lo, r.hi) <= largest * 2.1
    assert symmetric or side <= 0 or r.lo == 0
    affine = affine_from_range(r.lo, r.hi, grid, symmetric=symmetric)
    back = affine.fake_quantize(values)
    assert np.isfinite(back).all()
    assert float(np.abs(back).max()) <= largest * 2.3


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("member", estimators.ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("kind", KINDS)
def test_ranges_scale_and_mirror_with_the_data(
    member: Estimator, symmetric: bool, kind: str
) -> None:
    x = distribution(kind)
    r = member(histogram(x), INT8, symmetric=symmetric)
    assert member(histogram(x * 1024), INT8, symmetric=symmetric) == (r.lo * 1024, r.hi * 1024)
    # Bins are closed on one side, and a zero point that ends in .5 is rounded away from the low
    # end: a mirrored tensor may come out one bin or a few steps apart, no more.
    mirrored = member(histogram(-x), INT8, symmetric=symmetric)
    np.testing.assert_allclose([mirrored.hi, -mirrored.lo], [-r.lo, r.hi], rtol=0.08, atol=0.02)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("member", estimators.ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("kind", KINDS)
def test_ranges_stay_inside_the_extremes(member: Estimator, symmetric: bool, kind: str) -> None:
    x = distribution(kind)
    r = member(histogram(x), INT8, symmetric=symmetric)
    top = np.abs(x).max() * (2048.5 / 2048 if member.name == "entropy" else 1 + 1e-9)
    if member.name == "snpe_enhanced" and symmetric:
        top *= 1.01 * 127 / 127.5
    if symmetric or member.name == "mse":  # a symmetric grid has the other side in any case
        assert max(-r.lo, r.hi) <= top
    else:
        assert min(x.min(), 0) <= r.lo
        assert max(x.max(), 0) >= r.hi


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("member", estimators.ALL, ids=lambda e: e.name)
def test_every_row_has_the_range_that_it_has_alone(member: Estimator, symmetric: bool) -> None:
    """Within what the search for the least error may miss where one row has a simpler one.

    It looks at the histogram, so that is where both come close; values fall between its bins.
    """
    kinds = [distribution(kind, 3000) for kind in KINDS if "outliers" not in kind]
    x = np.stack([*kinds, np.zeros(3000, np.float32), 1e3 * kinds[0]])
    seen = rows(x)
    lo, hi = member.ranges(seen, UINT8, symmetric=symmetric)
    assert lo.shape == hi.shape == (len(x),)
    for number, row in enumerate(seen.by_row()):
        np.testing.assert_array_equal(row.counts, rows(x[[number]]).counts)
        alone = member(row, UINT8, symmetric=symmetric)
        together = Range(min(float(lo[number]), 0.0), max(float(hi[number]), 0.0))
        if member.name != "mse":
            assert together == alone
        both = np.array([together, alone])
        grids = affine_from_range(both[:, 0], both[:, 1], UINT8, symmetric=symmetric, axis=0)
        ends = (end[:, None] for end in (grids.lo, grids.hi, grids.scale))
        ours, theirs = row.distortion(*ends).total[:, 0]
        assert ours == pytest.approx(theirs, rel=0.02)
        ours, theirs = (squared_error(x[number], r, UINT8, symmetric) for r in (together, alone))
        assert ours == pytest.approx(theirs, rel=0.1)


def test_names_are_unique_and_found() -> None:
    names = [e.name for e in estimators.ALL]
    assert names == [
        "min_max",
        "percentile",
        "entropy",
        "mse",
        "aciq_laplace",
        "aciq_gauss",
        "snpe_enhanced",
    ]
    assert [estimator(name) for name in names] == list(estimators.ALL)
    assert len({e.title for e in estimators.ALL}) == len(names)


def test_an_unknown_name_is_refused_with_advice() -> None:
    with pytest.raises(TargetError, match=r"T002: .*entorpy.*did you mean 'entropy'") as caught:
        estimator("entorpy")
    assert caught.value.code == "T002"


# ---- min-max and percentile -----------------------------------------------------------------


def test_min_max_is_the_extremes_and_zero() -> None:
    assert MinMax()(histogram(f32(-2, 3)), INT8, symmetric=True) == (-2.0, 3.0)
    assert MinMax()(histogram(f32(2, 3)), INT8, symmetric=False) == (0.0, 3.0)
    assert MinMax()(histogram(f32(-2, -3)), INT8, symmetric=False) == (-3.0, 0.0)


@pytest.mark.parametrize("cut_ppm", [0, 1, 100, 1000, 50_000, 499_999])
@pytest.mark.parametrize("kind", KINDS)
def test_percentile_is_numpys_within_one_bin(kind: str, cut_ppm: int) -> None:
    x = distribution(kind)
    seen, cut, width = histogram(x), x.size * cut_ppm // 1_000_000, np.abs(x).max() / 2048
    r = Percentile(cut_ppm)(seen, INT8, symmetric=False)
    low, high = np.sort(x)[[cut, x.size - 1 - cut]]
    assert min(low, 0) - width * 1.001 <= r.lo <= min(low, 0)
    assert max(high, 0) + width * 1.001 >= r.hi >= max(high, 0)
    magnitude = np.sort(np.abs(x))[x.size - 1 - cut]
    r = Percentile(cut_ppm)(seen, INT8, symmetric=True)
    assert magnitude <= max(-r.lo, r.hi) <= magnitude + width * 1.001


def test_percentile_agrees_with_numpys_quantile() -> None:
    x = distribution("laplace", 1_000_000)
    r = Percentile(1000)(histogram(x), INT8, symmetric=False)
    np.testing.assert_allclose(r, np.quantile(x, [0.001, 0.999]), atol=np.abs(x).max() / 2048)


def test_percentile_zero_is_min_max() -> None:
    for kind in KINDS:
        seen = histogram(distribution(kind))
        assert Percentile(0)(seen, INT8, symmetric=False) == MinMax()(seen, INT8, symmetric=False)


@pytest.mark.parametrize("cut_ppm", [-1, 500_000])
def test_a_cut_of_half_or_less_than_nothing_is_refused(cut_ppm: int) -> None:
    with pytest.raises(ValueError, match=r"must be in 0\.\.499999"):
        Percentile(cut_ppm)


# ---- entropy --------------------------------------------------------------------------------


def plain_divergence(counts: NDArray[np.int64], kept: int, levels: int) -> float:
    """One candidate of S7310, step by step."""
    p = counts[:kept].astype(np.float64)
    p[-1] += counts[kept:].sum()
    group = np.arange(kept) * levels // kept
    merged = np.bincount(group, counts[:kept], levels)
    filled = np.bincount(group, counts[:kept] > 0, levels)
    q = np.where(counts[:kept] > 0, (merged / np.maximum(filled, 1))[group], 0)
    if not q.sum() or (q[p > 0] == 0).any():
        return float("inf")
    p, q = p / p.sum(), q / q.sum()
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def folded(x: NDArray[np.float32]) -> NDArray[np.int64]:
    counts = histogram(x).counts[0]
    result: NDArray[np.int64] = counts[2048:] + counts[2047::-1]
    result[0] = result[1]  # as NVIDIA's torch calibrator does
    return result


def test_the_spike_of_a_rectified_tensor_does_not_decide() -> None:
    """With 70 % zeros the threshold must stay near that of the values that are not zero."""
    x = np.abs(np.random.default_rng(0).normal(size=30_000)).astype(np.float32)
    x = np.minimum(x * 3, 6)
    with_zeros = np.r_[x, np.zeros(70_000, np.float32)]
    plain, spiked = (Entropy()(histogram(v), INT8, symmetric=True).hi for v in (x, with_zeros))
    assert spiked == plain > 3


@pytest.mark.parametrize("levels", [8, 128, 256])
@pytest.mark.parametrize("kind", KINDS)
def test_entropy_is_the_plain_loop(kind: str, levels: int) -> None:
    counts = folded(distribution(kind))
    plain = np.array([plain_divergence(counts, i, levels) for i in range(levels, 2049)])
    fast = divergences(counts.astype(np.float64), levels)
    np.testing.assert_allclose(fast, plain, rtol=1e-9, atol=1e-12)
    assert fast.argmin() == plain.argmin()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_is_half_a_bin_beyond_the_last_kept(kind: str, symmetric: bool) -> None:
    x = distribution(kind)
    levels = 256 if not symmetric and x.min() >= 0 else 128
    counts = folded(x)
    kept = levels + int(
        np.argmin([plain_divergence(counts, i, levels) for i in range(levels, 2049)])
    )
    threshold = (kept + 0.5) * float(np.abs(x).max()) / 2048
    r = Entropy()(histogram(x), INT8, symmetric=symmetric)
    if symmetric:
        assert r == (-threshold if x.min() < 0 else 0, threshold)
    else:
        assert r == (max(min(x.min(), 0), -threshold), min(x.max(), threshold))


@pytest.mark.parametrize(("top", "cached"), [(1.0, "3c010a14"), (255.0, "4000890a")])
def test_no_clip_gives_the_scale_of_tensorrts_caches(top: float, cached: str) -> None:
    x = np.r_[np.zeros(900), np.full(100, top)]
    r = Entropy()(histogram(x), INT8, symmetric=True)
    assert r.hi == 2048.5 / 2048 * top
    scale = affine_from_range(*r, INT8, symmetric=True).scale
    assert struct.pack("!f", float(scale)).hex() == cached


def test_entropy_clips_outliers_and_takes_wide_grids_as_they_are() -> None:
    x = distribution("gauss outliers")
    assert 3 < Entropy()(histogram(x), INT8, symmetric=True).hi < 10
    wide = Entropy()(histogram(x), Grid.of(16, signed=True), symmetric=True)
    assert wide.hi == pytest.approx(30 * 2048.5 / 2048)


def test_entropy_says_how_few_values_are_too_few() -> None:
    assert Entropy.minimum_values == 128
    assert MinMax.minimum_values == 1


# ---- MSE ------------------------------------------------------------------------------------


def dense_scan(x: NDArray[np.float32], grid: Grid, symmetric: bool) -> float:
    """Least squared error on the samples themselves over a fine net of ranges."""
    lo, hi = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    fine: Iterable[tuple[float, float]] = ((f, f) for f in np.geomspace(0.02, 1, 400))
    if not symmetric and lo < 0 < hi:
        fine = product(np.geomspace(0.05, 1, 50), repeat=2)
    top = max(-lo, hi)
    ranges = (
        Range(max(lo, -top * a), min(hi, top * b)) if symmetric else Range(lo * a, hi * b)
        for a, b in fine
    )
    return min(squared_error(x, r, grid, symmetric) for r in ranges)


@pytest.mark.parametrize(("grid", "symmetric"), [(INT8, True), (INT4, True), (UINT8, False)])
@pytest.mark.parametrize("kind", KINDS)
def test_mse_is_within_one_percent_of_brute_force(kind: str, grid: Grid, symmetric: bool) -> None:
    x = distribution(kind, 8000)
    r = MeanSquaredError()(histogram(x), grid, symmetric=symmetric)
    assert squared_error(x, r, grid, symmetric) <= 1.01 * dense_scan(x, grid, symmetric)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_a_richer_class_of_ranges_is_never_worse(bits: int) -> None:
    rng = np.random.default_rng(bits)
    x = rng.normal(size=(40, 400)) * rng.uniform(0.1, 3, (40, 1)) + rng.normal(size=(40, 1))
    x[:10] = np.maximum(x[:10], 0)
    x[10:15, 0] = 40
    x[15:20] = np.where(rng.random((5, 400)) < 0.5, -1, 3) + 0.05 * x[15:20]
    seen, grid = rows(x), Grid.of(bits, signed=False)
    extremes = affine_from_range(seen.lo, seen.hi, grid, symmetric=False, axis=0)
    min_max = seen.distortion(extremes.lo, extremes.hi, extremes.scale).total
    fair = best_ranges(seen, grid, symmetric=True, per_channel=True)[2]
    free = best_ranges(seen, grid, symmetric=False, per_channel=True)[2]
    one = best_ranges(seen, grid, symmetric=False, per_channel=False)[2]
    assert (free <= min_max * (1 + 1e-6)).all()
    assert (free <= fair * (1 + 1e-6)).all()
    assert free.sum() <= one[0]


@pytest.mark.parametrize(("grid", "symmetric"), [(INT8, True), (UINT8, False), (UINT4, False)])
def test_the_error_returned_is_the_distortion_of_the_range(grid: Grid, symmetric: bool) -> None:
    x = np.random.default_rng(0).laplace(size=(20, 500)) + 0.3
    seen = rows(x)
    for per_channel in (True, False):
        lo, hi, total = best_ranges(seen, grid, symmetric=symmetric, per_channel=per_channel)
        affine = affine_from_range(lo, hi, grid, symmetric=symmetric, axis=0)
        ends = (np.broadcast_to(v, 20) for v in (affine.lo, affine.hi, affine.scale))
        expected = seen.distortion(*ends).total
        got = total if per_channel else expected * total / expected.sum()
        np.testing.assert_allclose(got, expected, rtol=2e-6)
        assert lo.shape == hi.shape == total.shape == ((20,) if per_channel else (1,))


@pytest.mark.parametrize("symmetric", [True, False])
def test_rows_do_not_disturb_each_other(symmetric: bool) -> None:
    x = np.random.default_rng(1).normal(size=(6, 300))
    x[1], x[2], x[3, 0] = 0, np.abs(x[2]), 50
    seen, grid = rows(x), Grid.of(8, signed=symmetric)
    lo, hi, total = best_ranges(seen, grid, symmetric=symmetric, per_channel=True)
    for row in range(6):
        alone = best_ranges(rows(x[[row]]), grid, symmetric=symmetric, per_channel=True)
        both_ends = symmetric or row != 2  # a lone one-sided row has the simpler search
        if both_ends:
            np.testing.assert_array_equal([lo[row], hi[row], total[row]], np.concatenate(alone))
        else:
            np.testing.assert_allclose(total[row], alone[2], rtol=0.02)
    assert (lo[1], hi[1], total[1]) == (0, 0, 0)


def test_one_range_for_all_rows_is_that_of_the_pooled_values() -> None:
    x = np.random.default_rng(2).normal(size=(30, 2000)) * np.linspace(0.2, 2, 30)[:, None]
    for grid, symmetric in ((INT4, True), (UINT8, False)):
        lo, hi, _ = best_ranges(rows(x), grid, symmetric=symmetric, per_channel=False)
        pooled = MeanSquaredError()(histogram(x), grid, symmetric=symmetric)
        flat = x.astype(np.float32).ravel()
        ours = squared_error(flat, Range(float(lo[0]), float(hi[0])), grid, symmetric)
        assert ours == pytest.approx(squared_error(flat, pooled, grid, symmetric), rel=0.01)


def every_grid(seen: Histogram, bits: int) -> Floats:
    """Least distortion over all zero points and steps in 1/24 octave; shape (rows,)."""
    below = np.arange(2**bits)[:, None]
    best = np.full(seen.absmax.shape, np.inf)
    for factor in 2.0 ** np.arange(1, -6, -1 / 24):
        step = np.broadcast_to(2 * factor * seen.absmax / 2**bits, (2**bits, best.size))
        error = seen.distortion(-below * step, (2**bits - 1 - below) * step, step).total
        best = np.minimum(best, error.min(axis=0))
    return best


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_small_grids_are_searched_as_well_as_by_trying_all(bits: int) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 400)) * rng.uniform(0.3, 2, (20, 1))
    x[2:4] += 2
    x[4:6, 0] = 40
    x[5, 1] = -15
    x[6:8] = np.where(rng.random((2, 400)) < 0.5, -1, 3) + 0.1 * x[6:8]
    x[8:] += rng.normal(size=(12, 1))
    x[8::3] = x[8::3] ** 3
    x[9:, 0] = -rng.uniform(5, 300, 11)
    x[10::2, 1] = rng.uniform(5, 300, 5)
    seen = rows(x)
    found = best_ranges(seen, Grid.of(bits, signed=False), symmetric=False, per_channel=True)[2]
    ratio = found / every_grid(seen, bits)
    assert ratio.max() < 1.02
    assert ratio.mean() < 1.001


def test_few_codes_are_aligned_with_the_values() -> None:
    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(-1, 0.01, 3000), rng.normal(3, 0.01, 3000)].astype(np.float32)
    grid = Grid.of(3, signed=False)
    r = MeanSquaredError()(histogram(x), grid, symmetric=False)
    codes = affine_from_range(*r, grid, symmetric=False).fake_quantize(f32(-1, 3))
    np.testing.assert_allclose(codes, [-1, 3], atol=0.02)


# ---- ACIQ -----------------------------------------------------------------------------------

LAPLACE = [1.8628, 2.8307, 3.8972, 5.0286, 6.2048, 7.4131, 8.6456, 9.8968, 11.1627]
GAUSS = [1.2399, 1.7106, 2.1516, 2.5591, 2.9362, 3.2869, 3.6151, 3.9240, 4.2163]


def laplace_model(a: float, bits: int, sides: int = 2) -> float:
    """Squared error of clipping at ``a``, b = 1, with 2^bits levels; one side holds half of it."""
    return float(sides * np.exp(-a) + (a * sides / 2**bits) ** 2 / 12 * sides / 2)


def gauss_model(a: float, bits: int, sides: int = 2) -> float:
    tail = (1 + a * a) * (1 - erf(a / np.sqrt(2))) - np.sqrt(2 / np.pi) * a * np.exp(-a * a / 2)
    return float(tail * sides / 2 + (a * sides / 2**bits) ** 2 / 12 * sides / 2)


@pytest.mark.parametrize(("ratio", "table"), [(laplace_ratio, LAPLACE), (gauss_ratio, GAUSS)])
def test_ratios_are_those_of_the_authors(ratio: Callable[[int], float], table: list[float]) -> None:
    np.testing.assert_allclose([ratio(bits) for bits in range(1, 10)], table, atol=1e-4)


@pytest.mark.parametrize(
    ("ratio", "model"), [(laplace_ratio, laplace_model), (gauss_ratio, gauss_model)]
)
@pytest.mark.parametrize("bits", range(2, 9))
def test_ratios_minimise_the_model_and_one_side_is_one_bit_more(
    ratio: Callable[[int], float], model: Callable[[float, int, int], float], bits: int
) -> None:
    for sides, best in ((2, ratio(bits)), (1, ratio(bits + 1))):
        nearby = [model(best * f, bits, sides) for f in (0.99, 1.0, 1.01)]
        assert min(nearby) == nearby[1]


@pytest.mark.parametrize("bits", range(4, 9))
@pytest.mark.parametrize("kind", ["laplace", "gauss"])
def test_the_model_is_the_error_of_samples(kind: str, bits: int) -> None:
    # One sample in each of a million equally likely intervals: the tail holds too few others.
    u = (np.arange(1_000_000) + np.random.default_rng(0).random(1_000_000)) / 1_000_000
    x = -np.sign(u - 0.5) * np.log1p(-2 * np.abs(u - 0.5)) if kind == "laplace" else ndtri(u)
    a = laplace_ratio(bits) if kind == "laplace" else gauss_ratio(bits)
    model = laplace_model(a, bits) if kind == "laplace" else gauss_model(a, bits)
    step = 2 * a / 2**bits
    quantized = np.rint(np.clip(x, -a, a) / step) * step
    assert np.mean((quantized - x) ** 2) == pytest.approx(model, rel=0.02)


@pytest.mark.parametrize(("member", "ratio"), [(AciqLaplace(), LAPLACE), (AciqGauss(), GAUSS)])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_ranges_are_ratio_times_spread(member: Estimator, ratio: list[float], bits: int) -> None:
    x = np.r_[distribution("gauss", 50_000) + 0.25, -100, 100].astype(np.float32)
    mean = x.mean(dtype=np.float64)
    deviation = np.abs(x - mean)
    spread = deviation.mean() if member.name == "aciq_laplace" else np.mean(deviation**2.0) ** 0.5
    reach = ratio[bits - 1] * spread
    r = member(histogram(x), Grid.of(bits, signed=False), symmetric=False)
    np.testing.assert_allclose(r, [mean - reach, mean + reach], rtol=0.01)


@pytest.mark.parametrize(("member", "ratio"), [(AciqLaplace(), LAPLACE), (AciqGauss(), GAUSS)])
def test_rectified_data_have_one_bit_more_on_an_asymmetric_grid(
    member: Estimator, ratio: list[float]
) -> None:
    x = np.append(distribution("relu", 50_000), np.float32(100))
    deviation = np.abs(x - x.mean(dtype=np.float64))
    spread = deviation.mean() if member.name == "aciq_laplace" else np.mean(deviation**2.0) ** 0.5
    for symmetric, bits in ((False, 5), (True, 4)):
        expected = x.mean() + ratio[bits - 1] * spread
        r = member(histogram(x), UINT4, symmetric=symmetric)
        mirrored = member(histogram(-x), UINT4, symmetric=symmetric)
        assert (r.lo, mirrored.hi) == (0, 0)
        np.testing.assert_allclose([r.hi, -mirrored.lo], expected, rtol=0.01)


# ---- SNPE enhanced --------------------------------------------------------------------------


def plain_cost(bins: enhanced.Bins, low: float, high: float, steps: int) -> float:
    """One candidate, value by value."""
    step = (high - low) / steps
    offset = np.floor(low / step + 0.5)
    last_bin = bins.counts.size - 1
    first, last = (
        min(max(int((step * end - bins.left) // bins.width), 0), last_bin)
        for end in (offset, offset + steps)
    )
    middle = [bins.left + (i + 0.5) * bins.width for i in range(bins.counts.size)]
    total = 0.0
    for count, index, x in zip(bins.counts, range(last_bin + 1), middle, strict=True):
        if index < first:
            total += 3 * count * (x - middle[first]) ** 2
        elif index >= last:
            total += 3 * count * (x - middle[last]) ** 2
        else:
            total += count * (x - step * np.floor(x / step + 0.5)) ** 2
    return total


@pytest.mark.parametrize("steps", [15, 255])
def test_the_cost_is_the_plain_sum(steps: int) -> None:
    counts, _ = np.histogram(distribution("laplace"), 200, (-6, 9))
    bins = enhanced.Bins(counts.astype(np.float64), -6.0, 15 / 200)
    low, high = enhanced.asymmetric_candidates(-6.0, 9.0, steps)
    fast = enhanced.cost(bins, low, high, steps)
    for i in range(0, low.size, 23):
        assert fast[i] == pytest.approx(plain_cost(bins, low[i], high[i], steps), rel=1e-9)


@pytest.mark.parametrize("ends", [(-3.0, 5.0), (0.0, 5.0), (-5.0, 0.0), (-1e-3, 7.0)])
def test_asymmetric_candidates_lie_in_what_was_observed(ends: tuple[float, float]) -> None:
    low, high = enhanced.asymmetric_candidates(*ends, 255)
    assert 200 < low.size <= 358
    assert (low[-1], high[-1]) == ends
    assert (low >= ends[0]).all()
    assert (high <= ends[1]).all()
    assert (low <= 0).all()
    assert (high >= 0).all()
    assert (high > low).all()


def test_symmetric_steps_are_hundredths() -> None:
    x = distribution("gauss outliers")
    r = SnpeEnhanced()(histogram(x), INT8, symmetric=True)
    hundredths = r.hi / 127 / (30 / 127.5) * 100
    assert hundredths == pytest.approx(round(hundredths), abs=1e-6)
    assert r.lo == -r.hi
    low, high = enhanced.symmetric_candidates(-2.0, 1.0, 255)
    np.testing.assert_allclose(low / high, -128 / 127)
    assert (low.size, high[-1]) == (101, 1.01 * 2 / 127.5 * 127)


def test_bins_span_what_was_observed() -> None:
    x = np.r_[distribution("gauss", 200_000), np.zeros(5000), 9.0].astype(np.float32)
    bins = enhanced.rebin(histogram(x), float(x.min()), 9.0)
    assert bins.counts.sum() == pytest.approx(x.size)
    assert bins.left + 1536 * bins.width == pytest.approx(9.0)
    expected = np.histogram(x, 1536, (float(x.min()), 9.0))[0]
    zero = int(-bins.left / bins.width)
    assert bins.counts.argmax() == expected.argmax() == zero
    # The bins of the histogram are half as wide: spread evenly, they are a tenth of a bin off.
    off = np.abs(np.cumsum(bins.counts) - np.cumsum(expected)).max()
    assert off < 0.2 * expected[zero + 1]


def test_clipping_weighs_three_times() -> None:
    x = distribution("laplace", 100_000)
    seen = histogram(x)
    for grid in (INT4, INT8):
        mild = MeanSquaredError()(seen, grid, symmetric=True)
        wary = SnpeEnhanced()(seen, grid, symmetric=True)
        assert mild.hi < wary.hi <= np.abs(x).max() * 1.01


def test_a_uniform_tensor_is_hardly_clipped() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 50_000)
    for grid, symmetric in ((INT8, True), (UINT8, False)):
        r = SnpeEnhanced()(histogram(x), grid, symmetric=symmetric)
        np.testing.assert_allclose(r, [-1, 1], atol=0.03)


def test_equal_channels_get_equal_bits() -> None:
    assert bit_allocation(np.full(7, 3.0), 4).tolist() == [4] * 7


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_dealt_bits_keep_their_mean_and_beat_equal_ones(bits: int, seed: int) -> None:
    reach = np.exp(np.random.default_rng(seed).normal(0, 1.5, 64))
    dealt = bit_allocation(reach, bits)
    assert abs(dealt.mean() - bits) <= 0.1
    assert (reach**2 / 4.0**dealt).sum() < 0.7 * (reach**2 / 4.0**bits).sum()
    order = np.argsort(reach)
    assert (np.diff(dealt[order]) >= 0).all()


def test_the_best_of_all_allocations_is_hardly_better() -> None:
    """Brute force over every allocation of 4 channels with the same sum of bits."""
    reach = np.array([1.0, 2.5, 7.0, 9.0])
    dealt = bit_allocation(reach, 3)
    every = np.stack(np.meshgrid(*[np.arange(9)] * 4), axis=-1).reshape(-1, 4)
    levels = every[(2.0**every).sum(axis=1) <= (2.0**dealt).sum()]
    errors = (reach**2 / 4.0**levels).sum(axis=1)
    assert (reach**2 / 4.0**dealt).sum() <= 1.3 * errors.min()
