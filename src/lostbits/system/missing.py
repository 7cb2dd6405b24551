"""The refusal of a path that is not there."""

from pathlib import Path

from lostbits.errors import DataError, suggestion


def missing(path: Path) -> DataError:
    """D001: the first part of a path that is missing, and which names beside it are spelt alike."""
    part = path
    while not part.parent.exists():
        part = part.parent
    try:
        beside = [p.name for p in part.parent.iterdir()]
    except OSError:  # no folder, or one whose names are secret
        beside = []
    advice = suggestion(part.name, beside) or "check the path"
    found = f"there is no {part.name!r} in {str(part.parent)!r}"
    return DataError("D001", str(path), found, advice=advice)
