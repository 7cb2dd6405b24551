"""Rules that put values back where a window took them from."""

import math

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)


def col2im(operator: Operator, inputs: Values) -> Outputs:
    """Sum of blocks (N, C * taps, blocks) at the places of a sliding window."""
    x, size, block = given(inputs, 0), given(inputs, 1).tolist(), given(inputs, 2).tolist()
    axes = len(size)
    pads = operator.get("pads", [0] * 2 * axes)
    if axes != 2 or pads[:axes] != pads[axes:]:
        raise Unsupported("Col2Im over other axes than two, or with pads of one side")
    wide, steps = operator.get("dilations", [1, 1]), operator.get("strides", [1, 1])
    told = (tuple(sizes) for sizes in (size, block, wide, pads[:axes], steps))
    return (functional.fold(x, *told),)


def max_unpool(operator: Operator, inputs: Values) -> Outputs:
    """Values at the places, counted over the whole result, that a MaxPool has told; else zero."""
    x, places, told = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    shape = list(x.shape[:2]) + _unpooled(operator, x)
    if told is not None and told.tolist() != shape:
        raise Unsupported("MaxUnpool into another size")
    flat = torch.zeros(math.prod(shape), dtype=x.dtype)
    return (flat.scatter(0, places.flatten(), x.flatten()).reshape(shape),)


def _unpooled(operator: Operator, x: torch.Tensor) -> list[int]:
    kernel = operator.get("kernel_shape")
    axes = len(kernel)
    steps, pads = operator.get("strides", [1] * axes), operator.get("pads", [0] * 2 * axes)
    return [
        (n - 1) * steps[i] - pads[i] - pads[axes + i] + kernel[i] for i, n in enumerate(x.shape[2:])
    ]


RULES: dict[str, Rule] = {"Col2Im": col2im, "MaxUnpool": max_unpool}
