"""Encodings of Qualcomm's tools and AIMET, in the three published forms.

``x = (q + offset) * scale``: an offset is minus the zero point *of the unsigned grid*, so a
symmetric 8-bit tensor has offset -128. Version 2.0.0 speaks ONNX's language instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from lostbits.errors import ReadError
from lostbits.grid import Grid
from lostbits.reader import (
    Parameters,
    Reader,
    Reading,
    affine_of_ends,
    check_unique,
    damaged,
    grid_of,
    json_object,
    parse_json,
    wrong_version,
)

_LEGACY = ("0.4.0", "0.5.0", "0.6.1")
_VERSIONS = (*_LEGACY, "1.0.0", "2.0.0")
_NONSENSE = (KeyError, TypeError, ValueError, IndexError, OverflowError)  # of fields of any type
_SECTIONS = ("activation_encodings", "param_encodings")
Encoding = Mapping[str, Any]


@final
class Encodings(Reader):
    """Versions up to 0.6.1 (also without a version, as PPQ and MQBench write), 1.0.0 and 2.0.0.

    The form of the entries decides, not the version that the file declares: that is how the
    vendor's own reader does it. Neither 0.6.1 nor 1.0.0 tells the channel axis.

    References:
        AIMET 2.42, Docs/api_docs/quantization_encoding_specification; QAIRT Quantization
        Specification 0.1.
    """

    name: ClassVar[str] = "encodings"
    title: ClassVar[str] = "encodings of SNPE, QNN, QAIRT and AIMET (0.6.1, 1.0.0, 2.0.0)"

    def recognises(self, content: bytes) -> bool:
        """By the names of the sections."""
        return bool({"encodings", *_SECTIONS} & set(json_object(content)))

    def parse(self, content: bytes) -> Parameters:
        """One entry per quantized tensor; float ones are listed."""
        value = parse_json(content)
        version = value.get("version", _LEGACY[-1])
        if version not in _VERSIONS:
            raise wrong_version(version, _VERSIONS)
        reading = Reading(self.name)
        if "encodings" in value:
            _each(reading, value["encodings"], _add_onnx)
        for section in _SECTIONS:
            known = set(reading.entries)
            _add_section(reading, value.get(section, {}))
        reading.constants += [name for name in reading.entries if name not in known]
        arguments = value.get("quantizer_args")
        method = arguments.get("quant_scheme") if isinstance(arguments, dict) else None
        return reading.parameters(method if isinstance(method, str) else None)


def _add_section(reading: Reading, section: object) -> None:
    if isinstance(section, list):
        _each(reading, section, _add_named)
    elif isinstance(section, dict):
        for tensor, channels in section.items():
            _add_legacy(reading, tensor, channels)
    else:
        raise damaged("encodings are neither a list nor an object")


def _each(reading: Reading, entries: object, add: Any) -> None:
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and "name" in e for e in entries
    ):
        raise damaged("encodings are no list of objects with names")
    check_unique(entry["name"] for entry in entries)
    for entry in entries:
        try:
            add(reading, entry["name"], entry)
        except ReadError as error:
            reading.problems.append(error)
        except _NONSENSE as error:
            reading.malformed(entry["name"], f"{type(error).__name__} {error}")


def _add_onnx(reading: Reading, tensor: str, entry: Encoding) -> None:
    """2.0.0: the vocabulary of QuantizeLinear; ``axis`` is that of the blocks if there are any."""
    kind = str(entry["output_dtype"])
    if "float" in kind:
        reading.floats.append(tensor)
    elif "block_size" in entry:
        reading.unsupported(tensor, f"blocks of {entry['block_size']}")
    else:
        grid = grid_of(tensor, int(kind.lstrip("uint")), signed=not kind.startswith("u"))
        scale, zero = entry["y_scale"], entry.get("y_zero_point", 0)
        reading.add(tensor, grid, scale, zero, axis=entry.get("axis"))


def _add_named(reading: Reading, tensor: str, entry: Encoding) -> None:
    """1.0.0."""
    kind = entry.get("enc_type", "PER_TENSOR")
    if str(entry.get("dtype")).upper() != "INT":  # a missing dtype means float to the converter
        reading.floats.append(tensor)
    elif kind not in ("PER_TENSOR", "PER_CHANNEL"):
        reading.unsupported(tensor, f"enc_type {kind}")
    else:
        _add_offsets(reading, tensor, entry, kind == "PER_CHANNEL")


def _add_offsets(reading: Reading, tensor: str, entry: Encoding, per_channel: bool) -> None:
    symmetric = entry["is_sym"] is True
    grid = grid_of(tensor, entry["bw"], signed=symmetric)
    half = 2 ** (grid.bits - 1)
    offsets = entry.get("offset", [-half] * len(entry["scale"]))
    known = len(reading.problems)
    zeros = [_zero(reading, tensor, o, half, symmetric) for o in offsets]
    reading.problems[known:] = _first_of_each(reading.problems[known:])
    _finish(reading, tensor, grid, (entry["scale"], zeros), per_channel)


def _finish(
    reading: Reading, tensor: str, grid: Grid, numbers: tuple[list[Any], list[Any]], channels: bool
) -> None:
    """Per tensor: the only number of each list; per channel: all, along an axis to be found."""
    scale, zero = numbers
    if channels:
        reading.add(tensor, grid, scale, zero, axis=0, axis_given=False)
    else:
        reading.add(tensor, grid, scale[0], zero[0])


def _zero(reading: Reading, tensor: str, offset: float, half: int, symmetric: bool) -> float:
    """Zero point of the signed grid where symmetric, else of the unsigned one."""
    if offset > 0:
        reading.problems.append(_positive(tensor, offset))
    if not symmetric:
        return abs(offset)
    if offset not in (0, -half):
        reading.problems.append(_uneven(tensor, offset, half))
    return abs(offset) - half if offset else 0


def _add_legacy(reading: Reading, tensor: str, channels: object) -> None:
    """Up to 0.6.1: a list of objects, one per channel; a single one is per tensor."""
    entries: list[Any] = channels if isinstance(channels, list) else [channels]
    if not entries or not all(isinstance(e, dict) and "bitwidth" in e for e in entries):
        reading.malformed(tensor, "no list of objects with a bitwidth")
    elif str(entries[0].get("dtype", "int")).lower() == "float":
        reading.floats.append(tensor)
    else:
        try:
            _add_channels(reading, tensor, entries)
        except ReadError as error:
            reading.problems.append(error)
        except _NONSENSE as error:
            reading.malformed(tensor, f"{type(error).__name__} {error}")


def _add_channels(reading: Reading, tensor: str, entries: Sequence[Encoding]) -> None:
    first = entries[0]
    if any(e["bitwidth"] != first["bitwidth"] for e in entries):
        reading.malformed(tensor, "channels of different bitwidths")
        return
    if isinstance(first.get("is_symmetric"), bool):
        reading.problems.append(_boolean(tensor))
    symmetric = str(first.get("is_symmetric")).lower() == "true"
    one_sided = symmetric and all(e.get("offset") == 0 and e.get("min") == 0 for e in entries)
    signed = symmetric and not one_sided
    grid = grid_of(tensor, first["bitwidth"], signed=signed)
    known = len(reading.problems)
    pairs = [_legacy_pair(reading, tensor, e, grid) for e in entries]
    reading.problems[known:] = _first_of_each(reading.problems[known:])
    numbers = [s for s, _ in pairs], [z for _, z in pairs]
    _finish(reading, tensor, grid, numbers, len(entries) > 1)


def _first_of_each(problems: Sequence[ReadError]) -> list[ReadError]:
    """One problem a kind: what is wrong with one channel mostly is with all others."""
    return list({problem.code: problem for problem in reversed(problems)}.values())[::-1]


def _legacy_pair(reading: Reading, tensor: str, entry: Encoding, grid: Grid) -> tuple[float, float]:
    """Scale and zero point of one channel; from the ends where they are all there is."""
    levels, signed = 2**grid.bits, grid.signed
    if "scale" not in entry:
        affine = affine_of_ends(tensor, grid, entry["min"], entry["max"], symmetric=signed)
        return float(affine.scale), float(affine.zero_point)
    offset = entry.get("offset", -levels // 2)
    zero = _zero(reading, tensor, offset, levels // 2, signed)
    if "min" in entry and "max" in entry:
        _check_ends(reading, tensor, entry, levels)
    return entry["scale"], zero


def _check_ends(reading: Reading, tensor: str, entry: Encoding, levels: int) -> None:
    offset = -abs(entry.get("offset", -levels // 2)) or -(levels // 2) * (entry["min"] < 0)
    low, high = entry["scale"] * offset, entry["scale"] * (levels - 1 + offset)
    wrong = max(abs(low - entry["min"]), abs(high - entry["max"]))
    if wrong > 1e-3 * abs(entry["scale"]) + 1e-6 * (high - low):
        reading.problems.append(_contradiction(tensor, (low, high), entry))


def _positive(tensor: str, offset: float) -> ReadError:
    where = f"tensor {tensor!r}"
    return ReadError("I010", where, f"{offset:g}", negative=-offset)


def _uneven(tensor: str, offset: float, half: int) -> ReadError:
    where = f"tensor {tensor!r}"
    return ReadError("I011", where, f"{offset:g}", offset=-half)


def _boolean(tensor: str) -> ReadError:
    where = f"tensor {tensor!r}"
    return ReadError("I012", where, "a boolean")


def _contradiction(tensor: str, ends: tuple[float, float], entry: Encoding) -> ReadError:
    where = f"tensor {tensor!r}"
    found = f"[{entry['min']:.6g}, {entry['max']:.6g}] against [{ends[0]:.6g}, {ends[1]:.6g}]"
    return ReadError("I013", where, found)
