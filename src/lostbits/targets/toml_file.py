'''A user's own target: a TOML file with the fields of ``Target``.

Each field of ``Target``, ``Rule`` and ``Placement`` is a key of the same name. Grids are written
``"int8"``, ``"uint4"``, ``"int16"``; ``bias_bits`` and ``wide_bits`` are numbers or ``"float"``;
sources are an array of tables. With ``base`` the file starts from a target that exists and gives
only what differs; it needs a ``name`` all the same. Tables are merged key by key, all else is
replaced.

>>> text = """
... base = "snpe"
... name = "our-dsp"
... title = "SNPE with 16-bit activations"
...
... [activations]
... grid = "uint16"
... minimum_range = 0.01
...
... [placement]
... fused_activations = ["Relu"]
...
... [notes]
... owner = "the camera team"
... """
>>> from lostbits.targets import ALL
>>> ours = parse_target(text, "our-dsp.toml", ALL)
>>> ours.activations.grid.name, ours.activations.symmetric, ours.weights.grid.name
('uint16', False, 'uint8')

A file without ``base`` gives every field that has no default:

>>> text = """
... name = "npu"
... title = "Our NPU"
... bias_bits = 32
... takes = "Q/DQ model"
...
... [weights]
... grid = "int8"
... symmetric = true
... per_channel = true
... method = "min_max"
...
... [activations]
... grid = "int8"
... symmetric = true
... per_channel = false
... method = "percentile"
...
... [placement]
... mode = "inputs_outputs"
... ops = ["Conv", "Gemm", "Add"]
... fused_activations = ["Relu", "Clip"]
... fusing_ops = ["Conv", "Add"]
... shared_scale = ["Concat"]
... passes_through = ["MaxPool", "Reshape", "Flatten", "Transpose"]
...
... [[sources]]
... rule = "everything"
... document = "NPU programming manual, chapter 4"
... version = "1.2"
... """
>>> parse_target(text, "npu.toml", ALL).activations.method
'percentile'

``arithmetic`` is the name of a known one, or a table of the fields of ``Arithmetic``; with ``base``
again only of those that differ. Such a table can be a file of its own, for ``--arithmetic``:

>>> text = """
... base = "tflite"
... name = "npu-20"
... accumulator_bits = 20
... overflow = "saturate"
... """
>>> parse_arithmetic(text, "npu-20.toml").overflow
'saturate'
'''

import dataclasses
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from lostbits.arithmetics import MEMBERS as KNOWN_ARITHMETICS
from lostbits.errors import TargetError, close_match, edge
from lostbits.grid import Grid
from lostbits.quoting import brief
from lostbits.system.files import MOST_SETTINGS, read_text
from lostbits.target import Arithmetic, Placement, Rule, Source, Target

_T = TypeVar("_T", Target, Arithmetic, Rule, Placement, Source)
_B = TypeVar("_B", Target, Arithmetic)
_LARGEST = float(np.finfo(np.float32).max)
_MODES = get_args(get_type_hints(Placement)["mode"])


def read_target(path: Path, bases: Collection[Target]) -> Target:
    """Read a target from a TOML file.

    Args:
        path: The file.
        bases: Targets that ``base`` may name.

    Raises:
        TargetError: T003, if the file cannot be read or a key is missing, unknown or wrong.
    """
    with edge(lambda found: TargetError("T003.file", str(path), found)):
        text = read_text(path, MOST_SETTINGS)
    return parse_target(text, str(path), bases)


def parse_target(text: str, where: str, bases: Collection[Target]) -> Target:
    """``read_target`` of a text; ``where`` stands for the file in messages."""
    with edge(lambda found: TargetError("T003.syntax", where, found)):
        given = tomllib.loads(text)
    base = _base(given.pop("base", None), f"{where}: base", bases)
    if base is not None and "name" not in given:
        raise TargetError("T003.name", f"{where}: name", "nothing")
    return _fields(Target, given, where, base)


def read_arithmetic(path: Path) -> Arithmetic:
    """Read an arithmetic from a TOML file.

    Raises:
        TargetError: T003, if the file cannot be read or a key is missing, unknown or wrong.
    """
    with edge(lambda found: TargetError("T003.file", str(path), found)):
        text = read_text(path, MOST_SETTINGS)
    return parse_arithmetic(text, str(path))


def parse_arithmetic(text: str, where: str) -> Arithmetic:
    """``read_arithmetic`` of a text; ``where`` stands for the file in messages."""
    with edge(lambda found: TargetError("T003.syntax", where, found)):
        given = tomllib.loads(text)
    return _arithmetic_of(given, where)


def arithmetic_in(value: Any, where: str) -> Arithmetic:
    """The arithmetic that a value of a table stands for: a name, or a table."""
    return _arithmetic(value, where, None)


def _arithmetic_of(given: dict[str, Any], where: str) -> Arithmetic:
    given = dict(given)
    base = _base(given.pop("base", None), f"{where}: base", KNOWN_ARITHMETICS.all())
    if base is not None and "name" not in given:
        raise TargetError("T003.name", f"{where}: name", "nothing")
    return _fields(Arithmetic, given, where, base)


def _base(name: Any, where: str, bases: Collection[_B]) -> _B | None:
    known = {each.name: each for each in bases}
    if name is None:
        return None
    if not isinstance(name, str) or name not in known:
        found = brief(name)
        raise TargetError("T003.base", where, found, advice=close_match(found, known))
    return known[name]


