"""Attention over cached keys, and rotary embeddings, as opset 23 and ONNX Runtime have them."""

import math

import torch

from lostbits.runtime.rules.contributed import turned_part
from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)

_COUNTED, _SCORES = 6, 4  # input of opset 24, and number of outputs with scores


def attention(operator: Operator, inputs: Values) -> Outputs:
    """``softmax(scale * Q K' + mask) V`` of each head; keys and values may have a past.

    Heads that share a key lie side by side. A query sees the past and what is not behind it,
    where the node is causal.
    """
    if operator.outputs >= _SCORES or optional(inputs, _COUNTED) is not None:
        raise Unsupported("scores as an output, or lengths of keys")
    if any(operator.get(f"{side}_window_size", -1) != -1 for side in ("left", "right")):
        raise Unsupported("a window")
    heads = [operator.get(name, 0) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    q, k, v = (_split(given(inputs, i), n) for i, n in enumerate(heads))
    past = optional(inputs, 4)
    k, v = _behind(past, k), _behind(optional(inputs, 5), v)
    start = 0 if past is None else past.shape[2]
    masks = [_added(mask, k) for mask in [optional(inputs, 3)] if mask is not None]
    if operator.get("is_causal", 0):
        masks.append(_causal(q.shape[2], k.shape[2], start))
    y = _attended(operator, (q, k, v), masks)
    return (y if given(inputs, 0).ndim > 3 else _joined(y), k, v)[: operator.outputs]


def group_query_attention(operator: Operator, inputs: Values) -> Outputs:
    """ONNX Runtime's: causal, of sequences without padding, turned by their positions if told."""
    if optional(inputs, 1) is None or any(optional(inputs, i) is not None for i in range(9, 14)):
        raise Unsupported("packed heads, positions, biases or scales of a cache")
    if operator.get("local_window_size", -1) != -1 or operator.get("smooth_softmax", 0):
        raise Unsupported("a window, or another softmax")
    heads = [operator.get(name) for name in ("num_heads", "kv_num_heads", "kv_num_heads")]
    q, k, v = (_split(given(inputs, i), n) for i, n in enumerate(heads))
    past = optional(inputs, 3)
    start = 0 if past is None else past.shape[2]
    if not bool((given(inputs, 5) + 1 == start + q.shape[2]).all()):
        raise Unsupported("padding, or a cache with room")
    if operator.get("do_rotary", 0):
        q, k = (_rotated(operator, inputs, x, start) for x in (q, k))
    k, v = _behind(past, k), _behind(optional(inputs, 4), v)
    y = _attended(operator, (q, k, v), [_causal(q.shape[2], k.shape[2], start)])
    return (_joined(y), k, v)[: operator.outputs]


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, heads, S, D / heads) of (B, S, D)."""
    return x if x.ndim > 3 else torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


def _joined(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).flatten(2)


def _behind(past: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    return x if past is None else torch.cat([past, x], 2)


def _added(mask: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """What is added to scores; keys beyond the mask are not seen."""
    if mask.dtype == torch.bool:
        mask = torch.where(mask, 0.0, -torch.inf).to(keys.dtype)
    missing = keys.shape[2] - mask.shape[-1]
    return torch.nn.functional.pad(mask, (0, missing), value=-torch.inf) if missing else mask


def _causal(queries: int, keys: int, start: int) -> torch.Tensor:
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(start)
    return torch.where(seen, 0.0, -torch.inf)


def _attended(
    operator: Operator, heads: tuple[torch.Tensor, ...], masks: list[torch.Tensor]
) -> torch.Tensor:
    q, k, v = heads
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    cap = operator.get("softcap", 0.0)
    root = math.sqrt(operator.get("scale") or 1 / math.sqrt(q.shape[-1]))
    scores = (root * q) @ (root * k).transpose(-1, -2)
    scores = cap * torch.tanh(scores / cap) if cap else scores
    for mask in masks:
        scores = scores + mask.to(scores.dtype)
    if bool(torch.isneginf(scores.detach().amax(-1)).any()):
        raise Unsupported("a query that sees nothing")
    return torch.softmax(scores, -1) @ v


def _rotated(operator: Operator, inputs: Values, x: torch.Tensor, start: int) -> torch.Tensor:
    places = slice(start, start + x.shape[2])
    cos, sin = (given(inputs, i)[places][None, None] for i in (7, 8))
    return turned_part(x, cos, sin, paired=bool(operator.get("rotary_interleaved", 0)))


def rotary_embedding(operator: Operator, inputs: Values) -> Outputs:
    """Pairs of channels turned by their position; x is (B, S, D) or (B, heads, S, D / heads)."""
    x, places = given(inputs, 0), optional(inputs, 3)
    tables = [given(inputs, i) for i in (1, 2)]
    cos, sin = (t if places is None else t[places.long()] for t in tables)
    heads = _split(x, operator.get("num_heads", 0))
    paired = bool(operator.get("interleaved", 0))
    y = turned_part(heads, cos[:, None], sin[:, None], paired=paired)
    return (y if x.ndim > 3 else _joined(y),)


RULES: dict[str, Rule] = {
    "Attention": attention,
    "RotaryEmbedding": rotary_embedding,
    "com.microsoft::GroupQueryAttention": group_query_attention,
}
