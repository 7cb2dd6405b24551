"""An op rule: ONNX's Shrink in torch, so that gradients pass it."""

import torch

from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Values, given


def shrink(operator: Operator, inputs: Values) -> Outputs:
    """Values within ``lambd`` of zero vanish, all others move towards it by ``bias``."""
    x = given(inputs, 0)
    limit, bias = operator.get("lambd", 0.5), operator.get("bias", 0.0)
    moved = x - bias * torch.sign(x)
    return (torch.where(x.abs() > limit, moved, torch.zeros_like(x)),)


RULES: dict[str, Rule] = {"Shrink": shrink}
