"""FakeQuantize of NNCF and OpenVINO: a grid that is given by its ends and the number of levels."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant
from lostbits.grid import Affine, Grid

FAKE = "FakeQuantize"
_SAME = 1e-5  # relative difference of ends that are meant to be equal
_HALF = 0.5  # steps that zero may lie beside a level: it is rounded to one
Doubles = NDArray[np.float64]


def fake_grid(node: ir.Node) -> Affine | None:
    """Scale and zero point of a FakeQuantize; None where it has none of its own.

    Ends before and behind it must be the same constants, one pair or one for each channel of an
    axis. The codes are signed where zero lies in the middle.

    References:
        OpenVINO, operation specification, FakeQuantize-1.
    """
    given = [constant(value) for value in node.inputs[1:5]]
    arrays = [np.asarray(a, np.float64) for a in given if a is not None]
    levels = node.attributes.get_int("levels", 0)
    if len(arrays) < 4 or not 3 <= levels <= 2**16 or not _alike(arrays):
        return None
    low, high = np.broadcast_arrays(*arrays[:2])
    long = [i for i, size in enumerate(low.shape) if size > 1]
    if len(long) > 1 or not ((low < high) & np.isfinite(high - low)).all():
        return None
    return _affine(low.ravel(), high.ravel(), levels, long[0] if long else None)


def _alike(arrays: list[Doubles]) -> bool:
    pairs = zip(arrays[:2], arrays[2:], strict=True)
    return all(a.shape == b.shape and np.allclose(a, b, rtol=_SAME, atol=0) for a, b in pairs)


def _affine(low: Doubles, high: Doubles, levels: int, axis: int | None) -> Affine:
    scale = (high - low) / (levels - 1)
    below = np.rint(-low / scale)  # levels below zero
    bits = max((levels - 1).bit_length(), 2)
    half = levels // 2
    middle = bool((np.abs(-low / scale - half) <= _HALF).all())
    bottom = -half if middle else 0
    grid = Grid(bits, middle, bottom, bottom + levels - 1)
    zero = np.clip(below + bottom, grid.qmin, grid.qmax).astype(np.int64)
    shape = () if axis is None else (-1,)
    return Affine(grid, scale.astype(np.float32).reshape(shape), zero.reshape(shape), axis)
