"""Rules of ops that ONNX Runtime has beside the standard, those that graph.unfuse leaves whole."""

import math

import torch
from torch.nn import functional

from lostbits.graph.block_weights import unpacked
from lostbits.runtime.rules.normalization import layer_normalization
from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)

_MASKED = -10000.0  # what ONNX Runtime adds to a masked score where the node does not say


def fast_gelu(operator: Operator, inputs: Values) -> Outputs:
    """Gelu by a hyperbolic tangent, of the sum with a bias where there is one."""
    x, bias = given(inputs, 0), optional(inputs, 1)
    return (functional.gelu(x if bias is None else x + bias, approximate="tanh"),)


def bias_gelu(operator: Operator, inputs: Values) -> Outputs:
    """Gelu of a sum."""
    return (functional.gelu(given(inputs, 0) + given(inputs, 1)),)


def quick_gelu(operator: Operator, inputs: Values) -> Outputs:
    """``x * sigmoid(alpha * x)``."""
    x = given(inputs, 0)
    return (x * torch.sigmoid(operator.get("alpha", 1.702) * x),)


def skip_layer_normalization(operator: Operator, inputs: Values) -> Outputs:
    """LayerNormalization of a sum, which may be an output too."""
    x, skip, gain = given(inputs, 0), given(inputs, 1), given(inputs, 2)
    bias = optional(inputs, 4)
    total = x + skip if bias is None else x + skip + bias
    norm = Operator("LayerNormalization", {"epsilon": operator.get("epsilon", 1e-5)}, 17)
    (y,) = layer_normalization(norm, [total, gain, optional(inputs, 3)])
    if operator.outputs in (2, 3):
        raise Unsupported("mean and deviation")
    return (y, torch.empty(0), torch.empty(0), total)[: operator.outputs]


def multi_head_attention(operator: Operator, inputs: Values) -> Outputs:
    """``softmax(scale * Q K' + masks) V`` of each head; heads side by side, as (B, S, D)."""
    if operator.outputs > 1 or any(optional(inputs, i) is not None for i in range(6, 10)):
        raise Unsupported("attention with a cache")
    q, k, v = _heads(operator, inputs)
    factor = operator.get("scale", 0.0) or 1 / math.sqrt(q.shape[-1])
    scores = factor * (q @ k.transpose(-1, -2))
    for mask in _masks(operator, inputs, scores):
        scores = scores + mask
    y = torch.softmax(scores, -1) @ v
    return (y.transpose(1, 2).flatten(2),)


def _heads(operator: Operator, inputs: Values) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, key and value as (B, heads, S, D / heads)."""
    q, k, v = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    if k is None or v is None or q.ndim != 3:
        raise Unsupported("packed heads")
    if (bias := optional(inputs, 3)) is not None:
        if k.ndim != 3 or v.ndim != 3:
            raise Unsupported("a bias of other heads")
        parts = torch.split(bias, [q.shape[-1], k.shape[-1], v.shape[-1]])
        q, k, v = (x + b for x, b in zip((q, k, v), parts, strict=True))
    heads = operator.get("num_heads")
    split = [
        torch.unflatten(x, -1, (heads, -1)).transpose(1, 2) if x.ndim == 3 else x for x in (q, k, v)
    ]
    return split[0], split[1], split[2]


def _masks(operator: Operator, inputs: Values, scores: torch.Tensor) -> list[torch.Tensor]:
    """What is added to the scores, (B, heads, S, T)."""
    found = []
    masked = operator.get("mask_filter_value", _MASKED)
    if (keys := optional(inputs, 4)) is not None:
        if keys.shape != (scores.shape[0], scores.shape[-1]):
            raise Unsupported(f"a mask of {tuple(keys.shape)}")
        found.append(torch.where(keys[:, None, None, :] == 0, masked, 0.0))
    if (bias := optional(inputs, 5)) is not None:
        found.append(bias)
    if operator.get("unidirectional", 0):
        ones = torch.ones(scores.shape[-2:], dtype=torch.bool)
        found.append(torch.where(ones.tril(scores.shape[-1] - scores.shape[-2]), 0.0, -torch.inf))
    return found


def rotary_embedding(operator: Operator, inputs: Values) -> Outputs:
    """Pairs of channels turned by their position; x is (B, S, D) or (B, heads, S, D / heads)."""
    x, positions, cos, sin = (given(inputs, i) for i in range(4))
    width = 2 * cos.shape[-1]
    if operator.get("scaling", 1.0) != 1.0 or operator.get("is_packed_batching", 0):
        raise Unsupported("a scaled or packed rotary embedding")
    heads = operator.get("num_heads", 0)
    if x.ndim == 3:
        split = torch.unflatten(x, -1, (heads, -1) if heads else (-1, width))
    else:
        split = x.transpose(1, 2)
    cos, sin = (_at(table, positions, x.shape[0], split.shape[1]) for table in (cos, sin))
    y = turned_part(split, cos, sin, paired=bool(operator.get("interleaved", 0)))
    return (y.flatten(2) if x.ndim == 3 else y.transpose(1, 2),)


def _at(table: torch.Tensor, positions: torch.Tensor, batch: int, length: int) -> torch.Tensor:
    """(B, S, 1, width / 2): of the positions, or of those from a first one on."""
    if positions.numel() == 1:
        positions = (positions.reshape(1, 1) + torch.arange(length)).expand(batch, -1)
    return table[positions.long()].unsqueeze(2)


def turned_part(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, paired: bool
) -> torch.Tensor:
    """As many channels turned as the tables have, the others as they are."""
    width = 2 * cos.shape[-1]
    return torch.cat([_turned(x[..., :width], cos, sin, paired=paired), x[..., width:]], -1)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, paired: bool) -> torch.Tensor:
    """Channels 2i and 2i + 1 together where they are paired, else i and i + width / 2."""
    one, other = (x[..., 0::2], x[..., 1::2]) if paired else x.chunk(2, -1)
    parts = (cos * one - sin * other, sin * one + cos * other)
    return torch.stack(parts, -1).flatten(-2) if paired else torch.cat(parts, -1)


def matmul_n_bits(operator: Operator, inputs: Values) -> Outputs:
    """A product with a weight of 2, 4 or 8 bits, whose scales hold for blocks of its rows."""
    if optional(inputs, 4) is not None:
        raise Unsupported("rows in another order")
    codes, scales = given(inputs, 1).numpy(), given(inputs, 2).detach().numpy()
    zeros = optional(inputs, 3)
    sizes = (operator.get("N"), operator.get("K"), operator.get("block_size"))
    points = None if zeros is None else zeros.numpy()
    weight = unpacked(codes, scales, points, sizes, operator.get("bits", 4))
    return (functional.linear(given(inputs, 0), torch.from_numpy(weight), optional(inputs, 5)),)


RULES: dict[str, Rule] = {
    "com.microsoft::BiasGelu": bias_gelu,
    "com.microsoft::FastGelu": fast_gelu,
    "com.microsoft::MatMulNBits": matmul_n_bits,
    "com.microsoft::MultiHeadAttention": multi_head_attention,
    "com.microsoft::QuickGelu": quick_gelu,
    "com.microsoft::RotaryEmbedding": rotary_embedding,
    "com.microsoft::SkipLayerNormalization": skip_layer_normalization,
}
