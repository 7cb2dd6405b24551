"""What rounding costs before and after a change of channel scales, from ranges alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from lostbits.channels.layer_pairs import Pair
from lostbits.channels.linear import Doubles, Linear
from lostbits.channels.weights import Weights
from lostbits.statistics import Histogram


def noise_ratio(
    before: Doubles, after: Doubles, worth: Doubles | float = 1.0, *, per_row: bool = False
) -> float:
    """Rounding error after a rescaling, in units of before, over that before.

    The error of an element is that of a uniform grid over the tensor's largest value (with
    ``per_row``: the row's), times the inverse of the factor that the element was multiplied by.
    Zeros are rounded without error.

    Args:
        before: Shape ``(groups, outputs, inputs, taps)``.
        after: The same, each element times a positive factor.
        worth: What a squared error of each element is worth to the output; broadcasts.
        per_row: One scale for each output.

    >>> rows = np.array([1.0, 0.1]).reshape(1, 2, 1, 1)
    >>> round(noise_ratio(rows, np.ones((1, 2, 1, 1))), 3)
    0.505
    """
    axes = (2, 3) if per_row else None
    live = before != 0
    inverse = np.divide(before, after, out=np.zeros_like(before), where=live)
    old, new = (np.abs(w).max(axis=axes, keepdims=True) for w in (before, after))
    error = float((worth * (old * live) ** 2).sum())
    return float((worth * (new * inverse) ** 2).sum()) / error if error > 0 else 1.0


@final
@dataclass(frozen=True)
class Junction:
    """A tensor whose channels are rescaled, with who writes and who reads it.

    Attributes:
        tensor: What the readers read.
        writer: The linear layer behind it, if there is one.
        readers: Linear layers.
    """

    tensor: str
    writer: Linear | None
    readers: tuple[Linear, ...]

    @classmethod
    def of(cls, pair: Pair) -> "Junction":
        """That of two neighbouring layers."""
        return cls(pair.tensors[-1], pair.first, (pair.second,))

    @property
    def key(self) -> str:
        """Of its site."""
        return f"{self.tensor}:activation"

    def peaks(self, channels: Mapping[str, Histogram]) -> Doubles | None:
        """Largest magnitude of each channel; None if never seen.

        Args:
            channels: Statistics per channel, by site key.
        """
        seen, reader = channels.get(self.key), self.readers[0]
        if seen is None or seen.hi.size != reader.columns:
            return None
        highest = np.maximum(np.abs(seen.lo), np.abs(seen.hi))
        most: Doubles = highest.reshape(reader.outer, -1, reader.inner).max(axis=(0, 2))
        return most


def rescaling_ratios(
    junctions: Sequence[Junction],
    factors: Sequence[Doubles],
    weights: Weights,
    channels: Mapping[str, Histogram],
    *,
    per_row: bool = False,
) -> dict[str, float]:
    """Rounding error after over before, by site key: of the weights, and of what they read.

    A row's error is worth the energy of the weights that read it, a column's the square of the
    largest value that it meets.

    Args:
        junctions: What was rescaled.
        factors: The divisors of each, (channels,).
        weights: Before and after.
        channels: Statistics per channel, by site key.
        per_row: Whether weights have one scale for each output.
    """
    layers: dict[str, Linear] = {}
    worths: dict[str, Doubles] = {}
    found = {}
    for junction, factor in zip(junctions, factors, strict=True):
        peaks = junction.peaks(channels)
        worth = np.sum([_energy(weights.before[r.node]) for r in junction.readers], axis=0)
        if peaks is not None:
            vectors = (v.reshape(1, 1, -1, 1) for v in (peaks, peaks / factor, worth))
            found[junction.key] = noise_ratio(*vectors)
        for layer, own in _shares(junction, worth, peaks):
            layers[layer.node] = layer
            worths[layer.node] = worths.get(layer.node, np.ones(1)) * own
    for node, layer in layers.items():
        both = weights.before[node], weights.blocks[node]
        found[f"{layer.weight}:weight"] = noise_ratio(*both, worths[node], per_row=per_row)
    return found


def _energy(blocks: Doubles) -> Doubles:
    """Of the weights of each input channel."""
    energy: Doubles = np.square(blocks).sum(axis=(1, 3))
    return energy.reshape(-1)


def _shares(
    junction: Junction, worth: Doubles, peaks: Doubles | None
) -> Iterator[tuple[Linear, Doubles]]:
    """What errors in the weights around a junction are worth: by rows before, columns behind."""
    if junction.writer is not None:
        yield junction.writer, worth.reshape(junction.writer.groups, -1, 1, 1)
    for reader in junction.readers:
        squares = np.ones(1) if peaks is None else peaks**2
        yield reader, squares.reshape(reader.groups if peaks is not None else 1, 1, -1, 1)
