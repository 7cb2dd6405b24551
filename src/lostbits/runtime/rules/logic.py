"""Rules of comparisons, of boolean operators, and of type conversions."""

import torch

from lostbits.runtime.rules.dtypes import torch_dtype
from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Values, binary, given, unary


def where(operator: Operator, inputs: Values) -> Outputs:
    """Where: input 1 where the condition holds, else input 2."""
    return (torch.where(given(inputs, 0), given(inputs, 1), given(inputs, 2)),)


def cast(operator: Operator, inputs: Values) -> Outputs:
    """Cast to attribute ``to``."""
    return (given(inputs, 0).to(torch_dtype(operator.get("to"))),)


def cast_like(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``x`` in the type of ``target``."""
    return x.to(target.dtype)


def is_inf(operator: Operator, inputs: Values) -> Outputs:
    """IsInf: of either sign, unless an attribute leaves one out."""
    x = given(inputs, 0)
    signs = [torch.isneginf(x)] if operator.get("detect_negative", 1) else []
    signs += [torch.isposinf(x)] if operator.get("detect_positive", 1) else []
    return (torch.stack([torch.zeros_like(x, dtype=torch.bool), *signs]).any(0),)


RULES: dict[str, Rule] = {
    "And": binary(torch.logical_and),
    "Cast": cast,
    "CastLike": binary(cast_like),
    "Equal": binary(torch.eq),
    "Greater": binary(torch.gt),
    "GreaterOrEqual": binary(torch.ge),
    "IsInf": is_inf,
    "IsNaN": unary(torch.isnan),
    "Less": binary(torch.lt),
    "LessOrEqual": binary(torch.le),
    "Not": unary(torch.logical_not),
    "Or": binary(torch.logical_or),
    "Where": where,
    "Xor": binary(torch.logical_xor),
}
