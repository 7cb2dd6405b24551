"""Second-order rounding against enumeration, against GPTQ as published, and its promises."""

import itertools
import time
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lostbits.errors import RecoveryError
from lostbits.grid import Grid, affine_from_range
from lostbits.rounding import (
    RowGrid,
    ScaleSearch,
    Settings,
    corrected_target,
    descent,
    quadratic_error,
    refit_scale,
    round_rows,
    search_scale,
)
from lostbits.rounding import gptq_sweep as sweep

Floats = NDArray[np.float64]
laws = settings(deadline=None, max_examples=60, derandomize=True)
EXACT = Settings(damping=1e-6)


class Layer(NamedTuple):
    weights: Floats
    gram: Floats
    grid: RowGrid


def row_grid(weights: Floats, bits: int, *, symmetric: bool = True) -> RowGrid:
    groups, rows, _ = weights.shape
    affine = affine_from_range(
        weights.min(axis=2).ravel(),
        weights.max(axis=2).ravel(),
        Grid.of(bits, signed=symmetric),
        symmetric=symmetric,
        axis=0,
    )
    return RowGrid.of(affine, groups, rows)


def layer(
    seed: int, shape: tuple[int, int, int], bits: int, samples: int = 60, symmetric: bool = True
) -> Layer:
    """Correlated inputs, rectified half of the time, some of them dead."""
    random = np.random.default_rng(seed)
    groups, _, columns = shape
    x = random.normal(size=(groups, samples, columns)) @ random.normal(size=(columns, columns))
    x = np.maximum(x, 0) if seed % 2 else x
    weights = random.normal(size=shape).astype(np.float32).astype(np.float64)
    return Layer(weights, x.transpose(0, 2, 1) @ x, row_grid(weights, bits, symmetric=symmetric))


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 12))
    bits, samples = draw(st.integers(2, 4)), draw(st.integers(1, 40))
    return layer(draw(st.integers(0, 10**6)), shape, bits, samples, draw(st.booleans()))


def error(codes: NDArray[np.int64], case: Layer) -> Floats:
    """The definition, term by term."""
    e = case.grid.values(codes) - case.weights
    result: Floats = np.einsum("gri,gij,grj->gr", e, case.gram, e)
    return result


def enumerated(case: Layer) -> float:
    """Least error over every code of a single row."""
    codes = range(case.grid.qmin, case.grid.qmax + 1)
    columns = case.weights.shape[2]
    every = np.array(list(itertools.product(codes, repeat=columns)))[None]
    wide = Layer(np.broadcast_to(case.weights, every.shape), case.gram, case.grid)
    return float(error(every, wide).min())


def branch_and_bound(case: Layer, bound: float) -> float:
    """Least error of a single row, exactly: partial sums of the triangular form only grow."""
    factor = np.linalg.cholesky(case.gram[0]).T  # |factor @ e|^2, last column alone in its row
    levels = case.grid.steps(np.arange(case.grid.qmin, case.grid.qmax + 1)[None, None])[0, 0]
    choices = levels * case.grid.scale[0, 0] - case.weights[0, 0][:, None]
    e = np.zeros(len(factor))
    best = bound

    def descend(column: int, spent: float) -> None:
        nonlocal best
        if column < 0:
            best = min(best, spent)
            return
        rest = factor[column, column + 1 :] @ e[column + 1 :]
        costs = spent + (factor[column, column] * choices[column] + rest) ** 2
        for k in np.argsort(costs):
            if costs[k] >= best:
                break
            e[column] = choices[column][k]
            descend(column - 1, float(costs[k]))

    descend(len(factor) - 1, 0.0)
    return best


def gptq(case: Layer, columns: range) -> NDArray[np.int64]:
    """As published: Cholesky factor of the inverse, errors fed forward, no blocks; one group."""
    inverse = np.linalg.inv(case.gram[0][np.ix_(columns, columns)])
    upper = np.linalg.cholesky(inverse).T
    weights = case.weights[:, :, columns].copy()
    codes = np.zeros(weights.shape, np.int64)
    for j in range(len(columns)):
        codes[..., j] = case.grid.nearest(weights)[..., j]
        off = (weights - case.grid.values(codes))[..., j] / upper[j, j]
        weights[..., j:] -= off[..., None] * upper[j, j:]
    return codes


def swept(case: Layer) -> NDArray[np.int64]:
    steps = (case.weights / case.grid.scale[..., None]).transpose(0, 2, 1)
    wanted = sweep.Wanted(steps, *case.grid.ends)
    return case.grid.codes(sweep.sweep(wanted, sweep.feedback(case.gram)).transpose(0, 2, 1))


