"""How the values of a dump lie in memory, found by comparison with the tensor that they should be.

Devices turn axes, put channels into blocks and fill them up; a raw file tells nothing of it. Every
layout that gives the right number of values is tried, and the values decide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

Kind = Literal["real", "codes", "shifted"]
Shape = tuple[int, ...]
Reals = NDArray[np.float64]
_BLOCKS = (4, 8, 16, 32)  # channels that a device keeps side by side
_FILLED = 64  # most channels or columns to which an axis is filled up
_MOST_AXES = 4  # of a tensor whose axes are tried in every order; others as they are, or turned
_NEAR = 8.0  # codes


@final
@dataclass(frozen=True)
class Layout:
    """One order of values.

    Attributes:
        name: ``NHWC``, ``NC/4HW4`` and the like; of the planned order ``same``.
        stored: Axes as they lie in memory.
        axes: Which of those are ours, in our order; a block of channels is next to what it is of.
        merged: Shape after channels and their blocks are one axis again, and before filling is cut.
    """

    name: str
    stored: Shape
    axes: Shape
    merged: Shape

    def of(self, values: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """The values in our order and shape."""
        turned = values.reshape(self.stored).transpose(self.axes).reshape(self.merged)
        return turned[tuple(slice(n) for n in shape)]


def layouts(count: int, told: Sequence[int] | None, shape: Shape) -> Iterator[Layout]:
    """Every layout of ``count`` values that may hold a tensor of ``shape``.

    Args:
        count: Values in the file, filling included.
        told: Shape in the file, if it has one.
        shape: Of the tensor, as the plan has it; axis 0 counts samples.
    """
    found = _turned(shape) if count == int(np.prod(shape)) else _filled(count, shape)
    told = None if told is None or len(told) <= 1 else tuple(n for n in told if n != 1)
    for each in found:
        if told is None or told == tuple(n for n in each.stored if n != 1):
            yield each


def _turned(shape: Shape) -> Iterator[Layout]:
    """Axes in another order, and channels in blocks."""
    for order in _orders(len(shape)):
        back = tuple(order.index(axis) for axis in range(len(shape)))
        yield Layout(_named(order), tuple(shape[axis] for axis in order), back, shape)
    yield from _blocks(shape)


def _orders(rank: int) -> Iterator[Shape]:
    """Orders of the axes, the planned one first and the usual other one next."""
    rest = tuple(range(1, rank))
    yield tuple(range(rank))
    if rank > 2:
        yield (0, *rest[1:], rest[0])
    if 2 < rank <= _MOST_AXES:
        usual = {rest, (*rest[1:], rest[0])}
        yield from ((0, *order) for order in permutations(rest) if order not in usual)


def _named(order: Shape) -> str:
    if order == tuple(sorted(order)):
        return "same"
    letters = {3: "NCW", 4: "NCHW", 5: "NCDHW"}.get(len(order))
    return "".join(letters[axis] for axis in order) if letters else f"axes {list(order)}"


def _blocks(shape: Shape, suffix: str = "") -> Iterator[Layout]:
    """Blocks of channels behind all other axes."""
    if len(shape) < 3:
        return
    n, c, *rest = shape
    for size in _BLOCKS:
        if c % size == 0 and c > size:
            axes = (0, 1, len(shape), *range(2, len(shape)))
            stored = (n, c // size, *rest, size)
            yield Layout(f"NC/{size}HW{size}{suffix}", stored, axes, shape)


def _filled(count: int, shape: Shape) -> Iterator[Layout]:
    """Channels, or rows, that are filled up."""
    size = int(np.prod(shape))
    if count < size or not size or len(shape) < 2:
        return
    for axis in dict.fromkeys((1, len(shape) - 1)):
        length, rest = shape[axis], size // shape[axis]
        most = count // rest
        if count % rest == 0 and length < most < length + _FILLED:
            wide = (*shape[:axis], most, *shape[axis + 1 :])
            yield from (_with_suffix(each, f" {length} of {most}") for each in _turned(wide))


def _with_suffix(layout: Layout, suffix: str) -> Layout:
    return Layout(f"{layout.name}{suffix}", layout.stored, layout.axes, layout.merged)


@final
@dataclass(frozen=True)
class Reading:
    """What the values of a file mean.

    Attributes:
        layout: Order of the values.
        kind: Reals; codes; or codes whose sign is the other one, so that they are off by half of
            the grid.
        dtype: Type of the values in the file.
    """

    layout: Layout
    kind: Kind
    dtype: str


@final
@dataclass(frozen=True)
class Expected:
    """What a tensor should be.

    Attributes:
        codes: Codes of the simulation; of a float tensor values in parts of the largest.
        step, zero: Of one code, shaped to broadcast.
        kind: Type of the codes; None for a float tensor.
    """

    codes: Reals
    step: Reals
    zero: Reals
    kind: np.dtype[Any] | None

    @property
    def shape(self) -> Shape:
        """Of the tensor, one run of it."""
        return self.codes.shape

    def in_codes(self, values: NDArray[Any], kind: Kind) -> Reals:
        """Values of a file in codes of the plan, not rounded."""
        if kind == "real":
            found: Reals = np.asarray(values, np.float64) / self.step + self.zero
            return found
        half = 0.0
        if kind == "shifted" and self.kind is not None:
            half = (-1.0 if self.kind.kind == "i" else 1.0) * 2.0 ** (8 * self.kind.itemsize - 1)
        return np.asarray(values, np.float64) + half


def readings(content: NDArray[Any] | bytes, expected: Expected) -> Iterator[tuple[Reading, Reals]]:
    """Every reading of a file that fits the tensor, with the values in codes of the plan."""
    for values, told in _typed(content, expected):
        for layout in layouts(values.size, told, expected.shape):
            mine = layout.of(values, expected.shape)
            for kind in _kinds(values.dtype, expected):
                reading = Reading(layout, kind, values.dtype.name)
                with np.errstate(over="ignore", invalid="ignore"):
                    yield reading, expected.in_codes(mine, kind)


def reread(content: NDArray[Any] | bytes, reading: Reading, expected: Expected) -> Reals | None:
    """Another run of a tensor whose reading is known; None where it has another size."""
    if isinstance(content, bytes):
        dtype = np.dtype(reading.dtype)
        values = np.frombuffer(content, dtype) if len(content) % dtype.itemsize == 0 else None
    else:
        values = content if content.dtype.name == reading.dtype else None
    if values is None or values.size != int(np.prod(reading.layout.stored)):
        return None
    if reading.layout.of(values, expected.shape).shape != expected.shape:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return expected.in_codes(reading.layout.of(values, expected.shape), reading.kind)


def _typed(
    content: NDArray[Any] | bytes, expected: Expected
) -> Iterator[tuple[NDArray[Any], tuple[int, ...] | None]]:
    """The values by every type that their number of bytes allows."""
    if not isinstance(content, bytes):
        yield content, content.shape
        return
    own = [] if expected.kind is None else [expected.kind, np.dtype(np.int32)]
    if expected.kind is not None:
        other = "u" if expected.kind.kind == "i" else "i"
        own.append(np.dtype(f"{other}{expected.kind.itemsize}"))
    for dtype in (np.dtype(np.float32), *own, np.dtype(np.float16), np.dtype(np.float64)):
        if len(content) % dtype.itemsize == 0:
            yield np.frombuffer(content, dtype), None


def _kinds(dtype: np.dtype[Any], expected: Expected) -> tuple[Kind, ...]:
    """What values of a type may be; codes may be written as floats."""
    if expected.kind is None:
        return ("real",)
    return ("real", "codes", "shifted") if dtype.kind == "f" else ("codes", "shifted")


def closeness(found: Reals, expected: Expected) -> float:
    """How well values fit, 0 to 3: in their course, to the code, and in their size.

    Values that another scale or an arithmetic of its own has moved still follow the course of the
    right ones; values in the wrong order do not.
    """
    ours = expected.codes
    good = np.isfinite(found)
    if not good.any():
        return 0.0
    a, b = found[good], ours[good]
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.abs(a - b)
        size = float(1 / (1 + np.sqrt(np.mean(np.minimum(distance, 1e6) ** 2)) / _NEAR))
    return _correlation(a, b) + float((distance <= 1).mean()) + size


def _correlation(a: Reals, b: Reals) -> float:
    """Of Pearson, none negative; 1 of two that do not vary."""
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = a - a.mean(), b - b.mean()
        power = float(np.sqrt((x * x).sum() * (y * y).sum()))
    if not np.isfinite(power):
        return 0.0
    if power == 0:
        return float(not x.any() and not y.any())
    return max(float((x * y).sum()) / power, 0.0)
