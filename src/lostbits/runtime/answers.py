"""Which output of a network gives answers."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from lostbits.graph.outputs import Compared
from lostbits.runtime.output_figures import Kind


def answering(compared: Sequence[Compared]) -> int | None:
    """Number of the first output whose largest entry is an answer; None without any."""
    kinds = (Kind.CLASSES, Kind.SEQUENCE)
    return next((n for n, each in enumerate(compared) if each.kind in kinds), None)


def classifies(output: NDArray[Any]) -> bool:
    """Whether the largest entry along the last axis means something: scores, not maps."""
    return output.ndim in (2, 3) and output.shape[-1] > 1
