"""Results on disk: each file is replaced as a whole, or stays as it was."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from lostbits.arguments import checked
from lostbits.diagnosis import FORMAT, Diagnosis, Recovery
from lostbits.errors import LostbitsError, OutputError, edge
from lostbits.language import Language
from lostbits.reporter import Reporter
from lostbits.reporters import MEMBERS as REPORTERS
from lostbits.runtime.work import NAME as WORK
from lostbits.runtime.work import Work, nobody
from lostbits.schema import OLD_FORMAT, diagnosis_of
from lostbits.system import files
from lostbits.system.files import Content

_MOST = 1 << 28  # bytes of a result: some MB a thousand tensors
_replaced: ContextVar[list[Path] | None] = ContextVar("replaced", default=None)


def reporter(given: str | Reporter) -> Reporter:
    """The reporter of that name; one that is given itself stays as it is.

    Raises:
        TargetError: T009, if there is none of that name.
        MemberError: See ``Members``.
    """
    return REPORTERS.find(given)


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
    if os.path.isdir(path):
        raise _unwritable(path, IsADirectoryError(None, "it is a folder"))


def _missing(folder: Path) -> list[Path]:
    """The folder and those that it lies in, as far as they are not there yet."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _leave(made: Sequence[Path]) -> None:
    """Remove folders that were made for nothing; one that holds something stays."""
    with suppress(OSError):
        for path in made:
            path.rmdir()


def _unwritable(path: Path, error: OSError) -> OutputError:
    before = ", ".join(map(str, _replaced.get() or ())) or "nothing"
    return OutputError("O001", str(path), error.strerror or str(error), replaced=before)


@contextmanager
def recorded() -> Iterator[list[Path]]:
    """The files that are written inside, each from the moment that it is in its place."""
    written: list[Path] = []
    token = _replaced.set(written)
    try:
        yield written
    finally:
        _replaced.reset(token)


@checked
def write(
    result: Diagnosis | Recovery,
    folder: str | Path,
    formats: str | Sequence[str] = ("json",),
    language: Language = Language.ENGLISH,
) -> list[Path]:
    """Write result files, each replaced as a whole or not at all.

    Args:
        result: What a verb returned, or ``read`` has read.
        folder: Where to.
        formats: Names of reporters.
        language: The one that a page opens with; it has a switch for the others.

    Raises:
        OutputError: O001 when the folder cannot be written to.
    """
    written, found = [], result.report if isinstance(result, Recovery) else result
    names = [formats] if isinstance(formats, str) else formats
    for each in [reporter(name).speaking(language) for name in names]:
        if each.file is not None:
            path = Path(folder) / each.file
            replace_file(path, content(each, found))
            written.append(path)
    return written


def content(reporter: Reporter, result: Diagnosis) -> bytes:
    """What a reporter's file holds, in UTF-8.

    Names of files may be no Unicode. The escape that stands for such a letter is JSON's own.
    """
    return reporter.render(result).encode(errors="backslashreplace")


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


@checked
def read(folder: str | Path) -> Diagnosis:
    """The result in ``folder``; that of version 0.1, too.

    Raises:
        OutputError: O002 when there is none, or none of this format.
    """
    path = Path(folder) / "result.json"

    def unread(found: str) -> OutputError:
        return OutputError("O002.result", str(path), found)

    with edge(unread):
        content = json.loads(files.read_file(path, most=_MOST))
    form = content.get("format") if isinstance(content, dict) else "no object"
    if form not in (FORMAT, OLD_FORMAT):
        raise OutputError("O002.format", str(path), str(form), format=FORMAT)
    with edge(partial(OutputError, "O002.fields", str(path))):
        return diagnosis_of(content)


def shown_again(folder: Path, language: Language = Language.ENGLISH) -> list[Path]:
    """Write report.html anew from the result in ``folder``.

    Raises:
        OutputError: O002 when there is none, or its parts do not fit each other; O001 when the page
            cannot be written.
    """
    result = read(folder)

    def unfit(found: str) -> OutputError:
        where = str(folder / "result.json")
        return OutputError("O002.page", where, found)

    page = reporter("html").speaking(language)
    assert page.file is not None
    with edge(unfit):
        text = content(page, result)
    replace_file(folder / page.file, text)
    return [folder / page.file]
