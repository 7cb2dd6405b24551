"""Inner products by channel, against NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lostbits.runtime.inner_products import products
from lostbits.runtime.memory_layout import channels_last

SHAPES = ((7,), (5, 3), (3, 4, 5), (2, 3, 5, 4), (2, 1, 3, 3), (300, 6), (1, 2, 70, 70), (0, 3))


@given(st.sampled_from(SHAPES), st.sampled_from([None, 0, 1, 2, 3]), st.booleans())
def test_products_are_those_of_numpy_along_every_axis(
    shape: tuple[int, ...], axis: int | None, last: bool
) -> None:
    random = np.random.default_rng(0)
    x, y = (torch.from_numpy(random.normal(size=shape).astype(np.float32)) for _ in range(2))
    found = products(channels_last(x) if last else x, y, axis)
    whole = x.double().numpy() * y.double().numpy()
    kept = axis if axis is not None and axis < len(shape) else None
    others = tuple(d for d in range(len(shape)) if d != kept)
    expected = np.atleast_1d(whole.sum(axis=others if kept is not None else None))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(400_000, 2), (1, 2, 400_000)])
def test_products_keep_small_parts_of_many_values(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    np.testing.assert_array_equal(products(x, torch.full(shape, 0.1), 1), products(x, x * 0.1, 1))
    assert products(x, torch.full(shape, 0.1), 1) == pytest.approx([40_000.0] * 2, rel=1e-5)