def _fields(kind: type[_T], given: Any, where: str, base: _T | None = None) -> _T:
    """An instance of a dataclass from a table, each key read by the reader of that name."""
    table: Mapping[str, Any] = _typed(dict, "a table")(given, where, None)
    fields: dict[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            known = [*fields, "base"] if kind in (Target, Arithmetic) else fields
            advice = close_match(key, known)
            raise TargetError("T003.key", f"{where}: {key}", "no such field", advice=advice)
        reader = _OF_ARITHMETIC.get(key) if kind is Arithmetic else None
        reader = reader or _READERS[key]
        values[key] = reader(value, f"{where}: {key}", getattr(base, key, None))
    if base is not None:
        return dataclasses.replace(base, **values)
    for name, field in fields.items():
        if name not in values and not _has_default(field):
            raise TargetError("T003.missing", f"{where}: {name}", "nothing", key=name)
    return kind(**values)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


# A reader takes the value, where it stands, and what the base has there.
_Reader = Callable[[Any, str, Any], Any]


def _typed(kind: type | tuple[type, ...], wanted: str) -> _Reader:
    def read(value: Any, where: str, base: Any) -> Any:
        # TOML's true is Python's True, which is an int: a bool is a number for nobody but Python.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TargetError("T003.value", where, brief(value), wanted=wanted)
        return value

    return read


def _grid(value: Any, where: str, base: Any) -> Grid:
    found = re.fullmatch(r"(u?)int(\d{1,2})", value) if isinstance(value, str) else None
    if found is None or not 2 <= int(found[2]) <= 32:
        raise TargetError("T003.grid", where, brief(value))
    return Grid.of(int(found[2]), signed=not found[1])


def _bias_bits(value: Any, where: str, base: Any) -> int | None:
    if value == "float":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 32:
        raise TargetError("T003.value", where, brief(value), wanted='2 to 32, or "float"')
    return value


def _accumulator_bits(value: Any, where: str, base: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 16 <= value <= 32:
        raise TargetError("T003.value", where, brief(value), wanted="16 to 32")
    return value


def _arithmetic(value: Any, where: str, base: Any) -> Arithmetic:
    """A name, or a table."""
    if isinstance(value, str):
        return KNOWN_ARITHMETICS.find(value)
    return _arithmetic_of(_typed(dict, "a name or a table")(value, where, base), where)


def _one_of(*known: str) -> _Reader:
    def read(value: Any, where: str, base: Any) -> Any:
        if value not in known:
            raise TargetError("T003.value", where, brief(value), wanted=" or ".join(known))
        return value

    return read


def _whole(least: int, most: int) -> _Reader:
    def read(value: Any, where: str, base: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise TargetError("T003.value", where, brief(value), wanted=f"{least} to {most}")
        return value

    return read


def _minimum_range(value: Any, where: str, base: Any) -> float:
    number = _typed((int, float), "a number")(value, where, base)
    if not 0 <= number <= _LARGEST:  # as it stands: float() of a long integer overflows
        wanted = "finite and not negative, as a float32"
        raise TargetError("T003.value", where, brief(value), wanted=wanted)
    return float(number)


def _mode(value: Any, where: str, base: Any) -> Any:
    if value not in _MODES:
        advice = close_match(brief(value), _MODES)
        raise TargetError("T003.mode", where, brief(value), advice=advice)
    return value


def _op_types(value: Any, where: str, base: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(op, str) for op in value):
        raise TargetError("T003.ops", where, brief(value))
    return frozenset(value)


def _sources(value: Any, where: str, base: Any) -> tuple[Source, ...]:
    if not isinstance(value, list) or not value:
        raise TargetError("T003.sources", where, brief(value))
    return tuple(_fields(Source, entry, f"{where}: {n}") for n, entry in enumerate(value, 1))


def _notes(value: Any, where: str, base: Any) -> dict[str, str]:
    table = _typed(dict, "a table")(value, where, base)
    new = {key: _text(note, f"{where}: {key}", None) for key, note in table.items()}
    return {**(base or {}), **new}


def _rule(value: Any, where: str, base: Rule | None) -> Rule:
    return _fields(Rule, value, where, base)


def _placement(value: Any, where: str, base: Placement | None) -> Placement:
    return _fields(Placement, value, where, base)


def _name(value: Any, where: str, base: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TargetError("T003.value", where, brief(value), wanted="a text that is not empty")
    return value


_text = _typed(str, "a text")
_flag = _typed(bool, "true or false")
_READERS: Mapping[str, _Reader] = {
    "name": _name,
    **dict.fromkeys(("title", "takes", "method", "rule", "document", "version", "qdq"), _text),
    **dict.fromkeys(
        ("symmetric", "per_channel", "power_of_two", "fused_residual_add", "tables", "together"),
        _flag,
    ),
    **dict.fromkeys(
        (
            "ops",
            "fused_activations",
            "fusing_ops",
            "shared_scale",
            "passes_through",
            "in_float",
            "gives_float",
            "whole",
        ),
        _op_types,
    ),
    **dict.fromkeys(("weights", "activations"), _rule),
    "placement": _placement,
    "grid": _grid,
    "minimum_range": _minimum_range,
    "mode": _mode,
    "bias_bits": _bias_bits,
    "wide_bits": _bias_bits,
    "accumulator_bits": _accumulator_bits,
    "sources": _sources,
    "notes": _notes,
    "arithmetic": _arithmetic,
}
_OF_ARITHMETIC: Mapping[str, _Reader] = {
    **{
        name: _one_of(*(text for text in get_args(kind) if isinstance(text, str)))
        for name, kind in get_type_hints(Arithmetic).items()
        if get_origin(kind) is Literal
    },
    "pairs": _one_of("u8s8", "s8s8"),
    "fitted": _one_of("openvino", "qnn-htp"),
    "bias_bits": _whole(8, 64),
    "multiplier_bits": _whole(8, 32),
    "pair_distance": _whole(1, 64),
    "twice": _flag,
    "layers": _op_types,
    "sums": _op_types,
    "tables": _op_types,
}
