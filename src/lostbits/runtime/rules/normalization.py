"""Rules of normalisations and of the softmax family."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from lostbits.runtime.rules.dtypes import torch_dtype
from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)


def batch_normalization(operator: Operator, inputs: Values) -> Outputs:
    """BatchNormalization with the stored mean and variance."""
    if operator.get("training_mode", 0) or operator.outputs > 1:
        raise Unsupported("BatchNormalization in training mode")
    x, scale, bias, mean, var = (given(inputs, i) for i in range(5))
    epsilon = operator.get("epsilon", 1e-5)
    return (functional.batch_norm(x, mean, var, scale, bias, training=False, eps=epsilon),)


def instance_normalization(operator: Operator, inputs: Values) -> Outputs:
    """InstanceNormalization: group normalisation with a group for every channel."""
    x, scale, bias = (given(inputs, i) for i in range(3))
    # torch.group_norm, unlike torch.nn.functional's, takes planes of a single element.
    return (torch.group_norm(x, x.shape[1], scale, bias, operator.get("epsilon", 1e-5)),)


def group_normalization(operator: Operator, inputs: Values) -> Outputs:
    """GroupNormalization; before opset 21 there is one scale per group, then one per channel."""
    x, scale, bias = (given(inputs, i) for i in range(3))
    groups = operator.get("num_groups")
    if operator.opset < 21:
        scale, bias = (v.repeat_interleave(x.shape[1] // groups) for v in (scale, bias))
    return (torch.group_norm(x, groups, scale, bias, operator.get("epsilon", 1e-5)),)


def layer_normalization(operator: Operator, inputs: Values) -> Outputs:
    """LayerNormalization over ``axis`` and all axes after it."""
    x, scale, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    axis, epsilon = operator.get("axis", -1) % x.ndim, operator.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    bias = None if bias is None else bias.expand(shape)
    y = functional.layer_norm(x, shape, scale.expand(shape), bias, epsilon)
    if operator.outputs == 1:
        return (y,)
    stash = x.to(torch_dtype(operator.get("stash_type", 1)))
    var, mean = torch.var_mean(stash, list(range(axis, x.ndim)), correction=0, keepdim=True)
    return (y, mean, torch.rsqrt(var + epsilon))[: operator.outputs]


def rms_normalization(operator: Operator, inputs: Values) -> Outputs:
    """RMSNormalization over ``axis`` and all axes after it."""
    x, scale = given(inputs, 0), given(inputs, 1)
    stash = x if x.dtype == torch.float64 else x.to(torch_dtype(operator.get("stash_type", 1)))
    axes = list(range(operator.get("axis", -1) % x.ndim, x.ndim))
    square = stash.square().mean(axes, keepdim=True)
    y = stash * torch.rsqrt(square + operator.get("epsilon", 1e-5))
    return (y.to(x.dtype) * scale,)


def lrn(operator: Operator, inputs: Values) -> Outputs:
    """LRN: normalisation by the squares of ``size`` neighbouring channels."""
    x, size = given(inputs, 0), operator.get("size")
    planes = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
    planes = functional.pad(planes, [0, 0, (size - 1) // 2, size // 2])
    mean = functional.avg_pool2d(planes, (size, 1), stride=1).reshape(x.shape)
    base = operator.get("bias", 1.0) + operator.get("alpha", 1e-4) * mean
    return (x / base ** operator.get("beta", 0.75),)


def lp_normalization(operator: Operator, inputs: Values) -> Outputs:
    """LpNormalization; where the norm is zero, so is the result."""
    x = given(inputs, 0)
    axis = operator.get("axis", -1)
    norm = torch.linalg.vector_norm(x, operator.get("p", 2), axis, keepdim=True)
    return (x / torch.where(norm == 0, 1, norm),)


def mean_variance_normalization(operator: Operator, inputs: Values) -> Outputs:
    """MeanVarianceNormalization over ``axes``."""
    x = given(inputs, 0)
    axes = operator.get("axes", [0, 2, 3])
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return ((x - mean) / (var.sqrt() + 1e-9),)


def _hardmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    first = x.argmax(axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1)


def _along_axis(function: Callable[[torch.Tensor, int], torch.Tensor]) -> Rule:
    """Along one axis; before opset 13, along that axis and all after it as one."""

    def rule(operator: Operator, inputs: Values) -> Outputs:
        x = given(inputs, 0)
        if operator.opset >= 13:
            return (function(x, operator.get("axis", -1)),)
        axis = operator.get("axis", 1)
        rows = math.prod(x.shape[: axis if axis >= 0 else axis + x.ndim])
        return (function(x.reshape(rows, x.numel() // max(rows, 1)), 1).reshape(x.shape),)

    return rule


RULES: dict[str, Rule] = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "Hardmax": _along_axis(_hardmax),
    "InstanceNormalization": instance_normalization,
    "LRN": lrn,
    "LayerNormalization": layer_normalization,
    "LogSoftmax": _along_axis(torch.log_softmax),
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
    "SimplifiedLayerNormalization": rms_normalization,
    "Softmax": _along_axis(torch.softmax),
}
