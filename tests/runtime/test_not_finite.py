"""What is not finite is an error where it is compared, not a figure."""

import numpy as np
import pytest

from lostbits.errors import SimulationError
from lostbits.runtime.equality import relative_error
from lostbits.runtime.metrics import Comparison


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("side", "code"), [(0, "S003"), (1, "S005")])
def test_a_comparison_refuses_it(wrong: float, side: int, code: str) -> None:
    pair = [np.ones((4, 3), np.float32) for _ in range(2)]
    pair[side][2, 1] = wrong
    with pytest.raises(SimulationError) as refused:
        Comparison().update([pair[0]], [pair[1]], range(8, 12))
    assert refused.value.code == code
    assert "8 to 11" in str(refused.value)


def test_numbers_are_compared() -> None:
    x = np.ones((4, 3), np.float32)
    assert Comparison().update([x], [x * 2], range(4)).baseline(["y"]).sqnr_db == 0.0


def test_infinities_have_no_distance() -> None:
    x, y = np.array([np.inf, 1.0], np.float32), np.array([np.inf, 2.0], np.float32)
    assert np.isnan(relative_error(x, y))
    assert relative_error(x, x) == 0.0
