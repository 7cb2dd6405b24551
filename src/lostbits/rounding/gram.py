"""Second moments of a layer's inputs: all that the quadratic error of its output depends on."""

from typing import Any, NamedTuple, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.statistic import RunningSum

Floats = NDArray[np.float64]
# Positions multiplied at once in the inputs' own precision, which costs half of float64; blocks add
# up in float64, so that the sum of many is as good as that of one.
BLOCK = 4096
# Part of a second moment that float32 sums leave in doubt. Inputs that vary by less, which is 0.3 %
# of their mean, are constants: what is left of them about the mean is noise, even of a wrong sign.
_NOISE = 1e-5


class Moments(NamedTuple):
    """The sums of a ``Gram``; the last two of a paired one only."""

    gram: Floats
    total: Floats
    positions: int
    cross: Floats | None = None
    float_total: Floats | None = None


@final
class Gram(RunningSum[Moments]):
    """Sums over samples, in float64: they add up, so shards of the data can be merged.

    Not a ``Statistic``, whose law is equality bit for bit: the order of summation shows here, in
    about the last 1e-6 of a sum of float32 inputs.

    Args:
        groups: Groups of the layer.
        columns: Inputs of one group.
        paired: Whether every batch comes with its float counterpart.

    Attributes:
        gram: ``sum x x^T``, shape ``(groups, columns, columns)``; x is what the layer sees.
        cross: ``sum f x^T`` with f the float counterpart of x, the same shape; equals ``gram``
            (the same array) unless paired.
        total: ``sum x``, shape ``(groups, columns)``.
        float_total: ``sum f``; equals ``total`` unless paired.
        count: Samples (positions of a convolution) so far.
    """

    form = Moments

    def __init__(self, groups: int, columns: int, *, paired: bool = False) -> None:
        self.paired = paired
        self.gram = np.zeros((groups, columns, columns))
        self.cross = np.zeros_like(self.gram) if paired else self.gram
        self.total = np.zeros((groups, columns))
        self.float_total = np.zeros_like(self.total) if paired else self.total
        self.count = 0

    def update(self, x: NDArray[Any], reference: NDArray[Any] | None = None) -> Self:
        """Take in one batch.

        Args:
            x: Shape ``(groups, positions, columns)`` or, of a single group,
                ``(samples, columns)``; float32.
            reference: The float counterpart of x, if paired.
        """
        if (reference is not None) != self.paired:
            raise ValueError("Gram.update: give a reference if and only if paired")
        x = x[None] if x.ndim == 2 else x
        partner = None if reference is None else reference.reshape(x.shape)
        for first in range(0, x.shape[1], BLOCK):
            part = slice(first, first + BLOCK)
            self._add(x[:, part], None if partner is None else partner[:, part])
        return self

    def _add(self, x: NDArray[Any], reference: NDArray[Any] | None) -> None:
        self.gram += _products(x, x)
        self.total += _sum(x)
        self.count += x.shape[1]
        if reference is not None:
            self.cross += _products(reference, x)
            self.float_total += _sum(reference)

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen."""
        if self.paired != other.paired or self.gram.shape != other.gram.shape:
            raise ValueError("Gram.merge: the two are of different layers")
        self.gram += other.gram
        self.total += other.total
        self.count += other.count
        if self.paired:
            self.cross += other.cross
            self.float_total += other.float_total
        return self

    def state(self) -> Moments:
        """The sums."""
        pair = (self.cross, self.float_total) if self.paired else (None, None)
        return Moments(self.gram, self.total, self.count, *pair)

    def restore(self, state: Moments) -> Self:
        """The sums of a layer of the same size, paired or not as this one is."""
        pair = (state.cross, state.float_total)
        known = (self.gram.shape, self.total.shape) * (1 + self.paired)
        found = (state.gram, state.total, *(each for each in pair if each is not None))
        if tuple(each.shape for each in found) != known:
            raise ValueError("Gram.restore: it is of another layer")
        self.gram, self.total, self.count = state.gram, state.total, state.positions
        self.cross, self.float_total = found[-2:]
        return self

    def centred(self) -> "Gram":
        """The same moments about the means: the error that is left once the bias is corrected.

        A free bias takes the mean of the output's error to zero, so only this part of the Gram
        matrix is worth spending codes on. The means stay, for ``bias_shift``.
        """
        mean = self.total[:, None, :] / max(self.count, 1)
        gram = self.gram - self.total[:, :, None] * mean
        before, after = (np.diagonal(each, axis1=1, axis2=2) for each in (self.gram, gram))
        vary = (after > _NOISE * before).astype(np.float64)
        gram *= vary[:, :, None] * vary[:, None, :]
        if not self.paired:
            return Gram.of(gram, self.total, self.count)
        cross = self.cross - self.float_total[:, :, None] * mean
        return Gram.of(gram, self.total, self.count, (cross * vary[:, None, :], self.float_total))

    @classmethod
    def of(
        cls, gram: Floats, total: Floats, count: int, pair: tuple[Floats, Floats] | None = None
    ) -> "Gram":
        """Moments that are known: ``pair`` is cross and float_total, if paired."""
        result = cls(0, 0)
        result.gram, result.total, result.count = gram, total, count
        result.paired = pair is not None
        result.cross, result.float_total = (gram, total) if pair is None else pair
        return result

    def bias_shift(self, weights: Floats, rounded: Floats) -> Floats:
        """What to add to the bias: ``W mean(f) - Q mean(x)``, shape ``(groups, rows)``.

        Args:
            weights: Float weights, shape ``(groups, rows, columns)``.
            rounded: Those that the codes stand for.
        """
        shift = weights @ self.float_total[..., None] - rounded @ self.total[..., None]
        return shift[..., 0] / max(self.count, 1)


def _products(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """``sum x y^T`` a group; NumPy makes use of symmetry, but takes small matrices one by one."""
    if len(x) == 1:
        return np.asarray(x[0].T @ y[0])[None]
    product = torch.bmm(torch.from_numpy(x).transpose(1, 2), torch.from_numpy(y))
    return np.asarray(product)


def _sum(x: NDArray[Any]) -> NDArray[Any]:
    """Over positions: a product with ones, which costs a third of a sum along a middle axis."""
    ones = np.ones((1, x.shape[1]), x.dtype)
    return np.asarray((ones @ x)[:, 0])
