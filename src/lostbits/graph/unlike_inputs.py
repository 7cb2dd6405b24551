"""Inputs of the network whose channels are in units of their own: years beside incomes.

To fold what brings them to one size into the layer behind is exact in float, yet it moves the grid
from what was normalised to what comes in. Pixels bear that; features like these would share one
scale, which leaves the small ones no levels.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant

POINTWISE = frozenset({"Add", "Div", "Mul", "Sub"})
"""Ops that scale or shift by a constant."""

_MOST_APART = 16.0  # 4 of 8 bits: of a typical channel to the widest, of a shift in the unit behind


def evens(source: ir.Value, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> bool:
    """Whether ``scale * source + shift`` brings such inputs to one size."""
    factors = np.abs(scale)
    unlike = bool(np.median(factors) > _MOST_APART * factors.min())
    return (unlike or bool(np.abs(shift).max() > _MOST_APART)) and _comes_in(source)


def _comes_in(value: ir.Value) -> bool:
    """Whether a value is an input of the network, or that behind scales and shifts by constants."""
    while (node := value.producer()) is not None:
        sources = [v for v in node.inputs if v is not None and constant(v) is None]
        if node.op_type not in POINTWISE or len(sources) != 1:
            return False
        value = sources[0]
    return value.is_graph_input()
