"""Sizes of inputs and outputs in a run: they tell axes apart that the file leaves free."""

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

_SIZES = "lostbits.sizes"


def keep_sizes(graph: ir.Graph, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep what a run shows of inputs and outputs, and believe it where the file errs.

    Some exporters write (1, length) for what is (steps, 1, classes). What an output means, and
    where its classes are, follows from its axes.

    Args:
        graph: Changed in place.
        arrays: Inputs and outputs of the first run, by name.
    """
    for value in (*graph.inputs, *graph.outputs):
        array = arrays.get(value.name or "")
        if array is None:
            continue
        value.meta[_SIZES] = array.shape
        if value.shape is not None and len(value.shape) != array.ndim:
            free: list[int | None] = [None] * array.ndim
            value.shape = ir.Shape(free[:-1] + list(array.shape[-1:]))


def sizes(value: ir.Value) -> tuple[int, ...] | None:
    """Those of the first run; None before it."""
    found: tuple[int, ...] | None = value.meta.get(_SIZES)
    return found