def test_two_coupled_weights_are_rounded_better_than_each_by_itself() -> None:
    gram = np.array([[[1.0, 0.5], [0.5, 1.0]]])
    grid = RowGrid(np.ones((1, 1)), np.zeros((1, 1)), -8, 7)
    case = Layer(np.array([[[0.4, 0.4]]]), gram, grid)
    found = round_rows(*case, settings=EXACT)
    assert error(grid.nearest(case.weights), case)[0, 0] == pytest.approx(0.48)
    assert found.error[0, 0] == pytest.approx(0.28)
    assert found.error[0, 0] == pytest.approx(enumerated(Layer(case.weights, gram, grid)))
    assert found.nearest[0, 0] == pytest.approx(0.48)


@pytest.mark.parametrize("seed", range(20))
def test_branch_and_bound_finds_what_enumeration_finds(seed: int) -> None:
    case = layer(seed, (1, 1, 5), 2 + seed % 2)
    assert branch_and_bound(case, np.inf) == pytest.approx(enumerated(case))


@pytest.mark.slow
def test_small_layers_are_rounded_as_well_as_can_be_mostly() -> None:
    """The bar is 80 %; 91 % here. Misses are mostly small, but one in 240 was twelve-fold."""
    excess = []
    for seed in range(120):
        case = layer(seed, (1, 1, 2 + seed % 11), 2 + seed % 3)
        found = float(round_rows(*case, settings=EXACT).error[0, 0])
        excess.append(found / branch_and_bound(case, found * 1.001) - 1)
    assert np.mean(np.array(excess) < 1e-6) >= 0.85
    assert min(excess) > -1e-6, "nothing is below the optimum"


@pytest.mark.slow
@laws
@given(layers(), st.sampled_from([0.0, 1e-6, 0.01, 1.0]))
def test_no_row_is_ever_worse_than_nearest(case: Layer, damping: float) -> None:
    found = round_rows(*case, settings=Settings(damping=damping, restarts=4))
    nearest = case.grid.nearest(case.weights)
    assert (error(found.codes, case) <= error(nearest, case)).all()
    assert (found.error <= found.nearest).all()
    np.testing.assert_allclose(found.error, error(found.codes, case), rtol=1e-6, atol=1e-9)
    assert found.codes.min() >= case.grid.qmin
    assert found.codes.max() <= case.grid.qmax


@pytest.mark.slow
@laws
@given(layers(), st.integers(0, 100))
def test_no_row_is_ever_worse_than_the_start_it_was_given(case: Layer, seed: int) -> None:
    random = np.random.default_rng(seed)
    ends = case.grid.qmin, case.grid.qmax + 1
    start = random.integers(*ends, case.weights.shape)
    target = case.weights + random.normal(size=case.weights.shape)
    found = round_rows(*case, target=target, start=start, settings=Settings(restarts=2))
    aim = case._replace(weights=target)
    assert (error(found.codes, aim) <= error(start, aim)).all()


def test_a_good_start_survives_a_damping_that_would_undo_it() -> None:
    case = layer(6, (5, 4, 12), 3, samples=200)
    good = round_rows(*case, settings=EXACT)
    kept = round_rows(*case, start=good.codes, settings=Settings(damping=1e6))
    assert good.error.sum() < 0.6 * good.nearest.sum()
    assert (kept.error <= good.error).all()
    np.testing.assert_array_equal(kept.codes, good.codes)


@pytest.mark.slow
@laws
@given(layers())
def test_uncorrelated_inputs_leave_every_code_at_its_nearest(case: Layer) -> None:
    alone = case._replace(gram=np.array([np.eye(case.weights.shape[2])] * len(case.gram)))
    codes = round_rows(*alone).codes
    np.testing.assert_array_equal(codes, case.grid.nearest(case.weights))


def test_dead_inputs_round_to_nearest() -> None:
    case = layer(3, (1, 4, 8), 4)
    case.gram[:, 2] = case.gram[:, :, 2] = 0
    codes = round_rows(*case).codes
    np.testing.assert_array_equal(codes[..., 2], case.grid.nearest(case.weights)[..., 2])
    dead = case._replace(gram=np.zeros_like(case.gram))
    np.testing.assert_array_equal(
        round_rows(*dead, settings=Settings(damping=0)).codes, case.grid.nearest(case.weights)
    )


def test_a_gram_of_fewer_samples_than_columns_is_no_obstacle() -> None:
    case = layer(5, (1, 6, 80), 4, samples=10)
    found = round_rows(*case, settings=Settings(damping=0))
    assert (found.error < 0.5 * found.nearest).all()


