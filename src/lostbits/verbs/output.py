"""Files in their place: each is replaced as a whole, or stays as it was.

By themselves, since a command that only lists something needs no results, nor what makes them.
"""

import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from lostbits.errors import LostbitsError, OutputError
from lostbits.system import files
from lostbits.system.files import Content
from lostbits.workers.work_folder import NAME as WORK
from lostbits.workers.work_folder import Work, nobody

_replaced: ContextVar[list[Path] | None] = ContextVar("replaced", default=None)


def check_writable(folder: Path) -> None:
    """Fail before the work rather than after it; folders that are not there yet are not left.

    Raises:
        OutputError: O001 when nothing can be written into ``folder``.
    """
    missing: list[Path] = []
    try:
        missing = _missing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        _leave(missing)


def check_replaceable(path: Path) -> None:
    """Fail before the work where a file cannot be put in this place.

    Raises:
        OutputError: O001.
    """
    check_writable(path.parent)
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise IsADirectoryError(None, "it is a folder")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # a name too long, or with a zero in it
        raise _unwritable(path, error) from error


def _missing(folder: Path) -> list[Path]:
    """The folder and those that it lies in, as far as they are not there yet."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _leave(made: Sequence[Path]) -> None:
    """Remove folders that were made for nothing; one that holds something stays."""
    with suppress(OSError):
        for path in made:
            path.rmdir()


def _unwritable(path: Path, error: OSError | ValueError) -> OutputError:
    before = ", ".join(map(str, _replaced.get() or ())) or "nothing"
    found = getattr(error, "strerror", None) or str(error)
    return OutputError("O001", str(path), found, replaced=before)


@contextmanager
def recorded() -> Iterator[list[Path]]:
    """The files that are written inside, each from the moment that it is in its place."""
    written: list[Path] = []
    token = _replaced.set(written)
    try:
        yield written
    finally:
        _replaced.reset(token)


@contextmanager
def resumable(folder: Path, remark: Callable[[str], None] = nobody) -> Iterator[Work]:
    """A place in the folder of a result for what is finished: only an interrupt leaves it there.

    Args:
        folder: Where the result goes.
        remark: Told what of an earlier run is damaged.
    """
    work, missing = Work(folder / WORK, remark), _missing(folder)
    try:
        yield work
    except LostbitsError:
        work.clear()
        _leave(missing)
        raise
    work.clear()


def replace_file(path: Path, content: Content) -> None:
    """Write a file as a whole or not at all; see ``system.files``.

    Raises:
        OutputError: O001.
    """
    try:
        files.replace_file(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error
    if (written := _replaced.get()) is not None and path not in written:
        written.append(path)
