"""Sums of every part of every output, batch by batch, and the figures that they make."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.graph.outputs import Compared, Part
from lostbits.runtime.counting import Counts
from lostbits.runtime.decibels import decibels
from lostbits.runtime.output_figures import OutputFigures, PartFigures

# Columns: squared error, squares of the float values, and both ends of the float and of the
# quantized values, the lower ones with their sign turned, so that all ends grow.
_ENDS = slice(2, 6)
_LOW, _HIGH, _OTHER_LOW, _OTHER_HIGH = range(2, 6)
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def part_sums(
    compared: Sequence[Compared], pairs: Sequence[Pair], counts: Sequence[Counts]
) -> NDArray[np.float64]:
    """A row for each part of each output of a batch, in order; shape (parts, 6).

    Args:
        compared: The outputs.
        pairs: Float and quantized values of each, zero where they do not count.
        counts: Which positions of each count.
    """
    rows = [
        [*_energies(pair, part), *_ends(pair, part, count)]
        for each, pair, count in zip(compared, pairs, counts, strict=True)
        for part in each.parts
    ]
    return np.array(rows, np.float64)


def together(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of two batches as one."""
    sums = one + other
    sums[:, _ENDS] = np.maximum(one[:, _ENDS], other[:, _ENDS])
    return sums


def figures_of(
    compared: Sequence[Compared], rows: NDArray[np.float64], whole: Mapping[str, float | None]
) -> list[OutputFigures]:
    """Figures of every output; ``whole``: decibels of each by name."""
    following = iter(rows.tolist())
    return [
        OutputFigures(each.name, each.kind, whole[each.name], list(_parts(each, following)))
        for each in compared
    ]


def _parts(each: Compared, rows: Iterator[list[float]]) -> Iterator[PartFigures]:
    for part in each.parts:
        row = next(rows)
        varied = row[_HIGH] + row[_LOW] > 0
        still = row[_OTHER_HIGH] + row[_OTHER_LOW] <= 0
        yield PartFigures(part.name, decibels(row[1], row[0]), dead=varied and still)


def _energies(pair: Pair, part: Part) -> tuple[float, float]:
    plain, other = (x[part.index] for x in pair)
    return float(((other - plain) ** 2).sum()), float((plain**2).sum())


def _ends(pair: Pair, part: Part, counts: Counts) -> Iterator[float]:
    for x in pair:
        values = _counted(x, part, counts)
        yield float(-values.min(initial=np.inf))
        yield float(values.max(initial=-np.inf))


def _counted(x: NDArray[Any], part: Part, counts: Counts) -> NDArray[Any]:
    """Values of a part at positions that count."""
    if counts is None:
        return x[part.index]
    first, rest = part.index[: counts.ndim], part.index[counts.ndim :]
    return x[first][counts[first]][(slice(None), *rest)]
