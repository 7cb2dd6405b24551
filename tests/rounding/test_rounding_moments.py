"""Gram matrices add up; patches times weights are the convolution."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from lostbits.rounding import Gram, Window, factored, gram, patches, sample_positions

laws = settings(deadline=None, max_examples=60, derandomize=True)
CONVOLUTIONS: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def batch(seed: int, positions: int, groups: int = 2, columns: int = 3) -> NDArray[np.float64]:
    """Values of float32 in float64, so that sums can be compared to the last digits."""
    random = np.random.default_rng(seed)
    values = random.normal(1.0, 2.0, (groups, positions, columns)).astype(np.float32)
    return values.astype(np.float64)


def assert_same(a: Gram, b: Gram) -> None:
    one, two = a.state()._asdict(), b.state()._asdict()
    assert one.keys() == two.keys()
    for key in one:
        if one[key] is not two[key]:
            np.testing.assert_allclose(one[key], two[key], rtol=1e-13, atol=1e-12)


@laws
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=5), cut=st.integers(0, 5))
def test_splitting_the_data_changes_nothing(sizes: list[int], cut: int) -> None:
    pairs = [(batch(i, n), batch(i + 99, n)) for i, n in enumerate(sizes)]
    whole, first, second = (Gram(2, 3, paired=True) for _ in range(3))
    for x, f in pairs[:cut]:
        first.update(x, f)
    for x, f in pairs[cut:]:
        second.update(x, f)
    x, f = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
    assert_same(first.merge(second), whole.update(x, f))


def test_the_sums_are_those_of_their_definitions() -> None:
    x, f = batch(0, 50), batch(1, 50)
    seen = Gram(2, 3, paired=True).update(x, f)
    np.testing.assert_allclose(seen.gram, np.einsum("gpi,gpj->gij", x, x))
    np.testing.assert_allclose(seen.cross, np.einsum("gpi,gpj->gij", f, x))
    np.testing.assert_allclose(seen.total, x.sum(axis=1))
    np.testing.assert_allclose(seen.float_total, f.sum(axis=1))
    assert seen.count == 50


def test_blocks_of_samples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Gram(2, 3).update(batch(0, 50))
    monkeypatch.setattr(gram, "BLOCK", 7)
    assert_same(Gram(2, 3).update(batch(0, 50)), whole)


def test_sums_over_many_blocks_of_float32_lose_no_more_than_one_block() -> None:
    """In float32 alone this sum would be off by 1e-4 and more."""
    x = np.full((200_000, 1), 1.001, np.float32)
    exact = 200_000 * float(np.float32(1.001)) ** 2
    seen = Gram(1, 1).update(x)
    assert seen.gram.dtype == np.float64
    assert seen.gram[0, 0, 0] == pytest.approx(exact, rel=1e-5)
    assert seen.total[0, 0] == pytest.approx(200_000 * float(np.float32(1.001)), rel=1e-5)
    wide, narrow = batch(0, 9_000), batch(0, 9_000).astype(np.float32)
    np.testing.assert_allclose(Gram(2, 3).update(narrow).gram, Gram(2, 3).update(wide).gram, 1e-5)


def test_without_pairs_the_cross_moments_are_the_moments() -> None:
    seen = Gram(2, 3).update(batch(0, 20))
    merged = Gram(2, 3).merge(seen).merge(seen)
    assert merged.cross is merged.gram
    assert merged.float_total is merged.total
    np.testing.assert_array_equal(merged.gram, 2 * seen.gram)


def test_a_moment_of_another_layer_or_a_missing_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="different layers"):
        Gram(2, 3).merge(Gram(2, 4))
    with pytest.raises(ValueError, match="different layers"):
        Gram(2, 3).merge(Gram(2, 3, paired=True))
    with pytest.raises(ValueError, match="if and only if paired"):
        Gram(2, 3, paired=True).update(batch(0, 4))
    with pytest.raises(ValueError, match="if and only if paired"):
        Gram(2, 3).update(batch(0, 4), batch(1, 4))


def test_centred_moments_are_those_about_the_means_and_change_nothing() -> None:
    x, f = batch(0, 50), batch(1, 50)
    seen = Gram(2, 3, paired=True).update(x, f)
    before = copy.deepcopy(seen.state())
    about = Gram(2, 3, paired=True).update(*(v - v.mean(axis=1, keepdims=True) for v in (x, f)))
    centred = seen.centred()
    np.testing.assert_allclose(centred.gram, about.gram)
    np.testing.assert_allclose(centred.cross, about.cross)
    np.testing.assert_array_equal(centred.total, seen.total)
    np.testing.assert_equal(seen.state(), before)


def test_inputs_that_hardly_vary_beside_their_mean_are_constants() -> None:
    """What float32 leaves of them about the mean is noise, and no second moment of anything."""
    random = np.random.default_rng(5)
    means, spreads = np.array([1e3, 3e7, 1.0]), np.array([0.01, 5.0, 1.0])
    values = (means + spreads * random.normal(size=(8, 3))).astype(np.float32)
    moments = Gram(1, 3, paired=True).update(values, values[::-1].copy()).centred()
    assert not moments.gram[0, :2].any() and not moments.gram[0, :, :2].any()
    assert not moments.cross[0, :, :2].any()
    assert moments.gram[0, 2, 2] == pytest.approx(8 * values[:, 2].var(), rel=1e-4)


def test_the_bias_shift_takes_the_mean_error_of_the_output_to_zero() -> None:
    x, f = batch(0, 50), batch(1, 50)
    random = np.random.default_rng(2)
    weights = random.normal(size=(2, 4, 3))
    rounded = np.round(weights, 1)
    seen = Gram(2, 3, paired=True).update(x, f)
    shift = seen.bias_shift(weights, rounded)
    off = x @ rounded.transpose(0, 2, 1) + shift[:, None] - f @ weights.transpose(0, 2, 1)
    np.testing.assert_allclose(off.mean(axis=1), 0, atol=1e-12)


def test_nothing_seen_is_no_division_by_zero() -> None:
    empty = Gram(1, 2)
    assert not empty.centred().gram.any()
    assert not empty.bias_shift(np.ones((1, 3, 2)), np.zeros((1, 3, 2))).any()


@st.composite
def windows(draw: st.DrawFn) -> Window:
    rank = draw(st.integers(1, 3))

    def numbers(low: int, high: int, times: int = 1) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank * times))

    return Window(
        numbers(1, 3), numbers(1, 3), numbers(1, 2), numbers(0, 2, 2), draw(st.integers(1, 3))
    )


def convolved(x: torch.Tensor, weight: torch.Tensor, window: Window) -> torch.Tensor:
    """The convolution by torch, whose pads are the same on both sides: padded beforehand."""
    rank = len(window.kernel)
    pads = [(window.pads[i], window.pads[rank + i]) for i in range(rank)]
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), *pads])
    result: torch.Tensor = CONVOLUTIONS[rank](
        torch.from_numpy(padded), weight, None, window.strides, 0, window.dilations, window.groups
    )
    return result


@laws
@given(windows(), st.integers(0, 99), st.integers(1, 2), st.integers(1, 3))
def test_patches_times_weights_are_the_convolution(
    window: Window, seed: int, inputs: int, rows: int
) -> None:
    random = np.random.default_rng(seed)
    rank = len(window.kernel)
    spatial = random.integers(4, 7, rank)
    spans = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
    assume(all(n + p >= s for n, p, s in zip(spatial, window.pads[:rank], spans, strict=True)))
    x = torch.from_numpy(random.normal(size=(2, window.groups * inputs, *spatial)))
    weight = torch.from_numpy(random.normal(size=(window.groups * rows, inputs, *window.kernel)))
    expected = convolved(x, weight, window)
    found = patches(x, window) @ weight.reshape(window.groups, rows, -1).transpose(1, 2)
    table = expected.reshape(2, window.groups, rows, -1).permute(1, 0, 3, 2)
    torch.testing.assert_close(found, table.reshape(window.groups, -1, rows))


def test_chosen_positions_are_some_of_all() -> None:
    window = Window((3, 3), (2, 1), (1, 1), (1, 0, 0, 2), groups=4)
    x = torch.randn(3, 8, 9, 7, generator=torch.Generator().manual_seed(0))
    count = 3 * math.prod(convolved(x, torch.ones(4, 2, 3, 3), window).shape[2:])
    chosen = sample_positions(x, window, 20, torch.Generator().manual_seed(1))
    again = sample_positions(x, window, 20, torch.Generator().manual_seed(1))
    assert chosen is not None
    assert again is not None
    assert len(set(chosen.tolist())) == 20
    assert int(chosen.max()) < count
    assert torch.equal(chosen, again)
    assert torch.equal(patches(x, window, chosen), patches(x, window)[:, chosen])
    assert sample_positions(x, window, count, torch.Generator()) is None


def test_a_depthwise_gram_has_one_small_matrix_per_channel() -> None:
    window = Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1), groups=8)
    x = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    seen = Gram(8, 9).update(patches(x, window).numpy())
    assert seen.gram.shape == (8, 9, 9)
    assert seen.count == 2 * 25
    energy = float((x[:, 3].double() ** 2).sum())
    assert seen.gram[3, 4, 4] == pytest.approx(energy), "the middle of the kernel sees all pixels"


@pytest.mark.parametrize("positions", [4, 200])
def test_the_factor_of_the_moments_has_the_error_of_all_positions(positions: int) -> None:
    """Up to a constant, with fewer positions than columns too."""
    rng = np.random.default_rng(positions)
    x = rng.standard_normal((2, positions, 6))
    z = x + 0.3 * rng.standard_normal(x.shape)
    weights = rng.standard_normal((2, 3, 6))
    root, target = factored(weights, Gram(2, 6, paired=True).update(z, x))
    gaps = []
    for _ in range(4):
        q = weights + 0.2 * rng.standard_normal(weights.shape)
        whole = ((weights @ x.transpose(0, 2, 1) - q @ z.transpose(0, 2, 1)) ** 2).sum()
        gaps.append(whole - ((q @ root - target) ** 2).sum())
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-9 * whole)
    few = positions < 6  # for these there are weights without any error
    assert abs(gaps[0]) < 1e-9 * whole if few else gaps[0] > 1e-3 * whole
