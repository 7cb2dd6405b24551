"""What the user says of outputs: on the command line, in a file, or in Python."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lostbits.errors import TargetError
from lostbits.graph.compared_outputs import Told

Given = str | Path | Mapping[str, str] | Iterable[str] | None
_KEYS = {"kind", "mask"}


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
