"""Rules that change or read shapes and leave every value as it is."""

import math

import numpy as np
import torch

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    integers,
    optional,
    unary,
)


def reshape(operator: Operator, inputs: Values) -> Outputs:
    """Reshape; 0 keeps the dimension unless ``allowzero``."""
    x, shape = given(inputs, 0), given(inputs, 1).tolist()
    if not operator.get("allowzero", 0):
        shape = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return (x.reshape(shape),)


def flatten(operator: Operator, inputs: Values) -> Outputs:
    """Flatten to a matrix: the axes before ``axis``, and the rest."""
    x, axis = given(inputs, 0), operator.get("axis", 1)
    rows = x.shape[: axis if axis >= 0 else axis + x.ndim]
    return (x.reshape(math.prod(rows), math.prod(x.shape[len(rows) :])),)


def transpose(operator: Operator, inputs: Values) -> Outputs:
    """Transpose; reverses the axes by default."""
    x = given(inputs, 0)
    return (x.permute(operator.get("perm") or list(reversed(range(x.ndim)))),)


def squeeze(operator: Operator, inputs: Values) -> Outputs:
    """Squeeze the axes given, or all of size one."""
    x, axes = given(inputs, 0), integers(operator, "axes", inputs, 1)
    return (x.squeeze() if axes is None else x.squeeze(tuple(axes)),)


def unsqueeze(operator: Operator, inputs: Values) -> Outputs:
    """Unsqueeze; the axes are those of the result."""
    x, axes = given(inputs, 0), integers(operator, "axes", inputs, 1) or []
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return (x,)


def concat(operator: Operator, inputs: Values) -> Outputs:
    """Concat along ``axis``."""
    return (torch.cat([given(inputs, i) for i in range(len(inputs))], operator.get("axis")),)


def split(operator: Operator, inputs: Values) -> Outputs:
    """Split into the sizes given, or into equal parts with the last one smaller if need be."""
    x, axis = given(inputs, 0), operator.get("axis", 0)
    sizes = integers(operator, "split", inputs, 1)
    if sizes is None:
        parts = operator.get("num_outputs", operator.outputs)
        size = -(-x.shape[axis] // parts)
        sizes = [size] * (parts - 1) + [x.shape[axis] - size * (parts - 1)]
    return tuple(torch.split(x, sizes, axis))


def expand(operator: Operator, inputs: Values) -> Outputs:
    """Expand: broadcast with a shape, in both directions."""
    x, shape = given(inputs, 0), given(inputs, 1).tolist()
    return (x.expand(np.broadcast_shapes(x.shape, tuple(shape))),)


def tile(operator: Operator, inputs: Values) -> Outputs:
    """Tile: repeat along every axis."""
    return (given(inputs, 0).repeat(given(inputs, 1).tolist()),)


def shape_of(operator: Operator, inputs: Values) -> Outputs:
    """Shape, or the part of it from ``start`` to ``end``."""
    shape = given(inputs, 0).shape[operator.get("start", 0) : operator.get("end")]
    return (torch.tensor(list(shape), dtype=torch.int64),)


def dropout(operator: Operator, inputs: Values) -> Outputs:
    """Dropout in inference: the identity, and a mask that keeps everything."""
    x, ratio, training = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    rate = 0.5 if ratio is None else ratio.item()
    if training is not None and training.item() and rate > 0:
        raise Unsupported("Dropout in training mode")
    return (x, torch.ones_like(x, dtype=torch.bool))[: operator.outputs]


def depth_to_space(operator: Operator, inputs: Values) -> Outputs:
    """DepthToSpace: channels into blocks of pixels."""
    x, block = given(inputs, 0), operator.get("blocksize")
    n, channels, height, width = x.shape
    depth = channels // block**2
    if operator.get("mode", "DCR") == "DCR":
        x = x.reshape(n, block, block, depth, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, depth, block, block, height, width).permute(0, 1, 4, 2, 5, 3)
    return (x.reshape(n, depth, height * block, width * block),)


def space_to_depth(operator: Operator, inputs: Values) -> Outputs:
    """SpaceToDepth: blocks of pixels into channels."""
    x, block = given(inputs, 0), operator.get("blocksize")
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if operator.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return (x.permute(order).reshape(n, channels * block**2, height // block, width // block),)


RULES: dict[str, Rule] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Dropout": dropout,
    "Expand": expand,
    "Flatten": flatten,
    "Identity": unary(lambda x: x),
    "Reshape": reshape,
    "Shape": shape_of,
    "Size": unary(lambda x: torch.tensor(x.numel())),
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
