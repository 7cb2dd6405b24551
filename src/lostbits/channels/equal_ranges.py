"""The factors that make the channel ranges of neighbouring layers equal.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.1: ``s = sqrt(r1/r2)``.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from lostbits.channels.layer_pairs import Pair
from lostbits.channels.linear import Doubles
from lostbits.channels.weights import input_ranges, output_ranges, scale_inputs, scale_outputs

SETTLED = 1e-3  # largest |log s| of a sweep that ends the search
_SWEEPS = 200
# A channel of next to no weight would ask for any factor. But activations take the inverse: past
# 2^8 a channel would have all 8 bits of a grid to itself, and its neighbours nothing.
_MOST = 8 * np.log(2)


def equal_ranges(pairs: Sequence[Pair], blocks: Mapping[str, Doubles]) -> list[Doubles]:
    """The factors ``s`` of every pair, (channels,): ``W1 / s`` and ``W2 s`` have equal ranges.

    Pairs that share a layer disturb each other; sweeps over all of them until no one moves.

    Args:
        pairs: In topological order.
        blocks: Weights by node, ``(groups, outputs, inputs, taps)``.
    """
    magnitudes = {n: np.abs(w).max(axis=3, keepdims=True) for n, w in blocks.items()}
    logs = [np.zeros(p.channels) for p in pairs]
    for _ in range(_SWEEPS):
        moved = 0.0
        for number, pair in enumerate(pairs):
            step = _step(pair, magnitudes, logs[number])
            logs[number] = logs[number] + step
            moved = max(moved, float(np.abs(step).max()))
        if moved < SETTLED:
            break
    return [np.exp(log) for log in logs]


def _step(pair: Pair, magnitudes: dict[str, Doubles], log: Doubles) -> Doubles:
    """Make the pair's ranges equal, as far as the cap allows; returns ``log s`` on top of ``log``.

    A channel that is zero on one side has no range to share, and stays.
    """
    first, second = magnitudes[pair.first.node], magnitudes[pair.second.node]
    ranges = output_ranges(first), input_ranges(second)
    live = (ranges[0] > 0) & (ranges[1] > 0)
    ratio = np.divide(*ranges, out=np.ones_like(ranges[0]), where=live)
    step = np.clip(log + 0.5 * np.log(ratio), -_MOST, _MOST) - log
    magnitudes[pair.first.node] = scale_outputs(first, np.exp(-step))
    magnitudes[pair.second.node] = scale_inputs(second, np.exp(step))
    return np.asarray(step)
