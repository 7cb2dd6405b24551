"""How the command line ends: whatever happens becomes a line and an exit status.

====== =============================================
0      done
1      a goal or a gate was not met
2      wrong input or usage, ``CODE: where: ...``
70     a bug of lostbits
130    interrupted
====== =============================================
"""

import os
import platform
import tempfile
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import typer

from lostbits.cli.sign import clear_sign
from lostbits.cli.spoken import command_line, language
from lostbits.errors import CommandError, LostbitsError, close_match, described, first_line
from lostbits.system.memory import lacks_memory, out_of_memory
from lostbits.system.streams import lost

WRONG, BUG, INTERRUPTED = 2, 70, 130
_USAGE: type[Exception] = typer.BadParameter.__bases__[0]  # Typer brings Click, or has it inside


def status(run: Callable[[], Any]) -> int:
    """The exit status of a run, which may return one, after the line that belongs to it."""
    try:
        returned = run()
        if error := lost():
            _say(f"standard output: {first_line(error)}; not all was shown, the files are whole")
        return returned if isinstance(returned, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted; nothing was written")
        return INTERRUPTED
    except Exception as error:  # the last resort: no traceback reaches a user
        return _failed(error)


def unknown(name: str, known: Iterable[str]) -> CommandError:
    """The error of a command that is none of those known."""
    where = f"lostbits {name}"
    return CommandError("U001.command", where, "no such command", advice=close_match(name, known))


def _failed(error: Exception) -> int:
    if isinstance(error, LostbitsError):
        _say(error.told(language.get()))
    elif isinstance(error, _USAGE):
        _say(_misused(error).told(language.get()))
    elif lacks_memory(error):
        _say(str(out_of_memory(first_line(error))))
    else:
        _say(str(_bug(error)))
        return BUG
    return WRONG


def _say(line: str) -> None:
    clear_sign()
    typer.secho(line, fg="red", bold=True, err=True)


def _misused(error: Any) -> CommandError:
    """What Typer has to say, in our form."""
    where = error.ctx.command_path if error.ctx is not None else "lostbits"
    more = f"see {where} --help"
    if option := getattr(error, "option_name", ""):
        near = " or ".join(getattr(error, "possibilities", None) or ())
        return CommandError(
            "U001.option",
            f"{where} {option}",
            error.message,
            advice=f"did you mean {near}?" if near else more,
        )
    found = error.format_message().rstrip(".")
    if isinstance(error, typer.BadParameter) and error.message:
        return CommandError("U002", where, found, command=where)
    return CommandError("U003", where, found, command=where)


def _bug(error: Exception) -> CommandError:
    line = command_line()
    try:
        return CommandError("U004.saved", line, described(error), file=_saved(error, line))
    except OSError as failed:
        return CommandError("U004.lost", line, described(error), reason=described(failed))


def _saved(error: Exception, line: str) -> str:
    """The path of a file that only the user can read, with all that a report should say."""
    about = f"{line}\npython {platform.python_version()}, {platform.platform()}\n"
    descriptor, path = tempfile.mkstemp(prefix="lostbits-bug-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(about)
        traceback.print_exception(error, file=file)
    return path
