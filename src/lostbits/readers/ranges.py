"""Ranges of activations as text or JSON: what tools for TensorRT and MagicMind exchange.

All hold the end of the range (``amax``), not the scale. A number is a symmetric int8 range; a pair
of ends is laid over uint8, because which grid was meant is not in the file.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, final

from lostbits.errors import ReadError
from lostbits.grid import Grid
from lostbits.reader import (
    Entry,
    Parameters,
    Reader,
    Reading,
    affine_of_ends,
    check_unique,
    damaged,
    excerpt,
    json_object,
    lines_of,
    parse_json,
    starts_object,
)

_FIRST = 1 << 16  # bytes in which the first line ends, if this is a list
_ENDS = (("min", "max"), ("tensor_min", "tensor_max"))


@final
class Ranges(Reader):
    """The forms of TensorRT's sampleINT8API, PPQ, MQBench and Dipoorlet.

    ``name:amax`` per line; ``{"act_quant_info": {name: amax}}``; ``{"blob_range": {...}}``, alone
    or inside ``{"tensorrt": ...}``, with a number or ``{"min": ..., "max": ...}`` for each name.
    """

    name: ClassVar[str] = "ranges"
    title: ClassVar[str] = "dynamic ranges as text or JSON (TensorRT, PPQ, MQBench, Dipoorlet)"

    def recognises(self, content: bytes) -> bool:
        """By the keys of the JSON forms, or by a first line of text that is a name and a number."""
        if starts_object(content):
            return _ranges(json_object(content)) is not None
        return any(_pair(line) is not None for line in lines_of(content[:_FIRST])[:1])

    def parse(self, content: bytes) -> Parameters:
        """One entry per name."""
        ranges = _ranges(parse_json(content)) if starts_object(content) else _text(content)
        if ranges is None:
            raise damaged("neither act_quant_info nor blob_range holds ranges")
        reading = Reading(self.name)
        for tensor, ends in ranges.items():
            _add(reading, tensor, ends)
        return reading.parameters()


def _ranges(value: Any) -> Mapping[str, Any] | None:
    """The object that holds the ranges, in any of the forms."""
    outer = value.get("tensorrt", value) if isinstance(value, dict) else {}
    inner = outer.get("act_quant_info", outer.get("blob_range")) if isinstance(outer, dict) else {}
    return inner if isinstance(inner, dict) and inner else None


def _text(content: bytes) -> dict[str, Any]:
    """Split at the last colon, because names may hold some."""
    pairs = []
    for number, line in enumerate(lines_of(content), 1):
        pair = _pair(line)
        if pair is None:
            raise damaged(f"{excerpt(line)} is not 'name: range'", f"line {number}")
        pairs.append(pair)
    check_unique(name for name, _ in pairs)
    return dict(pairs)


def _pair(line: str) -> tuple[str, float] | None:
    name, _, number = line.rpartition(":")
    try:
        return (name, float(number)) if name else None
    except ValueError:
        return None


def _add(reading: Reading, tensor: str, ends: object) -> None:
    if isinstance(ends, int | float) and not isinstance(ends, bool):
        _add_symmetric(reading, tensor, ends)
        return
    for low, high in _ENDS if isinstance(ends, dict) else ():
        if isinstance(ends, dict) and {low, high} <= set(ends):
            _add_pair(reading, tensor, ends[low], ends[high])
            return
    reading.malformed(tensor, excerpt(json.dumps(ends)))


def _add_symmetric(reading: Reading, tensor: str, end: float) -> None:
    try:
        reading.add(tensor, Grid.of(8, signed=True), end / 127)
    except OverflowError:  # an integer of hundreds of digits
        reading.malformed(tensor, excerpt(str(end)))


def _add_pair(reading: Reading, tensor: str, low: object, high: object) -> None:
    grid = Grid.of(8, signed=False)
    try:
        reading.put(Entry(tensor, affine_of_ends(tensor, grid, low, high, symmetric=False)))
    except ReadError as error:
        reading.problems.append(error)
