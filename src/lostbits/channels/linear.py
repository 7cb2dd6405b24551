"""A linear layer with constant weight, and its weight as blocks that all ops have in common.

Conv, ConvTranspose, Gemm and MatMul keep their weights in five different orders. What rescales,
absorbs or splits channels works on blocks of shape ``(groups, outputs, inputs, taps)`` instead,
outputs and inputs counted within a group: ``y[g, o] = sum over i, t of W[g, o, i, t] x[g, i, t]``.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.fusion import bias_of_matmul
from lostbits.graph.queries import constant, name_of, node_name, sole_consumer
from lostbits.graph.site import Use
from lostbits.language import Message, say

Doubles = NDArray[np.float64]
_CONVOLUTIONS = ("Conv", "ConvTranspose")


@final
@dataclass(frozen=True)
class Linear:
    """A linear layer.

    Attributes:
        node: Name of its node.
        op: Type of it.
        weight: Name of the constant, which nobody else reads.
        output: The tensor that leaves it, bias included.
        bias: Where a bias is read, or would be; None for a MatMul without an Add.
        groups: Independent parts.
        kernel: Extents of the window; empty for a product of matrices.
        inputs_first: Whether the weight's first axis counts inputs.
        outputs, columns: Channels that leave it, and inputs that it reads.
        outer, inner: A column of a Gemm or MatMul behind a Flatten is ``(outer, channel, inner)``:
            each channel covers several columns.
    """

    node: str
    op: str
    weight: str
    output: str
    bias: Use | None
    groups: int
    kernel: tuple[int, ...]
    inputs_first: bool
    outputs: int
    columns: int
    outer: int = 1
    inner: int = 1

    def split(self, weight: NDArray[np.generic]) -> Doubles:
        """The weight as blocks ``(groups, outputs, inputs, taps)``, in double precision.

        The columns that a channel covers are taps, like those of a window.
        """
        rows, columns = weight.shape[:2]
        taps = math.prod(self.kernel)
        spread = (self.outer, -1, self.inner)
        if self.inputs_first:
            parts = weight.reshape(self.groups, *spread, columns, taps)
            parts = parts.transpose(0, 4, 2, 1, 3, 5)
        else:
            parts = weight.reshape(self.groups, rows // self.groups, *spread, taps)
            parts = parts.transpose(0, 1, 3, 2, 4, 5)
        return parts.reshape(*parts.shape[:3], -1).astype(np.float64)

    def join(self, blocks: Doubles) -> NDArray[np.float32]:
        """The inverse of ``split``, in single precision."""
        groups, outputs, inputs, _ = blocks.shape
        parts = blocks.reshape(groups, outputs, inputs, self.outer, self.inner, -1)
        columns = self.outer * inputs * self.inner
        if self.inputs_first:
            parts = parts.transpose(0, 3, 2, 4, 1, 5)
            shape = (groups * columns, outputs, *self.kernel)
        else:
            parts = parts.transpose(0, 1, 3, 2, 4, 5)
            shape = (groups * outputs, columns, *self.kernel)
        return np.ascontiguousarray(parts.reshape(shape), np.float32)


def linear_of(node: ir.Node) -> Linear | Message:
    """The linear layer that starts at ``node``, or why its channels cannot be changed."""
    weight, array = node.inputs[1], constant(node.inputs[1])
    if weight is None or array is None:
        return say("skipped.weight_computed")
    if array.dtype != np.float32 or array.ndim < 2 or not array.size:
        return say("skipped.weight_shape", type=str(array.dtype), shape=str(array.shape))
    if len(weight.uses()) > 1 or weight.is_graph_output():
        return say("skipped.weight_shared", tensor=name_of(weight))
    bias, inputs_first = _bias(node), _inputs_first(node)
    groups = node.attributes.get_int("group", 1) if node.op_type in _CONVOLUTIONS else 1
    ends = array.shape[1::-1] if inputs_first else array.shape[:2]
    return _refusal(node, array.ndim, bias) or Linear(
        node=node_name(node),
        op=node.op_type,
        weight=name_of(weight),
        output=_output(node),
        bias=bias,
        groups=groups,
        kernel=array.shape[2:],
        inputs_first=inputs_first,
        outputs=ends[0] * (groups if inputs_first else 1),
        columns=ends[1] * (1 if inputs_first else groups),
    )


def _refusal(node: ir.Node, axes: int, bias: Use | None) -> Message | None:
    """Why the layer is out of reach, or nothing."""
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    turned = bool(node.attributes.get_int("transA", 0))
    if node.op_type == "Gemm" and (factors != [1.0, 1.0] or turned):
        return say("skipped.gemm")
    if node.op_type == "MatMul" and axes > 2:
        return say("skipped.stack")
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and bias.node == node.name and value is not None:
        return None if constant(value) is not None else say("skipped.bias_computed")
    return None


def _bias(node: ir.Node) -> Use | None:
    return bias_of_matmul(node) if node.op_type == "MatMul" else Use(node_name(node), 2)


def _output(node: ir.Node) -> str:
    """The Add behind a MatMul belongs to the layer."""
    reader = sole_consumer(node.outputs[0])
    if bias_of_matmul(node) is not None and reader is not None:
        return name_of(reader.outputs[0])
    return name_of(node.outputs[0])


def _inputs_first(node: ir.Node) -> bool:
    if node.op_type == "Gemm":
        return not bool(node.attributes.get_int("transB", 0))
    return node.op_type != "Conv"
