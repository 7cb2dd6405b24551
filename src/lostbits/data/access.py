"""Paths that must exist and files that must be readable."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from lostbits.errors import DataError, close_match

_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,  # Pillow, of a damaged PNG file
    NotImplementedError,  # zipfile, of a compression it does not know
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


def existing(path: Path) -> Path:
    """The path, if there is something.

    Raises:
        DataError: D001 otherwise, with what lies beside the first part that is missing.
    """
    if path.exists():
        return path
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    beside = [p.name for p in missing.parent.iterdir()] if missing.parent.is_dir() else []
    advice = close_match(missing.name, beside)
    todo = advice if advice.startswith("did") else "check the path"
    found = f"there is no {missing.name!r} in {str(missing.parent)!r}"
    raise DataError("D001", str(path), "must exist", found, todo)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns what goes wrong while a file is read into D002."""
    try:
        yield
    except _UNREADABLE as error:
        found = f"{type(error).__name__}: {error}"
        todo = "write the file again, in the format that its name ends on"
        raise DataError("D002", where, "must be a readable file", found, todo) from error
