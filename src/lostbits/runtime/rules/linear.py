"""Rules of convolutions and matrix products."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    binary,
    given,
    optional,
)
from lostbits.runtime.rules.window import Sizes, Window, flat_pads

_CONV_TRANSPOSE: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def conv(operator: Operator, inputs: Values) -> Outputs:
    """Conv over one to three spatial axes."""
    x, weight, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    window = Window.of(operator, x.shape[2:], weight.shape[2:])
    return (window.convolve(x, weight, bias, operator.get("group", 1)),)


def fused_conv(operator: Operator, inputs: Values) -> Outputs:
    """Conv, plus input 3, then an activation, as ONNX Runtime's optimizer writes them."""
    activation = operator.get("activation", "")
    if activation not in _ACTIVATIONS:
        raise Unsupported(f"activation {activation!r}")
    (y,) = conv(operator, inputs[:3])
    residual = optional(inputs, 3)
    y = y if residual is None else y + residual
    return (_ACTIVATIONS[activation](y, operator.get("activation_params", [])),)


_ACTIVATIONS: dict[str, Callable[[torch.Tensor, list[float]], torch.Tensor]] = {
    "": lambda y, _: y,
    "Relu": lambda y, _: torch.relu(y),
    "Sigmoid": lambda y, _: torch.sigmoid(y),
    "Tanh": lambda y, _: torch.tanh(y),
    "LeakyRelu": lambda y, p: functional.leaky_relu(y, p[0]),
    "Clip": lambda y, p: functional.hardtanh(y, p[0], p[1]),
    "HardSigmoid": lambda y, p: functional.hardtanh(p[0] * y + p[1], 0, 1),
}


def conv_transpose(operator: Operator, inputs: Values) -> Outputs:
    """ConvTranspose: torch's own where it has the padding, else the full one, cropped."""
    x, weight, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    window = Window.of(_without_auto_pad(operator), x.shape[2:], weight.shape[2:])
    begin, end = _crops(operator, x.shape[2:], window)
    transpose, groups = _CONV_TRANSPOSE[x.ndim - 2], operator.get("group", 1)
    extra = tuple(b - e for b, e in zip(begin, end, strict=True))
    coarse = [max(pair) for pair in zip(window.strides, window.dilations, strict=True)]
    if min(begin) >= 0 and all(0 <= e < c for e, c in zip(extra, coarse, strict=True)):
        y = transpose(x, weight, bias, window.strides, begin, extra, groups, window.dilations)
        return (y,)
    full = transpose(x, weight, None, window.strides, 0, 0, groups, window.dilations)
    y = functional.pad(full, [-crop for crop in flat_pads(begin, end)])
    return (y if bias is None else y + bias.reshape(-1, *[1] * (x.ndim - 2)),)


def _without_auto_pad(operator: Operator) -> Operator:
    # The SAME of a transposed convolution is about its output: _crops sees to it.
    known = {k: v for k, v in operator.attributes.items() if k != "auto_pad"}
    if operator.get("auto_pad", "NOTSET") != "NOTSET":
        known.pop("pads", None)
    return Operator(operator.op_type, known, operator.opset)


def _crops(operator: Operator, extent: Sizes, window: Window) -> tuple[Sizes, Sizes]:
    """Say what to cut from both ends of the full result; negative extends it with zeros."""
    adjust = operator.get("output_padding") or [0] * len(extent)
    auto_pad = operator.get("auto_pad", "NOTSET")
    wanted = operator.get("output_shape")
    if wanted is None and auto_pad.startswith("SAME"):
        if any(s > r for s, r in zip(window.strides, window.reach, strict=True)):
            # By the standard zeros follow the result, ONNX Runtime makes it smaller.
            raise Unsupported("auto_pad SAME with strides beyond the kernel")
        wanted = [size * stride for size, stride in zip(extent, window.strides, strict=True)]
    if wanted is None:
        return window.begin, tuple(e - a for e, a in zip(window.end, adjust, strict=True))
    axes = zip(extent, window.strides, window.reach, adjust, wanted[-len(extent) :], strict=True)
    begin, end = [], []
    for size, stride, reach, more, out in axes:
        full = stride * (size - 1) + reach
        total = max(0, full + more - out)
        begin.append(total // 2 if auto_pad == "SAME_UPPER" else total - total // 2)
        end.append(full - out - begin[-1])
    return tuple(begin), tuple(end)


def gemm(operator: Operator, inputs: Values) -> Outputs:
    """``alpha * A' B' + beta * C``."""
    a, b, c = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    a = a.t() if operator.get("transA", 0) else a
    b = b.t() if operator.get("transB", 0) else b
    number: Callable[[Any], Any] = float if a.is_floating_point() else int
    alpha, beta = number(operator.get("alpha", 1.0)), number(operator.get("beta", 1.0))
    if c is not None:
        return (torch.addmm(c, a, b, alpha=alpha, beta=beta),)
    product = a @ b
    return (product if alpha == 1 else alpha * product,)


def einsum(operator: Operator, inputs: Values) -> Outputs:
    """Einsum; torch's equations are those of ONNX."""
    operands = [given(inputs, i) for i in range(len(inputs))]
    return (torch.einsum(operator.get("equation"), *operands),)


RULES: dict[str, Rule] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": binary(torch.matmul),
    "com.microsoft::FusedConv": fused_conv,
}
