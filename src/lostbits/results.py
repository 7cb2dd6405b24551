"""Results on disk: each file is replaced as a whole, or stays as it was."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lostbits.errors import LostbitsError, OutputError, TargetError, close_match
from lostbits.language import Language
from lostbits.reporter import FORMAT, Reporter, Result, required_fields
from lostbits.reporters import ALL as REPORTERS
from lostbits.system import files
from lostbits.system.files import Content

CACHE = "cache"


def reporter(name: str) -> Reporter:
    """The reporter of that name.

    Raises:
        TargetError: T009.
    """
    for known in REPORTERS:
        if known.name == name:
            return known
    raise TargetError(
        "T009",
        f"--format {name}",
        "must name a report",
        "no such format",
        close_match(name, [r.name for r in REPORTERS]),
    )


def check_writable(folder: Path) -> None:
    """Fail before the work rather than after it; folders that are not there yet are not left.

    Raises:
        OutputError: O001 when nothing can be written into ``folder``.
    """
    missing = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        _leave(missing)


def _missing(folder: Path) -> list[Path]:
    """The folder and those that it lies in, as far as they are not there yet."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _leave(made: Sequence[Path]) -> None:
    """Remove folders that were made for nothing; one that holds something stays."""
    with suppress(OSError):
        for path in made:
            path.rmdir()


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        "O001",
        str(path),
        "must be writable",
        error.strerror or str(error),
        "free some space or choose another --out; what was there before is unchanged",
    )


def write(
    result: Result,
    folder: Path,
    formats: Sequence[str] = ("json",),
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
    written = []
    for each in [reporter(name).speaking(language) for name in formats]:
        if each.file is not None:
            written.append(folder / each.file)
            replace_file(folder / each.file, each.render(result).encode())
    return written


@contextmanager
def resumable(folder: Path) -> Iterator[Path]:
    """A folder in that of a result, for what is finished: only an interrupt leaves it there."""
    cache, missing = folder / CACHE, _missing(folder)
    try:
        yield cache
    except LostbitsError:
        shutil.rmtree(cache, ignore_errors=True)
        _leave(missing)
        raise
    shutil.rmtree(cache, ignore_errors=True)


def replace_file(path: Path, content: Content) -> None:
    """Write a file as a whole or not at all; see ``system.files``.

    Raises:
        OutputError: O001.
    """
    try:
        files.replace_file(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def read(folder: Path) -> Result:
    """The result in ``folder``.

    Raises:
        OutputError: O002 when there is none, or none of this format.
    """
    path = folder / "result.json"
    try:
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        found = str(result.get("format"))
    except (OSError, ValueError, AttributeError) as error:
        raise OutputError(
            "O002", str(path), "must hold a result", str(error), "run lostbits diagnose first"
        ) from error
    if found != FORMAT:
        raise OutputError("O002", str(path), f"must be of format {FORMAT}", found, "diagnose again")
    lacks = ", ".join(name for name in required_fields() if name not in result)
    if lacks:
        rule, todo = "must hold all fields of its format", "diagnose again with this version"
        raise OutputError("O002", str(path), rule, f"no {lacks}", todo)
    return result
