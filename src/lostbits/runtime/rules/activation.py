"""Rules of activation functions."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Values, binary, given, unary


def _with(function: Callable[..., torch.Tensor], **defaults: Any) -> Rule:
    """Make the rule of ``function(x, **attributes)``."""

    def rule(operator: Operator, inputs: Values) -> Outputs:
        known = {name: operator.get(name, default) for name, default in defaults.items()}
        return (function(given(inputs, 0), **known),)

    return rule


def _prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    if x.is_floating_point() and (slope.numel() == 1 or _is_per_channel(slope, x)):
        return torch.prelu(x, slope.flatten())
    return torch.where(x < 0, slope * x, x)


def _is_per_channel(slope: torch.Tensor, x: torch.Tensor) -> bool:
    return x.ndim > 1 and slope.shape == (x.shape[1], *[1] * (x.ndim - 2))


def _hard_sigmoid(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return functional.hardtanh(alpha * x + beta, 0, 1)


def _selu(x: torch.Tensor, alpha: float, gamma: float) -> torch.Tensor:
    return gamma * functional.elu(x, alpha)


def _leaky_relu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return functional.leaky_relu(x, alpha)


def _thresholded_relu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return functional.threshold(x, alpha, 0)


def _shrink(x: torch.Tensor, lambd: float, bias: float) -> torch.Tensor:
    return torch.where(x.abs() > lambd, x - bias * x.sign(), torch.zeros_like(x))


def _swish(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return x * torch.sigmoid(alpha * x)


RULES: dict[str, Rule] = {
    "Celu": _with(functional.celu, alpha=1.0),
    "Elu": _with(functional.elu, alpha=1.0),
    "Gelu": _with(functional.gelu, approximate="none"),
    "HardSigmoid": _with(_hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": unary(functional.hardswish),
    "LeakyRelu": _with(_leaky_relu, alpha=0.01),
    "Mish": unary(functional.mish),
    "PRelu": binary(_prelu),
    "Relu": unary(torch.relu),
    "Selu": _with(_selu, alpha=1.6732632423543772, gamma=1.0507009873554805),
    "Shrink": _with(_shrink, lambd=0.5, bias=0.0),
    "Sigmoid": unary(torch.sigmoid),
    "Softplus": unary(functional.softplus),
    "Softsign": unary(functional.softsign),
    "Swish": _with(_swish, alpha=1.0),
    "Tanh": unary(torch.tanh),
    "ThresholdedRelu": _with(_thresholded_relu, alpha=1.0),
    "com.microsoft::Gelu": unary(functional.gelu),
}
