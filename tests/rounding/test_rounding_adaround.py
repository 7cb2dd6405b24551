"""AdaRound: its start, its constraints, and that it never ends above nearest rounding."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lostbits.errors import RecoveryError
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.rounding import Reconstruction, Rounded, RoundedWeight, adaround, adaround_block
from lostbits.rounding.soft_rounding import SoftWeight, decision, openness, penalty_slope

laws = settings(deadline=None, max_examples=40, derandomize=True)
Batches = list[tuple[Tensor, Tensor]]
SHORT = Reconstruction(iterations=400)


def affine_of(weight: NDArray[Any], bits: int, *, symmetric: bool = True) -> Affine:
    rest = tuple(range(1, weight.ndim))
    grid = Grid.of(bits, signed=symmetric)
    return affine_from_range(
        weight.min(axis=rest), weight.max(axis=rest), grid, symmetric=symmetric, axis=0
    )


def random_weight(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def relu_conv(x: Tensor, weight: Tensor) -> Tensor:
    return functional.relu(functional.conv2d(x, weight))


def linear(x: Tensor, weight: Tensor) -> Tensor:
    return functional.linear(x, weight)


def conv_case(bits: int, seed: int = 0) -> tuple[RoundedWeight, Batches]:
    """A 3 x 3 convolution on smooth, rectified inputs, seen through an 8-bit grid."""
    generator = torch.Generator().manual_seed(seed)
    weight = 0.1 * random_weight(seed, 6, 4, 3, 3)
    batches = []
    for _ in range(4):
        noise = torch.randn(8, 4, 8, 8, generator=generator)
        x = functional.relu(functional.avg_pool2d(noise, 3, 1) + 0.2)
        target = relu_conv(x, torch.from_numpy(weight))
        batches.append((torch.round(x * 64) / 64, target))
    return RoundedWeight(weight, affine_of(weight, bits)), batches


def linear_case(weight: NDArray[np.float32], root: NDArray[Any], bits: int) -> tuple[Any, Batches]:
    """Inputs whose Gram matrix is ``root^T root``: one sample for each row of the root."""
    x = torch.from_numpy(root.astype(np.float32))
    layer = RoundedWeight(weight, affine_of(weight, bits))
    return layer, [(x, linear(x, torch.from_numpy(weight)))]


def hard_loss(layer: RoundedWeight, codes: NDArray[np.int64], batches: Batches) -> float:
    weight = layer.values(codes)
    errors = [(relu_conv(x, weight) - y).square().sum(dim=1).mean() for x, y in batches]
    return float(torch.stack(errors).mean())


def lower_codes(layer: RoundedWeight) -> NDArray[np.int64]:
    scale = layer.affine.scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    zero = layer.affine.zero_point.reshape(scale.shape)
    lower: NDArray[np.int64] = np.floor(layer.weight / scale).astype(np.int64) + zero
    return lower


def within(layer: RoundedWeight, codes: NDArray[np.int64]) -> bool:
    """Whether every code is the floor or the ceiling of its weight, limited to the grid."""
    grid, lower = layer.affine.grid, lower_codes(layer)
    low, high = (np.clip(c, grid.qmin, grid.qmax) for c in (lower, lower + 1))
    return bool(((codes == low) | (codes == high)).all())


@laws
@given(st.floats(0, 1, width=32))
def test_v_is_where_h_is_the_fraction(fraction: float) -> None:
    h = torch.tensor(fraction)
    assert float(openness(decision(h))) == pytest.approx(fraction, abs=2e-7)


def test_the_rectified_sigmoid_reaches_both_ends() -> None:
    v = torch.tensor([-10.0, -2.3979, 0.0, 2.3979, 10.0])
    np.testing.assert_allclose(openness(v), [0, 0, 0.5, 1, 1], atol=1e-5)
    assert float(decision(torch.tensor(0.5))) == pytest.approx(0, abs=1e-6)


@laws
@given(st.integers(0, 999), st.sampled_from([2.0, 7.5, 20.0]))
def test_the_slope_of_the_penalty_is_that_of_its_formula(seed: int, beta: float) -> None:
    h = torch.rand(20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    h.requires_grad_()
    (1 - (2 * h - 1).abs().pow(beta)).sum().backward()  # type: ignore[no-untyped-call]
    assert h.grad is not None
    torch.testing.assert_close(penalty_slope(h.detach(), beta), h.grad)


@laws
@given(st.integers(0, 999), st.integers(2, 8), st.booleans(), st.sampled_from([None, 2.0, 20.0]))
def test_the_slopes_of_v_are_those_that_autograd_finds(
    seed: int, bits: int, symmetric: bool, beta: float | None
) -> None:
    weight = 2 * random_weight(seed, 3, 5)
    layer = RoundedWeight(weight, affine_of(weight / 1.5, bits, symmetric=symmetric))
    soft, slope = SoftWeight(layer), torch.from_numpy(random_weight(seed + 1, 3, 5))
    soft.descend(slope, 0.3, beta)
    found, soft.v.grad = soft.v.grad, None
    assert found is not None
    h = openness(soft.v)
    scale, zero = (
        torch.from_numpy(np.asarray(v, np.float32)).reshape(-1, 1)
        for v in (layer.affine.scale, layer.affine.zero_point)
    )
    steps = torch.from_numpy(weight) / scale
    grid = layer.affine.grid
    steps = torch.minimum(torch.maximum(steps.floor() + h, grid.qmin - zero), grid.qmax - zero)
    loss = (steps * scale * slope).sum()
    if beta is not None:
        loss = loss + 0.3 * (1 - (2 * h - 1).abs().pow(beta)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert soft.v.grad is not None
    inside = (h > 0) & (h < 1)
    torch.testing.assert_close(
        torch.where(inside, found, 0), torch.where(inside, soft.v.grad, 0), rtol=1e-4, atol=1e-6
    )


@laws
@given(st.integers(0, 999), st.integers(2, 8), st.booleans())
def test_at_the_start_soft_weights_are_the_float_weights_and_hard_ones_nearest(
    seed: int, bits: int, symmetric: bool
) -> None:
    weight = random_weight(seed, 3, 5)
    layer = RoundedWeight(weight, affine_of(weight, bits, symmetric=symmetric))
    soft = SoftWeight(layer)
    limited = layer.affine.clip(weight)
    np.testing.assert_allclose(soft.weight().detach(), limited, atol=2e-6)
    np.testing.assert_array_equal(soft.codes(), layer.nearest)


@laws
@given(st.integers(0, 999), st.integers(2, 5))
def test_given_a_start_the_first_decisions_are_its_own(seed: int, bits: int) -> None:
    weight = random_weight(seed, 3, 5)
    grid = Grid.of(bits, signed=True)
    start = np.random.default_rng(seed).integers(grid.qmin, grid.qmax + 1, weight.shape)
    layer = RoundedWeight(weight, affine_of(weight, bits), start)
    soft = SoftWeight(layer)
    np.testing.assert_array_equal(soft.codes(), start)
    h = openness(soft.v.detach())
    assert float((h - 0.5).abs().min()) >= 0.05 - 1e-5, "advice is not a tie"


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_it_learns_codes_next_to_the_weights_and_much_better_ones(bits: int) -> None:
    layer, batches = conv_case(bits)
    found = adaround(layer, batches, relu_conv, SHORT)
    codes = found.codes["weight"]
    assert within(layer, codes)
    assert found.loss_after < 0.75 * found.loss_before
    assert found.loss_before == pytest.approx(hard_loss(layer, layer.nearest, batches), rel=1e-5)
    assert found.loss_after == pytest.approx(hard_loss(layer, codes, batches), rel=1e-5)


@pytest.mark.slow
def test_after_learning_less_than_a_hundredth_is_undecided() -> None:
    layer, batches = conv_case(4)
    found = adaround(layer, batches, relu_conv, Reconstruction(iterations=1000))
    assert found.hard_fraction > 0.99


@pytest.mark.slow
@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(0, 40), st.booleans())
def test_never_above_nearest_or_the_start(
    seed: int, bits: int, iterations: int, given_a_start: bool
) -> None:
    random = np.random.default_rng(seed)
    weight = random_weight(seed, 3, 6)
    layer, batches = linear_case(weight, random.normal(size=(20, 6)), bits)
    start = layer.nearest + random.integers(-1, 2, weight.shape) if given_a_start else None
    start = (
        None if start is None else np.clip(start, layer.affine.grid.qmin, layer.affine.grid.qmax)
    )
    how = Reconstruction(iterations=iterations, rate=1.0)
    found = adaround(RoundedWeight(weight, layer.affine, start), batches, linear, how)
    x, y = batches[0]

    def loss(codes: NDArray[np.int64]) -> float:
        return float((linear(x, layer.values(codes)) - y).square().sum(dim=1).mean())

    bars = [loss(layer.nearest), *([] if start is None else [loss(start)])]
    assert found.loss_before == pytest.approx(min(bars))
    assert loss(found.codes["weight"]) <= min(bars) * (1 + 1e-6)
    assert found.loss_after <= found.loss_before


@pytest.mark.slow
def test_two_coupled_weights_are_rounded_better_than_each_by_itself() -> None:
    """Wherever one of the four choices beats nearest, the best one is found."""
    root = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]])).T
    affine = affine_from_range(-7.0, 7.0, Grid.of(4, signed=True), symmetric=True)
    beaten = 0
    for a, b in [(0.4, 0.45), (0.6, 0.52), (0.3, 0.49), (0.2, 0.1), (0.9, 0.4)]:
        weight = np.array([[a, b]], np.float32)
        _, batches = linear_case(weight, root, 4)
        found = adaround(RoundedWeight(weight, affine), batches, linear, SHORT)
        errors = [np.array(c) - [a, b] for c in itertools.product((0, 1), repeat=2)]
        best = min(float(((root @ e) ** 2).sum()) / 2 for e in errors)
        assert found.loss_after == pytest.approx(best, rel=1e-4)
        beaten += found.loss_after < 0.99 * found.loss_before
    assert beaten == 3


@pytest.mark.slow
def test_a_good_start_is_improved_upon() -> None:
    layer, batches = conv_case(3)
    first = adaround(layer, batches, relu_conv, Reconstruction(iterations=60)).codes["weight"]
    warm = RoundedWeight(layer.weight, layer.affine, first)
    found = adaround(warm, batches, relu_conv, SHORT)
    assert found.loss_before == pytest.approx(hard_loss(layer, first, batches), rel=1e-5)
    assert found.loss_after < found.loss_before


@pytest.mark.slow
def test_a_residual_block_is_learned_as_one() -> None:
    generator = torch.Generator().manual_seed(3)
    one, two = (0.3 * random_weight(seed, 6, 6) for seed in (1, 2))

    def block(x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        return functional.relu(x + linear(functional.relu(linear(x, weights["a"])), weights["b"]))

    layers = {n: RoundedWeight(w, affine_of(w, 3)) for n, w in (("a", one), ("b", two))}
    floats = {"a": torch.from_numpy(one), "b": torch.from_numpy(two)}
    inputs = [functional.relu(torch.randn(64, 6, generator=generator)) for _ in range(3)]
    batches = [(x, block(x, floats)) for x in inputs]
    found = adaround_block(layers, batches, block, SHORT)
    assert found.loss_after < 0.8 * found.loss_before
    assert all(within(layers[name], found.codes[name]) for name in layers)


def test_the_seed_decides_everything_and_gradients_may_be_off() -> None:
    layer, batches = conv_case(4)
    with torch.no_grad():
        one = adaround(layer, batches, relu_conv, Reconstruction(iterations=50))
    two = adaround(layer, batches, relu_conv, Reconstruction(iterations=50))
    np.testing.assert_array_equal(one.codes["weight"], two.codes["weight"])
    assert one.loss_after == two.loss_after


def test_what_nearest_rounding_loses_nothing_on_is_left_alone() -> None:
    weight = np.array([[1.0, -2.0, 7.0]], np.float32)
    layer, batches = linear_case(weight, np.eye(3), 4)
    found = adaround(layer, batches, linear, SHORT)
    assert found == Rounded(found.codes, 0.0, 0.0, 0, 1.0)
    np.testing.assert_array_equal(found.codes["weight"], layer.nearest)


def test_learning_ends_when_all_have_decided() -> None:
    layer, batches = conv_case(4)
    how = Reconstruction(strength=1e4, warm=0.0, beta=(2.0, 2.0), patience=99)
    found = adaround(layer, batches, relu_conv, how)
    assert found.hard_fraction == 1
    assert found.iterations < 1000


@pytest.mark.slow
def test_learning_ends_when_the_decided_gain_nothing_more() -> None:
    layer, batches = conv_case(4)
    how = Reconstruction(iterations=1000, checks=100)
    found = adaround(layer, batches, relu_conv, how)
    assert 0.95 <= found.hard_fraction < 1
    assert found.iterations < 1000


def test_the_exponent_falls_by_half_a_cosine_after_the_warm_start() -> None:
    how = Reconstruction(iterations=100)
    assert how.exponent(19) is None
    assert how.exponent(20) == pytest.approx(20)
    assert how.exponent(60) == pytest.approx(11)
    assert how.exponent(100) == pytest.approx(2)


def test_every_batch_is_seen_once_before_any_is_seen_twice() -> None:
    layer, batches = conv_case(4)
    seen: list[int] = []

    def watched(x: Tensor, weight: Tensor) -> Tensor:
        if weight.requires_grad:
            seen.extend(i for i, (other, _) in enumerate(batches) if other is x)
        return relu_conv(x, weight)

    for seed in range(4):
        adaround(layer, batches, watched, Reconstruction(iterations=8, checks=1, seed=seed))
    assert all(sorted(seen[i : i + 4]) == [0, 1, 2, 3] for i in range(0, 32, 4))
    assert len({tuple(seen[i : i + 8]) for i in range(0, 32, 8)}) > 1, "the seed gives the order"


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_loss_that_is_no_number_is_refused_with_a_code(when: str) -> None:
    layer, batches = conv_case(4)

    def broken(x: Tensor, weight: Tensor) -> Tensor:
        bad = when == "at once" or weight.requires_grad
        return relu_conv(x, weight) * (math.nan if bad else 1.0)

    with pytest.raises(RecoveryError, match=r"R001: AdaRound of weight: the loss must be"):
        adaround(layer, batches, broken, SHORT)
