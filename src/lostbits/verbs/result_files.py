"""Results on disk: written by the reporters, and read again."""

import json
from collections.abc import Sequence
from pathlib import Path

from lostbits.errors import OutputError, edge
from lostbits.language import Language
from lostbits.reporter import Reporter
from lostbits.reporters import MEMBERS as REPORTERS
from lostbits.reporters.schema import OLD_FORMAT, diagnosis_of
from lostbits.results.diagnosis import FORMAT, Diagnosis, Recovery
from lostbits.system import files
from lostbits.verbs.arguments import checked
from lostbits.verbs.output import replace_file

TRIED = "tried"  # what folders of suggestions are called, before their number
_MOST = 1 << 28  # bytes of a result: some MB a thousand tensors


def reporter(given: str | Reporter) -> Reporter:
    """The reporter of that name; one that is given itself stays as it is.

    Raises:
        TargetError: T009, if there is none of that name.
        MemberError: See ``Members``.
    """
    return REPORTERS.find(given)


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
    with edge(lambda found: OutputError("O002.fields", str(path), found)):
        return diagnosis_of(content)


def tried_of(folder: Path) -> Diagnosis | None:
    """The result whose suggestion went to ``folder``, which lies in its own; None without one."""
    if not folder.name.startswith(TRIED) or not (folder.parent / "result.json").is_file():
        return None
    try:
        return read(folder.parent)
    except OutputError:
        return None


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
