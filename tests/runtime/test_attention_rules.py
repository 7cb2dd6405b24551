"""Rules of attention with a past, and of rotary embeddings, against ONNX Runtime itself."""

from typing import Any

import numpy as np
import pytest
import torch

from lostbits.runtime.rules import RULES, Operator, Unsupported
from rule_runs import apply, noise, onnx_runtime

Q, K, V = noise(2, 5, 32), noise(2, 5, 16, seed=1), noise(2, 5, 16, seed=2)
PAST, OLDER = noise(2, 2, 3, 8, seed=3), noise(2, 2, 3, 8, seed=4)
ONE, OTHER = noise(2, 1, 3, 16, seed=8), noise(2, 1, 3, 16, seed=9)
HEADS = {"q_num_heads": 4, "kv_num_heads": 2}
SEEN = np.arange(5) <= np.arange(5)[:, None]
ANGLES = np.random.default_rng(0).uniform(0, 6, size=(9, 8)).astype(np.float32)
COS, SIN = np.cos(ANGLES), np.sin(ANGLES)
NARROW = COS[:, :4], SIN[:, :4]
PLACES = np.array([[3, 0, 2, 1, 5], [1, 4, 2, 3, 0]], np.int64)
QUERIES = noise(2, 4, 5, 8)
LAST, TOTAL = np.full(2, 7, np.int32), np.array(8, np.int32)
NEW = np.full(2, 4, np.int32), np.array(5, np.int32)
WIDE = noise(2, 5, 32, seed=5), noise(2, 5, 16, seed=6), noise(2, 5, 16, seed=7)
GROUPS = {"num_heads": 2, "kv_num_heads": 1}

FORMS: list[tuple[Any, ...]] = [
    ("Attention", [Q, K, V], HEADS, 1),
    ("Attention", [Q, K, V, SEEN], HEADS, 1),
    ("Attention", [Q, K, V, np.where(SEEN, 0.5, -9).astype(np.float32)], HEADS, 1),
    ("Attention", [Q, K, V], {**HEADS, "is_causal": 1, "scale": 0.2}, 1),
    ("Attention", [Q, K, V], {**HEADS, "softcap": 1.5}, 1),
    ("Attention", [Q, K, V, None, PAST, OLDER], HEADS, 3),
    ("Attention", [QUERIES, QUERIES[:, :2], QUERIES[:, 2:]], {}, 1),
    ("RotaryEmbedding", [QUERIES, *NARROW, PLACES], {}, 1),
    ("RotaryEmbedding", [Q, *NARROW, PLACES], {"num_heads": 4, "interleaved": 1}, 1),
    ("RotaryEmbedding", [QUERIES, *(t[PLACES] for t in NARROW)], {}, 1),
    ("com.microsoft::GroupQueryAttention", [Q, K, V, None, None, *NEW], GROUPS, 3),
    (
        "com.microsoft::GroupQueryAttention",
        [*(x[:1] for x in (Q, K, V, ONE, OTHER, LAST)), TOTAL],
        GROUPS,
        3,
    ),
    (
        "com.microsoft::GroupQueryAttention",
        [*WIDE, None, None, *NEW, COS, SIN],
        {**GROUPS, "do_rotary": 1, "softcap": 2.0},
        3,
    ),
    (
        "com.microsoft::GroupQueryAttention",
        [*(x[:, :1] for x in WIDE), ONE, OTHER, LAST - 4, np.array(4, np.int32), COS, SIN],
        {**GROUPS, "do_rotary": 1, "rotary_interleaved": 1, "scale": 0.4},
        3,
    ),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f[0])
def test_rules_are_those_of_onnx_runtime(form: tuple[Any, ...]) -> None:
    op, inputs, attributes, count = form
    found = apply(op, inputs, attributes, opset=23, outputs=count)
    wanted = onnx_runtime(op, inputs, attributes, opset=23, outputs=count)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS[:7], ids=lambda f: f[0])
def test_gradients_are_the_numeric_ones(form: tuple[Any, ...]) -> None:
    op, inputs, attributes, _ = form
    tensors = [
        None if x is None else torch.from_numpy(x.astype(np.float64) if x.dtype.kind == "f" else x)
        for x in inputs
    ]
    floats = [x.requires_grad_() for x in tensors if x is not None and x.is_floating_point()]

    def run(*values: torch.Tensor) -> torch.Tensor:
        left = iter(values)
        given = [next(left) if x is not None and x.requires_grad else x for x in tensors]
        return RULES[op](Operator(op, attributes, 23), given)[0]

    assert torch.autograd.gradcheck(run, floats)


def test_a_query_that_sees_nothing_is_left_to_onnx_runtime() -> None:
    nothing = torch.zeros(5, 5, dtype=torch.bool)
    with pytest.raises(Unsupported):
        RULES["Attention"](
            Operator("Attention", HEADS, 23), [*map(torch.from_numpy, (Q, K, V)), nothing]
        )
