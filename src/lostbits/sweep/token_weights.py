"""How much positions of a layer count, where they are tokens.

Behind the layers of a transformer stands a normalization, which divides every token by its size.
A few tokens (the first, separators) are a hundred times as large as the others: sums of squares
over positions would be theirs alone, and what is learned from them is wrong for all others.
"""

import torch

from lostbits.sweep.layer import Layer

_LEAST_AXES = 3  # samples, tokens, channels


def token_weights(layer: Layer, x: torch.Tensor) -> torch.Tensor | None:
    """Squares of the weights of one batch, (samples, ..., tokens); None where all count alike.

    A token of the usual size has about one half, a larger one as much less as its energy is more.
    Padding, which is zero, has none.

    Args:
        layer: Whose input ``x`` is, in the float network.
        x: Its channels last.
    """
    if layer.step.operator.op_type != "MatMul" or layer.index != 1 or x.ndim < _LEAST_AXES:
        return None
    if layer.values.ndim > 2:
        return None  # one matrix for each head, or for each expert
    energy = layer.output(x, torch.from_numpy(layer.values)).square().sum(-1)
    live = energy > 0
    if not live.any():
        return None
    usual = energy[live].median()
    return torch.where(live, usual / (energy + usual), torch.zeros(()))
