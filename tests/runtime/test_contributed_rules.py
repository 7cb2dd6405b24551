"""Rules of ops that ONNX Runtime has beside the standard, against ONNX Runtime itself."""

from typing import Any

import numpy as np
import pytest
import torch

from lostbits.runtime.rules import RULES, Operator
from rule_runs import apply, noise, onnx_runtime

X, SKIP, GAIN = noise(2, 5, 8), noise(2, 5, 8, seed=1), noise(8, seed=2)
Q, K, V = (noise(2, n, 8, seed=i) for i, n in enumerate((5, 7, 7)))
KEYS = np.array([[1, 1, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 0, 0]], np.int32)
SCORES = noise(2, 2, 5, 7, seed=5)
POSITIONS = np.array([[3, 0, 2, 1, 5], [1, 4, 2, 3, 0]], np.int64)
ANGLES = np.random.default_rng(0).uniform(0, 6, size=(9, 2)).astype(np.float32)
COS, SIN = np.cos(ANGLES), np.sin(ANGLES)


def packed(bits: int, rows: int, columns: int, block: int, seed: int = 0) -> list[Any]:
    """Codes, scales and zero points of a MatMulNBits."""
    random, blocks = np.random.default_rng(seed), -(-rows // block)
    codes = random.integers(0, 256, (columns, blocks, block * bits // 8)).astype(np.uint8)
    zeros = random.integers(0, 256, columns * -(-blocks * bits // 8)).astype(np.uint8)
    return [codes, noise(columns * blocks, seed=seed + 1), zeros]


def bits(width: int, *, zeros: bool = True, rows: int = 64, **extra: Any) -> tuple[Any, ...]:
    codes, scales, points = packed(width, rows, 6, 32)
    attributes = {"K": rows, "N": 6, "bits": width, "block_size": 32, **extra}
    return "MatMulNBits", [noise(2, 3, rows), codes, scales, points if zeros else None], attributes


FORMS: list[tuple[Any, ...]] = [
    ("BiasGelu", [X, GAIN], {}),
    ("FastGelu", [X], {}),
    ("FastGelu", [X, GAIN], {}),
    ("QuickGelu", [X], {"alpha": 1.3}),
    ("QuickGelu", [X], {}),
    ("SkipLayerNormalization", [X, SKIP, GAIN, GAIN, GAIN], {"epsilon": 1e-3}),
    ("SkipLayerNormalization", [X, SKIP, GAIN], {}),
    ("MultiHeadAttention", [Q, K, V], {"num_heads": 2}),
    ("MultiHeadAttention", [Q, K, V, noise(24)], {"num_heads": 2, "scale": 0.3}),
    ("MultiHeadAttention", [Q, K, V, None, KEYS], {"num_heads": 2, "mask_filter_value": -50.0}),
    ("MultiHeadAttention", [Q, K, V, None, KEYS, SCORES], {"num_heads": 2}),
    ("MultiHeadAttention", [Q, Q, Q], {"num_heads": 4, "unidirectional": 1}),
    ("RotaryEmbedding", [X, POSITIONS, COS, SIN], {}),
    ("RotaryEmbedding", [X, POSITIONS, COS, SIN], {"interleaved": 1}),
    ("RotaryEmbedding", [noise(2, 3, 5, 4), np.array([2], np.int64), COS, SIN], {}),
    bits(4),
    bits(4, zeros=False),
    bits(8),
    bits(2),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f[0])
def test_rules_are_those_of_onnx_runtime(form: tuple[Any, ...]) -> None:
    op, inputs, attributes = form
    name = f"com.microsoft::{op}"
    (actual,) = apply(name, inputs, attributes)
    (expected,) = onnx_runtime(name, inputs, attributes)
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-4 * np.abs(expected).max())


def test_the_sum_of_a_skip_is_an_output_too() -> None:
    operator = Operator("SkipLayerNormalization", {}, 17, outputs=4)
    tensors = [torch.from_numpy(x) for x in (X, SKIP, GAIN)]
    outputs = RULES["com.microsoft::SkipLayerNormalization"](operator, tensors)
    np.testing.assert_array_equal(outputs[3].numpy(), X + SKIP)


@pytest.mark.parametrize("form", FORMS[7:15], ids=lambda f: f[0])
def test_gradients_of_attention_are_the_numeric_ones(form: tuple[Any, ...]) -> None:
    op, inputs, attributes = form
    tensors = [
        None if x is None else torch.from_numpy(x.astype(np.float64) if x.dtype.kind == "f" else x)
        for x in inputs
    ]
    free = [t.requires_grad_() for t in tensors if t is not None and t.is_floating_point()]
    operator = Operator(op, attributes, 17)

    def value(*given: torch.Tensor) -> torch.Tensor:
        feed = iter(given)
        fed = [next(feed) if t is not None and t.is_floating_point() else t for t in tensors]
        return RULES[f"com.microsoft::{op}"](operator, fed)[0]

    assert torch.autograd.gradcheck(value, free, atol=1e-6)
