"""Rules of arithmetic and of elementary functions, element by element."""

import functools
from collections.abc import Callable

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Values,
    binary,
    given,
    optional,
    unary,
)

_Fold = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Quotient; that of integers is rounded towards zero."""
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def power(x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """``x ** exponent`` in the type of ``x``."""
    if not x.is_floating_point() and exponent.is_floating_point():
        return torch.pow(x.double(), exponent.double()).to(x.dtype)
    # torch has fast paths for exponents that are numbers, such as 2 and 0.5.
    if exponent.numel() == 1 and exponent.ndim <= x.ndim and not exponent.requires_grad:
        return torch.pow(x, exponent.item())
    return torch.pow(x, exponent).to(x.dtype)


def modulo(operator: Operator, inputs: Values) -> Outputs:
    """Mod: with the sign of the divisor, or of the dividend if ``fmod``."""
    function = torch.fmod if operator.get("fmod", 0) else torch.remainder
    return (function(given(inputs, 0), given(inputs, 1)),)


def clip(operator: Operator, inputs: Values) -> Outputs:
    """Clip; ``max`` wins where it is below ``min``. Either may be absent."""
    x, lo, hi = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    if any(bound is not None and bound.requires_grad for bound in (lo, hi)):
        x = x if lo is None else torch.maximum(x, lo)
        return (x if hi is None else torch.minimum(x, hi),)
    return (_clipped(x, None if lo is None else lo.item(), None if hi is None else hi.item()),)


def _clipped(x: torch.Tensor, lo: float | None, hi: float | None) -> torch.Tensor:
    # The gradients of relu and hardtanh are several times faster than that of clamp.
    if lo is None and hi is None:
        return x
    if lo == 0 and hi is None:
        return torch.relu(x)
    if lo is not None and hi is not None and lo < hi and x.is_floating_point():
        return functional.hardtanh(x, lo, hi)
    return torch.clamp(x, lo, hi)


def _variadic(function: _Fold) -> Rule:
    def rule(operator: Operator, inputs: Values) -> Outputs:
        return (functools.reduce(function, (given(inputs, i) for i in range(len(inputs)))),)

    return rule


def mean(operator: Operator, inputs: Values) -> Outputs:
    """Mean of all inputs, broadcast."""
    (total,) = _variadic(torch.add)(operator, inputs)
    return (total / len(inputs),)


RULES: dict[str, Rule] = {
    "Abs": unary(torch.abs),
    "Acos": unary(torch.acos),
    "Acosh": unary(torch.acosh),
    "Add": binary(torch.add),
    "Asin": unary(torch.asin),
    "Asinh": unary(torch.asinh),
    "Atan": unary(torch.atan),
    "Atanh": unary(torch.atanh),
    "Ceil": unary(torch.ceil),
    "Clip": clip,
    "Cos": unary(torch.cos),
    "Cosh": unary(torch.cosh),
    "Div": binary(divide),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Log": unary(torch.log),
    "Max": _variadic(torch.maximum),
    "Mean": mean,
    "Min": _variadic(torch.minimum),
    "Mod": modulo,
    "Mul": binary(torch.mul),
    "Neg": unary(torch.neg),
    "Pow": binary(power),
    "Reciprocal": unary(torch.reciprocal),
    "Round": unary(torch.round),
    "Sign": unary(torch.sign),
    "Sin": unary(torch.sin),
    "Sinh": unary(torch.sinh),
    "Sqrt": unary(torch.sqrt),
    "Sub": binary(torch.sub),
    "Sum": _variadic(torch.add),
    "Tan": unary(torch.tan),
}
