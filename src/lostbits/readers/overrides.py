"""ONNX Runtime's TensorQuantOverrides: what its quantizer is told about single tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from lostbits.errors import ReadError
from lostbits.grid import Grid
from lostbits.reader import (
    Parameters,
    Reader,
    Reading,
    affine_of_ends,
    excerpt,
    json_object,
    parse_json,
)

_KEYS = frozenset(
    {
        "axis",
        "convert",
        "quant_type",
        "reduce_range",
        "rmax",
        "rmin",
        "scale",
        "symmetric",
        "zero_point",
    }
)
_TYPES = ("QInt8", "QUInt8", "QInt16", "QUInt16", "QInt4", "QUInt4")
Channel = Mapping[str, Any]


@final
class Overrides(Reader):
    """A list of dicts per tensor: one for the tensor, or one per channel with ``axis``.

    References:
        ONNX Runtime 1.32, quantization/tensor_quant_overrides.py.
    """

    name: ClassVar[str] = "tensor-quant-overrides"
    title: ClassVar[str] = "ONNX Runtime TensorQuantOverrides (JSON)"

    def recognises(self, content: bytes) -> bool:
        """By the keys of the entries."""
        lists = list(json_object(content).values())
        return bool(lists) and all(_is_override(entry) for entry in lists)

    def parse(self, content: bytes) -> Parameters:
        """Entries with scale and zero point, or with a range."""
        reading = Reading(self.name)
        for tensor, channels in parse_json(content).items():
            _add(reading, tensor, channels)
        return reading.parameters()


def _is_override(entry: object) -> bool:
    if not isinstance(entry, list) or not entry:
        return False
    return all(isinstance(c, dict) and c and set(c) <= _KEYS for c in entry)


def _add(reading: Reading, tensor: str, channels: Sequence[Channel]) -> None:
    first = channels[0]
    axis = first.get("axis")
    grid = _grid(first.get("quant_type"), signed=axis is not None)
    if grid is None:
        reading.unsupported(tensor, f"quant_type {first.get('quant_type')!r}")
        return
    symmetric = bool(first.get("symmetric", axis is not None))
    try:
        scale, zero = _scale_and_zero(tensor, channels, grid, symmetric)
    except ReadError as error:
        reading.problems.append(error)
        return
    if scale is None:
        reading.malformed(tensor, f"only {excerpt(', '.join(sorted(first)))}")
    elif axis is None:
        reading.add(tensor, grid, scale[0], zero[0])
    else:
        reading.add(tensor, grid, scale, zero, axis=axis)


def _grid(kind: object, *, signed: bool) -> Grid | None:
    """Of a type's name with or without its class; without a type, the quantizer's default."""
    if kind is None:
        return Grid.of(8, signed=signed)
    name = str(kind).rpartition(".")[2]
    if name not in _TYPES:
        return None
    return Grid.of(int(name.lstrip("QUInt")), signed="U" not in name)


def _scale_and_zero(
    tensor: str, channels: Sequence[Channel], grid: Grid, symmetric: bool
) -> tuple[list[Any] | None, list[Any]]:
    """Numbers per channel; None when some channel has neither scale nor range."""
    scales, zeros = [], []
    for channel in channels:
        if "scale" in channel:
            scales.append(channel["scale"])
            zeros.append(channel.get("zero_point", 0))
        elif {"rmin", "rmax"} <= set(channel):
            low, high = channel["rmin"], channel["rmax"]
            ends = affine_of_ends(tensor, grid, low, high, symmetric=symmetric)
            scales.append(float(ends.scale))
            zeros.append(int(ends.zero_point))
        else:
            return None, []
    return scales, zeros
