"""Samples that are next to the same: frames of a film, copies, one picture brighter or with noise.

They belong on one side where samples are parted. A judge that the method has seen says nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.data.source import Feeds, Source

_BLOCKS = 4096  # values that a sample is averaged to, at most
_ALIKE = 0.99  # correlation of two samples' blocks; two photographs of one kind reach 0.9
_FEW = 32  # blocks below which any two samples may correlate, so that their values are compared
_SAME = 0.9  # part of the indices, such as tokens, that are equal
_FAR = 1e30  # what stands for infinity: its square is a number
_MOST = 2048  # samples; of more, the comparisons of all with all would take longer than the rest

Doubles = NDArray[np.float64]


def near_duplicates(source: Source) -> NDArray[np.int64] | None:
    """The group of each sample, named by the first in it; None of too many to compare.

    Shape: (samples,). Two samples are of one group where each input that differs at all from
    sample to sample is next to the same: floats correlate by more than 0.99 as averages over
    blocks, so that brightness and contrast do not matter; nine in ten integers are equal.
    Samples of unlike shapes are not.
    """
    count = len(source)
    if count > _MOST:
        return None
    groups = np.arange(count)
    for members, inputs in _by_shape(source):
        alike = np.ones((len(members), len(members)), bool)
        for each in inputs.values():
            alike &= _alike(each)
        for first, row in enumerate(alike):
            joined = np.unique(groups[members[row | (np.arange(len(row)) == first)]])
            groups[np.isin(groups, joined)] = joined[0]
    return groups


def _by_shape(source: Source) -> Iterator[tuple[NDArray[np.int64], Feeds]]:
    """Numbers and blocks of the samples whose inputs have one set of shapes."""
    found: dict[tuple[tuple[int, ...], ...], list[tuple[int, Feeds]]] = {}
    first = 0
    for piece in source.pieces():
        shapes = tuple(x.shape[1:] for x in piece.values())
        found.setdefault(shapes, []).append((first, {n: _blocks(x) for n, x in piece.items()}))
        first += len(next(iter(piece.values())))
    for pieces in found.values():
        counts = [len(next(iter(blocks.values()))) for _, blocks in pieces]
        starts = [start for start, _ in pieces]
        numbers = [np.arange(s, s + n) for s, n in zip(starts, counts, strict=True)]
        names = pieces[0][1]
        yield (
            np.concatenate(numbers),
            {name: np.concatenate([blocks[name] for _, blocks in pieces]) for name in names},
        )


def _blocks(x: NDArray[np.generic]) -> NDArray[np.generic]:
    """One row a sample: averages over blocks of neighbours along the long axes, or indices."""
    if x.dtype.kind != "f":
        return x.reshape(len(x), -1)
    x = np.nan_to_num(np.asarray(x, np.float64)).clip(-_FAR, _FAR)
    rest = max(_BLOCKS // max(np.prod([n for n in x.shape[1:] if n <= 4]), 1), 1)
    long = sum(n > 4 for n in x.shape[1:])
    most = max(int(rest ** (1 / max(long, 1))), 1)
    for axis in range(1, x.ndim):
        length = x.shape[axis]
        if length > max(most, 4):
            edges = np.arange(most) * length // most
            sizes = np.diff([*edges, length])
            sums = np.add.reduceat(x, edges, axis)
            x = sums / sizes.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return x.reshape(len(x), -1)


def _alike(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pairs of samples are next to the same in one input."""
    return _correlated(rows) if rows.dtype.kind == "f" else _equal(rows)


def _correlated(rows: Doubles) -> NDArray[np.bool_]:
    """By the pattern of their values."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    # A constant sample has no pattern to correlate with.
    flat = norms <= 1e-9 * np.linalg.norm(rows, axis=1)
    unit = centred / np.where(flat, 1.0, norms)[:, None]
    by_value = (flat[:, None] & flat) | (rows.shape[1] < _FEW)
    return np.where(by_value, _close(rows), unit @ unit.T >= _ALIKE)


def _close(rows: Doubles) -> NDArray[np.bool_]:
    """Which pairs are apart by no more than a hundredth of their size."""
    squares = np.sum(rows * rows, axis=1)
    apart = squares[:, None] + squares - 2 * rows @ rows.T
    near: NDArray[np.bool_] = apart <= (1 - _ALIKE) ** 2 * np.maximum(squares[:, None], squares)
    return near


def _equal(rows: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Indices that are zero in both samples, such as padding, do not count."""
    found = []
    for row in rows:
        counted = (rows != 0) | (row != 0)
        equal = np.sum((rows == row) & counted, axis=1)
        found.append(equal >= _SAME * counted.sum(axis=1))
    return np.array(found)
