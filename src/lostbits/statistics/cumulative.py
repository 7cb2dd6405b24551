"""Sums of counts from one end."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cumulative(values: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ... all values.

    >>> cumulative(np.array([2, 3, 4]))
    array([0., 2., 5., 9.])
    """
    return np.append(0.0, np.cumsum(values, dtype=np.float64))
