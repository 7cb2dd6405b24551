"""What the user says of outputs: on the command line, in a file, or in Python."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, final

import onnx_ir as ir

from lostbits.errors import TargetError, close_match
from lostbits.graph.output_kinds import Kind
from lostbits.graph.output_parts import WHOLE, Box, Span
from lostbits.graph.outputs import Compared, parts_of
from lostbits.graph.padding_masks import Mask
from lostbits.graph.queries import name_of, rank

Given = str | Path | Mapping[str, str] | Iterable[str] | None
_KEYS = {"kind", "mask"}
_CORNERS, _ROWS = 4, 6  # values of a box; those of one that was found: box, score, class
_RANKS: dict[Kind, tuple[int, int]] = {  # least and most axes
    Kind.CLASSES: (2, 5),
    Kind.SEQUENCE: (3, 5),
    Kind.EMBEDDING: (2, 5),
    Kind.IMAGE: (3, 5),
    Kind.DETECTIONS: (2, 6),
    Kind.OTHER: (0, 99),
}


@final
@dataclass(frozen=True)
class Told:
    """What the user says of outputs.

    Attributes:
        kinds: By output.
        masks: Inputs by output; with ``!`` before it, zeros are what counts.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)


def told_outputs(outputs: Given = None, masks: Given = None) -> Told:
    """What was said of outputs.

    Args:
        outputs: Kinds by output: a mapping, ``NAME=KIND`` once or several times, or the path of a
            TOML file, which may hold masks as well.
        masks: Inputs by output: a mapping, or ``NAME=INPUT`` once or several times.

    Raises:
        TargetError: T044 for text of another form, T045 for a file that is none.
    """
    found = _told(outputs)
    more = _told(masks)
    return Told(found.kinds, {**found.masks, **more.kinds, **more.masks})


def _told(given: Given) -> Told:
    if given is None:
        return Told()
    if isinstance(given, Mapping):
        return Told({str(name): str(word) for name, word in given.items()})
    kinds: dict[str, str] = {}
    masks: dict[str, str] = {}
    for each in [given] if isinstance(given, str | Path) else given:
        if isinstance(each, Path) or str(each).endswith(".toml"):
            file = _read(Path(each))
            kinds |= file.kinds
            masks |= file.masks
        else:
            name, word = _pair(str(each))
            kinds[name] = word
    return Told(kinds, masks)


def _pair(text: str) -> tuple[str, str]:
    name, equals, word = text.rpartition("=")
    if not (name and equals and word):
        raise TargetError("T044", text or "nothing", "no NAME=KIND")
    return name, word


def _read(path: Path) -> Told:
    """A file such as ``[output0]``, ``kind = "detections"``; or ``output0 = "detections"``."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError("T045", str(path), str(error)) from error
    rows = {name: _row(path, name, each) for name, each in tables.items()}
    return Told(
        {name: row["kind"] for name, row in rows.items() if "kind" in row},
        {name: row["mask"] for name, row in rows.items() if "mask" in row},
    )


def _row(path: Path, name: str, given: Any) -> dict[str, str]:
    row = {"kind": given} if isinstance(given, str) else given
    fits = isinstance(row, dict) and row.keys() <= _KEYS
    if not fits or not all(isinstance(word, str) for word in row.values()):
        raise TargetError("T045", f"{path}: {name}", f"{given!r}")
    return dict(row)


def as_told(found: Compared, value: ir.Value, told: Told, inputs: Sequence[ir.Value]) -> Compared:
    """An output with what was said of it.

    Raises:
        TargetError: T041 for a kind that does not exist, T042 for one that does not fit the shape,
            T043 for a mask that is no input.
    """
    return _masked(_told_kind(found, value, told), told, inputs)


def _told_kind(found: Compared, value: ir.Value, told: Told) -> Compared:
    word = told.kinds.get(found.name)
    if word is None:
        return found
    kind = _kind_named(word, found.name)
    _check_fits(kind, value)
    axis = 1 if kind is Kind.CLASSES and (rank(value) or 0) > 2 else found.axis
    parts = found.parts
    # What was taken for boxes and scores without parts is one of the two.
    if kind is Kind.DETECTIONS and len(parts) == 1 and found.kind is not kind:
        parts = parts_of(value, _rows(value))
    return replace(found, kind=kind, parts=parts, axis=axis)


def _kind_named(word: str, output: str) -> Kind:
    """The kind of that name.

    Raises:
        TargetError: T041 for another name.
    """
    if word not in {*Kind}:
        advice = close_match(word, [*Kind])
        raise TargetError("T041", f"output {output!r}", f"kind {word!r}", advice=advice)
    return Kind(word)


def _check_fits(kind: Kind, value: ir.Value) -> None:
    """Whether the shape may mean that, as far as it is known."""
    axes, shape = rank(value), tuple(value.shape or ())
    if axes is None:
        return
    least, most = _RANKS[kind]
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    narrow = len(sizes) == axes - 1 and (
        (kind is Kind.CLASSES and (sizes[:1] == [1] or any(size != 1 for size in sizes[1:])))
        or (kind is Kind.SEQUENCE and max(sizes, default=0) < 2)
        or (kind is Kind.DETECTIONS and max(sizes, default=0) < _CORNERS)
    )
    if narrow or not least <= axes <= most:
        found = f"shape {[str(s) if not isinstance(s, int) else s for s in shape]}"
        raise TargetError("T042", f"output {name_of(value)!r}", found, kind=kind)


def _masked(found: Compared, told: Told, inputs: Sequence[ir.Value]) -> Compared:
    word = told.masks.get(found.name)
    if word is None:
        return found
    name, known = word.removeprefix("!"), {name_of(v): v for v in inputs}
    if name not in known:
        advice = close_match(name, known)
        raise TargetError("T043", f"mask of output {found.name!r}", f"{name!r}", advice=advice)
    return replace(found, mask=Mask(name, _form(known[name], word)), told=True)


def _form(value: ir.Value, word: str) -> Literal["ones", "zeros", "lengths"]:
    if word.startswith("!"):
        return "zeros"
    shape = tuple(value.shape or ())
    whole = value.dtype in {ir.DataType.INT32, ir.DataType.INT64}
    return "lengths" if whole and (len(shape) < 2 or shape[1:] == (1,)) else "ones"


def _rows(value: ir.Value) -> list[Box]:
    """Boxes, and scores behind them, along the shorter of the last two axes."""
    shape = tuple(value.shape or ())
    sizes = {
        a: s for a, s in enumerate(shape) if a >= max(len(shape) - 2, 1) and isinstance(s, int)
    }
    axis = min(sizes, key=lambda a: sizes[a], default=None)
    if axis is None or sizes[axis] <= _CORNERS:
        return [WHOLE]
    spans: list[Span] = [(0, _CORNERS), (_CORNERS, None)]
    if sizes[axis] == _ROWS:
        spans[1:] = [(_CORNERS, _CORNERS + 1), (_CORNERS + 1, None)]
    return [{axis: span} for span in spans]
