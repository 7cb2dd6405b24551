"""Convolutions as products of matrices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.kernels.sums import Integers


def rows_of(weight: NDArray[Any], groups: int) -> Integers:
    """A Conv's weight as (groups, output channels of one, products): taps outside, inputs inside.

    ONNX Runtime and oneDNN keep the input channels of one tap together, so that two neighbouring
    products are of the same tap wherever the channels are even.
    """
    taps = np.moveaxis(weight, 1, -1).astype(np.int64)
    return taps.reshape(groups, len(weight) // groups, -1)


def windows(
    sample: NDArray[Any],
    attributes: Mapping[str, Any],
    kernel: Sequence[int],
    groups: int,
    zero: int,
) -> tuple[Integers, tuple[int, ...]]:
    """What every output of a Conv sees of one sample, and the shape of the outputs in space.

    Args:
        sample: Codes, shape (channels, *space).
        attributes: ``pads``, ``strides``, ``dilations``, ``auto_pad`` as ONNX has them.
        kernel: Its size.
        groups: Of channels.
        zero: Code that fills the padding.

    Returns:
        Shape (groups, products, outputs), products in the order of ``rows_of``.
    """
    axes = range(len(kernel))
    strides = list(attributes.get("strides", [1] * len(kernel)))
    dilations = list(attributes.get("dilations", [1] * len(kernel)))
    spans = [(kernel[d] - 1) * dilations[d] + 1 for d in axes]
    widths = _pads(attributes, sample.shape[1:], strides, spans)
    padded = np.pad(sample.astype(np.int64), [(0, 0), *widths], constant_values=zero)
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, tuple(d + 1 for d in axes))
    steps = tuple(slice(None, None, s) for s in strides)
    taps = tuple(slice(None, None, d) for d in dilations)
    seen = seen[(slice(None), *steps, *taps)]
    shape = seen.shape[1 : 1 + len(kernel)]
    grouped = seen.reshape(groups, -1, *seen.shape[1:])
    # (groups, inputs, *space, *taps) -> (groups, *taps, inputs, *space)
    order = (0, *(2 + len(kernel) + d for d in axes), 1, *(2 + d for d in axes))
    count = int(np.prod(shape))
    return np.ascontiguousarray(grouped.transpose(order).reshape(groups, -1, count)), shape


def turned(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """The weight of the Conv that a ConvTranspose is, over an input with room between its values.

    Args:
        weight: Shape (inputs, outputs of one group, *kernel).
        groups: Of channels.

    Returns:
        Shape (outputs, inputs of one group, *kernel).
    """
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    swapped = grouped.reshape(groups * outputs, inputs // groups, *kernel)
    return np.flip(swapped, tuple(range(2, swapped.ndim)))


def spread(
    codes: NDArray[Any], attributes: Mapping[str, Any], kernel: Sequence[int]
) -> NDArray[Any]:
    """The input of that Conv: values ``strides`` apart, and what is around them.

    Args:
        codes: Shape (samples, channels, *space).
        attributes: Of the ConvTranspose, with ``x_zero``, the code that fills the room.
        kernel: Its size.
    """
    count, zero = len(kernel), attributes["x_zero"]
    strides = list(attributes.get("strides", [1] * count))
    dilations = list(attributes.get("dilations", [1] * count))
    pads = list(attributes.get("pads") or [0] * (2 * count))
    more = list(attributes.get("output_padding", [0] * count))
    sizes = [(n - 1) * s + 1 for n, s in zip(codes.shape[2:], strides, strict=True)]
    wide = np.full((*codes.shape[:2], *sizes), zero, codes.dtype)
    whole = (slice(None), slice(None))
    wide[(*whole, *(slice(None, None, s) for s in strides))] = codes
    reach = [(kernel[d] - 1) * dilations[d] for d in range(count)]
    around = [(reach[d] - pads[d], reach[d] - pads[d + count] + more[d]) for d in range(count)]
    filled = [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in around)]
    kept = (slice(max(-a, 0), -max(-b, 0) or None) for a, b in around)
    return np.pad(wide, filled, constant_values=zero)[(*whole, *kept)]


def _pads(
    attributes: Mapping[str, Any],
    space: Sequence[int],
    strides: Sequence[int],
    spans: Sequence[int],
) -> list[tuple[int, int]]:
    """Before and after every axis of space."""
    rule, found = attributes.get("auto_pad", "NOTSET"), []
    pads = attributes.get("pads") or [0] * (2 * len(spans))
    for d, (size, stride, span) in enumerate(zip(space, strides, spans, strict=True)):
        if rule in ("SAME_UPPER", "SAME_LOWER"):
            whole = max((-(-size // stride) - 1) * stride + span - size, 0)
            small, large = whole // 2, whole - whole // 2
            found.append((small, large) if rule == "SAME_UPPER" else (large, small))
        else:
            found.append((0, 0) if rule == "VALID" else (pads[d], pads[d + len(spans)]))
    return found