def test_a_matrix_with_negative_eigenvalues_is_refused() -> None:
    gram = np.array([[[1.0, 5.0], [5.0, 1.0]]])
    with pytest.raises(ValueError, match="not of the form"):
        sweep.feedback(gram)


@pytest.mark.parametrize("seed", range(6))
def test_the_sweep_is_gptq(seed: int) -> None:
    case = layer(seed, (1, 7, 30), 4, samples=200)
    np.testing.assert_array_equal(swept(case), gptq(case, range(30)))


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_the_block_size_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = layer(1, (2, 5, 130), 4, samples=400)
    plain = round_rows(*case).codes
    monkeypatch.setattr(sweep, "_BLOCK", block)
    monkeypatch.setattr(descent, "_BLOCK", block)
    np.testing.assert_array_equal(round_rows(*case).codes, plain)


def test_groups_and_rows_are_solved_each_by_itself() -> None:
    case = layer(2, (3, 4, 9), 3)
    whole = round_rows(*case, settings=Settings(restarts=0)).codes
    grid = case.grid
    for g, r in np.ndindex(3, 4):
        at = slice(g, g + 1), slice(r, r + 1)
        own = RowGrid(grid.scale[at], grid.zero_point[at], grid.qmin, grid.qmax)
        alone = round_rows(case.weights[at], case.gram[at[0]], own, settings=Settings(restarts=0))
        np.testing.assert_array_equal(whole[g, r], alone.codes[0, 0])


