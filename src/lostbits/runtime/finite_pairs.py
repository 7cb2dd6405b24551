"""Outputs that can be compared: numbers on both sides."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import SimulationError
from lostbits.graph.outputs import Compared
from lostbits.runtime.simulation import not_finite


def check_finite(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], span: range, compared: Sequence[Compared]
) -> None:
    """Refuse outputs that are not finite where they count.

    Args:
        pairs: Of the float network and of the other one, one for each output.
        span: Numbers of the samples.
        compared: What the outputs are called; nothing: they are numbered.

    Raises:
        SimulationError: S003 on the side of the float network, S005 on the other.
    """
    for number, (plain, other) in enumerate(pairs):
        where = f"output {compared[number].name!r}" if compared else f"output {number}"
        found = f"NaN or infinity within samples {span.start} to {span.stop - 1}"
        if not np.isfinite(plain).all():
            raise SimulationError("S003", where, found)
        if not np.isfinite(other).all():
            raise not_finite(where, found)
