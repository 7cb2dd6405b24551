"""Paths that must exist, files that must be readable, and memory that must be there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lostbits.errors import DataError, described, edge
from lostbits.quoting import beginning
from lostbits.system.memory import excess
from lostbits.system.missing import missing

MOST_TEXT = 1 << 26  # bytes of a list or of labels: a million lines are some 50 MB
_SAID = 300  # characters of what a library says


def existing(path: Path) -> Path:
    """The path, if there is something.

    Raises:
        DataError: D001 if not, with what lies beside the first part that is missing; D002 if it
            cannot be looked at: a folder without permission, a name too long, a link to itself.
    """
    try:
        with reading(str(path)):
            path.stat()
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise missing(path) from None
        raise
    return path


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns what goes wrong while a file is read into D002."""
    with edge(partial(_unreadable, where)):
        yield


def _unreadable(where: str, found: str) -> DataError:
    said = beginning(found, _SAID)  # numpy quotes the whole header
    return DataError("D002", where, said)


def check_room(where: str, what: str, needed: int) -> None:
    """Refuse what takes more memory, bytes, than this process may have.

    Raises:
        DataError: D021, before any of it is taken.
    """
    found = excess(needed)
    if found is not None:
        raise DataError("D021", where, found, what=what)


@contextmanager
def foreign(coded: Callable[[str], DataError]) -> Iterator[None]:
    """The edge of code that the user brings: what it raises, an exit included, becomes ours."""
    try:
        with edge(coded):
            yield
    except SystemExit as error:
        raise coded(described(error)) from error
