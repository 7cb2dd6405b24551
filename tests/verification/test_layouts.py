"""Every layout of a tensor is found again by its values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostbits.verification.dumped_values import best, of_run
from lostbits.verification.layouts import Expected, closeness, layouts

STEP, ZERO = np.asarray(0.05), np.asarray(128.0)


def expected(shape: tuple[int, ...], seed: int = 0) -> Expected:
    codes = np.random.default_rng(seed).integers(0, 256, shape)
    return Expected(codes.astype(np.float64), STEP, ZERO, np.dtype(np.uint8))


shapes = st.lists(st.integers(2, 7), min_size=2, max_size=3).map(lambda s: (1, *s))


@given(shapes, st.data())
@settings(max_examples=60)
def test_an_order_of_axes_is_undone(shape: tuple[int, ...], data: st.DataObject) -> None:
    tensor = expected(shape)
    found = list(layouts(tensor.codes.size, None, shape))
    layout = data.draw(st.sampled_from(found))
    stored = np.empty(layout.stored)
    stored.transpose(layout.axes)[...] = tensor.codes.reshape(
        np.asarray(layout.stored)[list(layout.axes)]
    )
    assert np.array_equal(layout.of(stored.ravel(), shape), tensor.codes)
    first = best(((stored - ZERO) * STEP).astype(np.float32).tobytes(), tensor)[0]
    assert np.allclose(first.values, tensor.codes, atol=1e-4)


@pytest.mark.parametrize("kind", ["real", "codes", "shifted"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
def test_reals_and_codes_of_any_type_are_told_apart(kind: str, dtype: str) -> None:
    tensor = expected((1, 8, 5, 5))
    floats = dtype.startswith("float")
    if (kind == "real") != floats or (kind == "shifted") != (dtype == "int8"):
        return
    values = (tensor.codes - ZERO) * STEP if floats else tensor.codes - (dtype == "int8") * 128
    found = best(values.astype(dtype).tobytes(), tensor)[0]
    assert (found.reading.kind, found.reading.dtype) == (kind, dtype)
    assert np.allclose(found.values, tensor.codes, atol=0.2)


@pytest.mark.parametrize("channels_last", [True, False])
def test_filled_channels_are_cut_off(*, channels_last: bool) -> None:
    tensor = expected((1, 3, 6, 5))
    wide = np.full((1, 8, 6, 5), 17.0)
    wide[:, :3] = tensor.codes
    stored = wide.transpose(0, 2, 3, 1) if channels_last else wide
    found = best(stored.astype(np.uint8).tobytes(), tensor)[0]
    assert np.array_equal(found.values, tensor.codes)
    assert found.reading.layout.name == f"{'NHWC' if channels_last else 'same'} 3 of 8"


def test_blocks_of_channels_are_joined() -> None:
    tensor = expected((1, 16, 6, 5))
    stored = tensor.codes.reshape(1, 4, 4, 6, 5).transpose(0, 1, 3, 4, 2)
    found = best(stored.astype(np.uint8).tobytes(), tensor)[0]
    assert found.reading.layout.name == "NC/4HW4"
    assert np.array_equal(found.values, tensor.codes)


def test_values_that_do_not_vary_are_in_the_planned_order() -> None:
    tensor = expected((1, 4, 4, 4))
    tensor.codes[...] = 7
    found = best(np.full((1, 4, 4, 4), 7, np.uint8), tensor)[0]
    assert found.reading.layout.name == "same"
    assert closeness(found.values, tensor) == 3


def test_a_size_that_no_layout_has_gives_nothing() -> None:
    assert best(np.zeros(17, np.float32), expected((1, 4, 4))) == []


def test_runs_are_parts_of_one_array() -> None:
    from lostbits.dump import Stored

    whole = np.arange(24.0).reshape(4, 6)
    files = [Stored("a", None, "a.npy", lambda: whole)]
    for run in range(4):
        assert np.array_equal(np.asarray(of_run(files, run, 4, 6)).ravel(), whole[run])
    raw = [Stored("a", None, "a.raw", lambda: whole.astype(np.float32).tobytes())]
    part = of_run(raw, 2, 4, 6)
    assert isinstance(part, bytes)
    assert np.array_equal(np.frombuffer(part, np.float32), whole[2])
