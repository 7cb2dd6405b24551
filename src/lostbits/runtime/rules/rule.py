"""The contract of a rule, and how rules read the inputs and attributes of a node."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

Values = Sequence[torch.Tensor | None]
"""Inputs of a node; None, or a missing end, stands for an omitted optional input."""

Outputs = tuple[torch.Tensor, ...]


class Unsupported(Exception):  # noqa: N818 - a request to use another back-end, not an error
    """Raised for an input or attribute that a rule does not cover: run the node elsewhere."""


@final
@dataclass(frozen=True)
class Operator:
    """What a rule sees of a node.

    Attributes:
        op_type: Such as ``Conv``.
        attributes: Python values: int, float, str, lists of them; numpy arrays for tensors.
        opset: Version of the default domain that the model imports.
        outputs: How many outputs the node has.

    """

    op_type: str
    attributes: Mapping[str, Any]
    opset: int
    outputs: int = 1

    def get(self, name: str, default: Any = None) -> Any:
        """Return the attribute, or ``default`` where the node leaves it out."""
        return self.attributes.get(name, default)


Rule = Callable[[Operator, Values], Outputs]


def given(inputs: Values, index: int) -> torch.Tensor:
    """Return the input that must be there."""
    value = optional(inputs, index)
    if value is None:
        raise Unsupported(f"input {index} is missing")
    return value


def optional(inputs: Values, index: int) -> torch.Tensor | None:
    """Return the input, or None where the node omits it."""
    return inputs[index] if index < len(inputs) else None


def integers(operator: Operator, name: str, inputs: Values, index: int) -> list[int] | None:
    """Read integers that old opsets give as attribute ``name`` and newer ones as an input."""
    if name in operator.attributes:
        return [int(v) for v in operator.attributes[name]]
    value = optional(inputs, index)
    return None if value is None else [int(v) for v in value.flatten().tolist()]


def unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Rule:
    """Make the rule of an operator of one tensor without attributes."""
    return lambda operator, inputs: (function(given(inputs, 0)),)


def binary(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Rule:
    """Make the rule of an operator of two tensors without attributes."""
    return lambda operator, inputs: (function(given(inputs, 0), given(inputs, 1)),)