def test_the_seed_decides_everything() -> None:
    case = layer(4, (2, 3, 12), 2)
    one, two = (round_rows(*case, settings=Settings(seed=7)).codes for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_descent_beats_the_sweep_and_the_sweep_beats_nearest() -> None:
    for shape, samples in (((20, 1, 25), 200), ((1, 24, 200), 600)):
        case = layer(6, shape, 4, samples)
        swept_only = round_rows(*case, settings=Settings(passes=0, restarts=0))
        full = round_rows(*case)
        assert swept_only.error.sum() < 0.8 * swept_only.nearest.sum()
        assert full.error.sum() < 0.99 * swept_only.error.sum()


def test_damping_is_relative_to_the_mean_of_the_diagonal() -> None:
    gram = np.array([[[1.0, 0.5], [0.5, 3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    expected = [[[1.2, 0.5], [0.5, 3.2]], [[1.0, 0.0], [0.0, 1.0]]]
    np.testing.assert_allclose(sweep.damped(gram, 0.1), expected)


def test_pairs_of_moves_leave_a_place_that_single_moves_cannot() -> None:
    gram = np.array([[[1.0, 0.9], [0.9, 1.0]]])
    ends = np.full((1, 1), -8.0), np.full((1, 1), 7.0)
    wanted = sweep.Wanted(np.array([[[0.6], [0.4]]]), *ends)
    stuck = np.array([[[0.0], [1.0]]])
    np.testing.assert_array_equal(descent.descend(stuck, wanted, gram, 20), stuck)
    freed = descent.descend_in_pairs(stuck, wanted, gram, 20)
    assert freed.ravel().tolist() == [1, 0]
    narrow = wanted._replace(high=np.zeros((1, 1)), low=-np.ones((1, 1)))
    limited = descent.descend_in_pairs(np.array([[[-1.0], [0.0]]]), narrow, gram, 20)
    assert limited.ravel().tolist() == [0, 0]


def test_a_gram_that_is_no_number_is_refused_with_a_code() -> None:
    case = layer(0, (1, 1, 3), 4)
    case.gram[0, 0, 0] = np.nan
    with pytest.raises(RecoveryError, match=r"R002: second-order rounding: .*finite"):
        round_rows(*case)


@pytest.mark.slow
def test_a_wide_layer_takes_seconds_at_most() -> None:
    case = layer(8, (1, 200, 640), 8, samples=700)
    begun = time.process_time()
    round_rows(*case)
    assert time.process_time() - begun < 20  # 0.3 s alone on a core


def outputs(x: Floats, weights: Floats) -> Floats:
    return np.asarray(x @ weights.transpose(0, 2, 1))


def test_the_corrected_target_has_the_output_nearest_to_the_float_one() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 400, 6)) @ random.normal(size=(6, 6))
    seen = x + 0.3 * np.sign(x)
    weights = random.normal(size=(2, 3, 6))
    gram, cross = (a.transpose(0, 2, 1) @ seen for a in (seen, x))
    target = corrected_target(weights, gram, cross, damping=0)
    floats = outputs(x, weights)
    best = [np.linalg.lstsq(seen[g], floats[g], rcond=None)[0].T for g in range(2)]
    np.testing.assert_allclose(target, best, rtol=1e-5)
    damped = corrected_target(weights, gram, cross, damping=1e9)
    np.testing.assert_allclose(damped, weights, rtol=1e-6)
    np.testing.assert_allclose(corrected_target(weights, gram, gram), weights)


def test_error_about_the_target_is_output_error_less_what_no_weights_can_undo() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(1, 300, 5))
    seen = np.round(x, 0)
    weights = random.normal(size=(1, 2, 5))
    gram, cross = (a.transpose(0, 2, 1) @ seen for a in (seen, x))
    target = corrected_target(weights, gram, cross, damping=0)

    def total(q: Floats) -> Floats:
        return np.asarray(((outputs(x, weights) - outputs(seen, q)) ** 2).sum(axis=1))

    for q in (weights, np.round(weights, 1)):
        expected = total(q) - total(target)
        np.testing.assert_allclose(quadratic_error(q, target, gram), expected, rtol=1e-5)


@pytest.mark.parametrize("per_row", [True, False])
def test_the_scale_found_is_never_worse_and_better_at_few_bits(per_row: bool) -> None:
    case = layer(11, (2, 6, 24), 3, samples=300)
    case.weights[0, 0, 0] = 20.0  # an outlier that takes the range of its row
    grid = row_grid(case.weights, 3)
    search = ScaleSearch(per_row=per_row)
    found = search_scale(case.weights, case.gram, grid, search)
    one = Settings(passes=0, restarts=0)
    before = round_rows(case.weights, case.gram, grid, settings=one).error
    after = round_rows(case.weights, case.gram, found, settings=one).error
    if per_row:
        assert (after <= before).all()
        assert after.sum() < 0.95 * before.sum()
    else:
        assert np.unique(np.round(found.scale / grid.scale, 5)).size == 1
        assert after.sum() < before.sum()
    np.testing.assert_array_equal(found.scale, found.scale.astype(np.float32))


def test_the_scale_given_is_kept_where_all_others_are_worse() -> None:
    case = layer(12, (1, 5, 20), 8, samples=300)
    found = search_scale(*case, ScaleSearch(fractions=(0.3,)))
    np.testing.assert_array_equal(found.scale, case.grid.scale)


def test_row_grids_agree_with_affine_bit_for_bit() -> None:
    random = np.random.default_rng(2)
    weights = random.normal(size=(6, 4)).astype(np.float32)
    for symmetric in (True, False):
        affine = affine_from_range(
            weights.min(1), weights.max(1), Grid.of(4, signed=False), symmetric=symmetric, axis=0
        )
        grid = RowGrid.of(affine, 2, 3)
        wide = weights.reshape(2, 3, 4).astype(np.float64)
        codes = grid.nearest(wide)
        np.testing.assert_array_equal(codes.reshape(6, 4), affine.codes(weights))
        values: Any = grid.values(codes).reshape(6, 4)
        np.testing.assert_allclose(values, affine.fake_quantize(weights), rtol=1e-6)
    unit = RowGrid(np.ones((1, 1)), np.ones((1, 1)), -8, 7)
    ties = unit.nearest(np.array([[[0.5, 1.5, -0.5]]]))
    assert ties.ravel().tolist() == [1, 3, 1], "half to even before the odd zero point is added"
    with pytest.raises(ValueError, match="6 scales for 1 x 5 rows"):
        RowGrid.of(affine, 1, 5)
    single = affine_from_range(-1.0, 1.0, Grid.of(8, signed=True), symmetric=True)
    assert RowGrid.of(single, 2, 3).scale.shape == (2, 3)


@pytest.mark.slow
@laws
@given(st.integers(0, 9999), st.integers(2, 4), st.booleans())
def test_no_scale_near_the_refitted_one_leaves_less_error(
    seed: int, bits: int, symmetric: bool
) -> None:
    case = layer(seed, (2, 3, 6), bits, symmetric=symmetric)
    codes = round_rows(case.weights, case.gram, case.grid).codes
    found = refit_scale(case.weights, case.gram, case.grid, codes)

    def error(grid: RowGrid) -> Floats:
        return quadratic_error(grid.values(codes), case.weights, case.gram)

    least, noise = error(found), 1e-9 * error(case.grid).max()
    for other in (case.grid, found.shrunk(0.98), found.shrunk(1.02)):
        assert (least <= error(other) + noise).all()


def test_rows_without_codes_keep_their_scale() -> None:
    case = layer(0, (1, 3, 6), 4)
    codes = case.grid.codes(np.zeros_like(case.weights))
    found = refit_scale(case.weights, case.gram, case.grid, codes)
    np.testing.assert_array_equal(found.scale, case.grid.scale)
