"""Channels of the weight of a linear layer: how many, scaled, and what a shift adds up to."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def input_channels(linear: ir.Node, weight: Vector) -> int:
    """Input channels."""
    shape: tuple[int, ...] = weight.shape
    groups = linear.attributes.get_int("group", 1)
    match linear.op_type:
        case "Conv":
            return shape[1] * groups
        case "ConvTranspose":
            return shape[0]
        case "Gemm" if linear.attributes.get_int("transB", 0):
            return shape[1]
    return shape[-2]


def output_channels(linear: ir.Node, weight: Vector) -> int:
    """Output channels."""
    shape: tuple[int, ...] = weight.shape
    match linear.op_type:
        case "Conv":
            return shape[0]
        case "ConvTranspose":
            return shape[1] * linear.attributes.get_int("group", 1)
        case "Gemm" if linear.attributes.get_int("transB", 0):
            return shape[0]
    return shape[-1]


def _per_column(linear: ir.Node, weight: Vector, values: Vector) -> Vector:
    """One value an input channel, shaped to broadcast over the weight."""
    values = np.broadcast_to(values, input_channels(linear, weight))
    match linear.op_type:
        case "Conv":
            groups = linear.attributes.get_int("group", 1)
            rows = np.repeat(values.reshape(groups, -1), weight.shape[0] // groups, axis=0)
            return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))
        case "ConvTranspose":
            return values.reshape(-1, *[1] * (weight.ndim - 1))
        case "Gemm" if linear.attributes.get_int("transB", 0):
            return values
    return values.reshape(-1, 1)


def with_scaled_inputs(linear: ir.Node, weight: Vector, scale: Vector) -> Vector:
    """Multiply what each input channel meets by its factor, of one value or one a channel."""
    return weight * _per_column(linear, weight, scale)


def of_shifted_inputs(linear: ir.Node, weight: Vector, shift: Vector) -> Vector:
    """What a shift of the input adds to each output channel of a Conv or Gemm."""
    moved = weight * _per_column(linear, weight, shift)
    last = linear.op_type == "Gemm" and not linear.attributes.get_int("transB", 0)
    return np.asarray(moved.sum(axis=0) if last else moved.reshape(len(moved), -1).sum(axis=1))


def with_scaled_outputs(linear: ir.Node, weight: Vector, factor: Vector) -> Vector:
    """Multiply each output channel of ``weight`` by its factor."""
    if not factor.ndim:
        return weight * factor
    if linear.op_type == "ConvTranspose":
        groups = linear.attributes.get_int("group", 1)
        split = weight.reshape(groups, -1, *weight.shape[1:])
        factors = factor.reshape(groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
        return np.asarray(split * factors).reshape(weight.shape)
    last = linear.op_type == "Gemm" and not linear.attributes.get_int("transB", 0)
    if last or linear.op_type == "MatMul":
        return weight * factor
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))


def pads(linear: ir.Node) -> bool:
    """Whether a convolution sees zeros beyond the borders."""
    if linear.op_type == "Gemm":
        return False
    kind = linear.attributes.get_string("auto_pad", "NOTSET")
    return kind.startswith("SAME") or any(linear.attributes.get_ints("pads", []))
