"""Compiled loops: the same as the plain ones, wherever they may be kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from lostbits.compiled import compiled, compiled_sums


def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


@pytest.mark.parametrize("make", [compiled, compiled_sums])
def test_a_compiled_loop_gives_what_the_plain_one_gives(make: Callable[..., Any]) -> None:
    values = np.random.default_rng(0).normal(size=1001)
    assert make(total)(values) == pytest.approx(total(values), rel=1e-12)


def test_sums_in_order_are_those_of_the_plain_loop_to_the_last_bit() -> None:
    values = np.random.default_rng(1).normal(size=1001) * 10.0 ** np.arange(1001) ** 0.3
    assert compiled(total)(values) == total(values)


def test_a_loop_that_cannot_be_kept_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numba raises when neither the module's folder nor the user's can be written."""
    real, asked = njit, []

    def nowhere(**options: Any) -> Any:
        asked.append(options.pop("cache", False))
        if asked[-1]:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr("lostbits.compiled.njit", nowhere)
    assert compiled(total)(np.arange(4.0)) == 6
    assert asked == [True, False]
