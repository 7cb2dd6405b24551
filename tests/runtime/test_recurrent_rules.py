"""Rules of LSTM, GRU and RNN against ONNX Runtime, against torch, and numeric gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lostbits.runtime.rules import RULES, Operator
from rule_runs import apply, noise, onnx_runtime

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
STEPS, BATCH, WIDTH, UNITS = 5, 3, 4, 3
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
DIRECTIONS = ("forward", "reverse", "bidirectional")


def inputs_of(op: str, both: bool = False, seed: int = 0, dtype: Any = np.float32) -> list[Any]:
    """All inputs of a node, peepholes among them."""
    d, rows = 1 + both, GATES[op] * UNITS
    shapes = [(STEPS, BATCH, WIDTH), (d, rows, WIDTH), (d, rows, UNITS), (d, 2 * rows)]
    arrays = [noise(*s, seed=seed + i, dtype=dtype) for i, s in enumerate(shapes)]
    states = [noise(d, BATCH, UNITS, seed=seed + 9 + i, dtype=dtype) for i in range(2)]
    peepholes = noise(d, 3 * UNITS, seed=seed + 20, dtype=dtype)
    lengths = np.array([STEPS, 2, 1], np.int32)
    return [*arrays, lengths, *states, peepholes] if op == "LSTM" else [*arrays, lengths, states[0]]


def without(inputs: list[Any], *omitted: int) -> list[Any]:
    return [None if i in omitted else x for i, x in enumerate(inputs)]


@given(
    st.sampled_from(sorted(GATES)),
    st.sampled_from(DIRECTIONS),
    st.sets(st.sampled_from([3, 4, 5, 6, 7])),
    st.booleans(),
    st.integers(0, 99),
)
@EXAMPLES
def test_every_form_is_that_of_onnx_runtime(
    op: str, direction: str, omitted: set[int], reset: bool, seed: int
) -> None:
    inputs = without(inputs_of(op, direction == "bidirectional", seed), *omitted)
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": UNITS}
    if op == "GRU":
        attributes["linear_before_reset"] = int(reset)
    outputs = 3 if op == "LSTM" else 2
    actual = apply(op, inputs, attributes, outputs=outputs)
    for a, e in zip(actual, onnx_runtime(op, inputs, attributes, outputs=outputs), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=2e-6)


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"clip": 0.4}),
    ("GRU", {"clip": 0.4}),
    ("RNN", {"clip": 0.4}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Tanh"]}),
    (
        "LSTM",
        {
            "activations": ["HardSigmoid", "LeakyRelu", "ScaledTanh"],
            "activation_alpha": [0.3, 0.1, 1.2],
            "activation_beta": [0.4, 0.8],
        },
    ),
    ("GRU", {"activations": ["Sigmoid", "Affine"], "activation_alpha": [0.3]}),
    ("RNN", {"activations": ["Relu"]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [0.5]}),
    ("RNN", {"activations": ["Softplus"]}),
]


@pytest.mark.parametrize("case", OTHERS, ids=str)
@pytest.mark.parametrize("both", [False, True])
def test_other_gates_are_those_of_onnx_runtime(
    case: tuple[str, dict[str, Any]], both: bool
) -> None:
    op, attributes = case
    attributes = {**attributes, "hidden_size": UNITS}
    if both:
        attributes["direction"] = "bidirectional"
        for name in ("activations", "activation_alpha", "activation_beta"):
            if name in attributes:
                attributes[name] = attributes[name] * 2
    inputs, outputs = inputs_of(op, both), 3 if op == "LSTM" else 2
    actual = apply(op, inputs, attributes, outputs=outputs)
    for a, e in zip(actual, onnx_runtime(op, inputs, attributes, outputs=outputs), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("op", sorted(GATES))
def test_batch_first_is_the_same_turned(op: str) -> None:
    inputs = without(inputs_of(op, both=True), 4)
    attributes = {"direction": "bidirectional", "hidden_size": UNITS}
    turned = [
        x if x is None or i not in (0, 5, 6) else x.swapaxes(0, 1) for i, x in enumerate(inputs)
    ]
    y, *states = apply(op, inputs, attributes, outputs=2)
    z, *others = apply(op, turned, {**attributes, "layout": 1}, outputs=2)
    np.testing.assert_allclose(z, y.transpose(2, 0, 1, 3), rtol=1e-6)
    for other, state in zip(others, states, strict=True):
        np.testing.assert_allclose(other, state.swapaxes(0, 1), rtol=1e-6)


FORMS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("LSTM", {}, (4, 7)),
    ("LSTM", {"direction": "reverse"}, (4, 7)),
    ("LSTM", {"direction": "bidirectional"}, (4, 7)),
    ("LSTM", {"direction": "bidirectional"}, ()),
    ("GRU", {"linear_before_reset": 1}, (4,)),
    ("GRU", {"direction": "bidirectional"}, ()),
    ("RNN", {"direction": "reverse"}, (4,)),
    ("RNN", {"direction": "bidirectional"}, ()),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gradients_through_time_are_the_numeric_ones(
    form: tuple[str, dict[str, Any], tuple[int, ...]],
) -> None:
    op, attributes, omitted = form
    both = attributes.get("direction") == "bidirectional"
    arrays = without(inputs_of(op, both, dtype=np.float64), *omitted)
    operator = Operator(op, attributes, 21, 3 if op == "LSTM" else 2)
    tensors = [
        None if a is None else torch.from_numpy(a).requires_grad_(a.dtype.kind == "f")
        for a in arrays
    ]
    free = [t for t in tensors if t is not None and t.requires_grad]

    def value(*given: torch.Tensor) -> torch.Tensor:
        feed = iter(given)
        inputs = [next(feed) if t is not None and t.requires_grad else t for t in tensors]
        return sum(out.sin().sum() for out in RULES[op](operator, inputs))  # type: ignore[return-value]

    assert torch.autograd.gradcheck(value, free, atol=1e-6)


def test_the_plain_and_the_general_form_have_the_same_gradients() -> None:
    inputs = without(inputs_of("LSTM", both=True), 4, 7)
    zero = [*inputs[:7], np.zeros((2, 3 * UNITS), np.float32)]  # peepholes of nothing
    found = []
    for arrays in (inputs, zero):
        tensors = [
            None if a is None else torch.from_numpy(a.copy()).requires_grad_(a.dtype.kind == "f")
            for a in arrays
        ]
        operator = Operator("LSTM", {"direction": "bidirectional"}, 21, 3)
        loss = torch.stack([out.sin().sum() for out in RULES["LSTM"](operator, tensors)]).sum()
        wanted = [t for t in tensors[:7] if t is not None and t.requires_grad]
        found.append(torch.autograd.grad(loss, wanted))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
