"""``--again DIR``: the options of the command whose result lies there, typed only once."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lostbits import quoting
from lostbits.command_lines import CommandLine, repeated
from lostbits.errors import CommandError, described
from lostbits.system import files

_OPTION = "--again"
_VERBS = ("diagnose", "recover")
_MOST = 1 << 28  # bytes of a result


def with_earlier(verb: str, arguments: Sequence[str]) -> list[str]:
    """The arguments with those of an earlier command before them, so that later ones win.

    Raises:
        CommandError: U007 where there is no result, or none that a command can repeat.
    """
    given = list(arguments)
    folder = _taken(given)
    if folder is None or verb not in _VERBS:
        return list(arguments)
    earlier = _earlier(verb, folder)
    wished = {_tensor(w) for n, w in pairwise(given) if n == "--set"}
    kept = [
        word
        for option in earlier.options
        if not (option[0] == "--set" and _tensor(option[1]) in wished)
        for word in option
    ]
    return [*earlier.arguments, *kept, *given]


def _taken(arguments: list[str]) -> str | None:
    """The folder that the option names; option and folder are taken out."""
    for place, word in enumerate(arguments):
        if word == _OPTION and place + 1 < len(arguments):
            folder = arguments[place + 1]
            del arguments[place : place + 2]
            return folder
        if word.startswith(f"{_OPTION}="):
            del arguments[place]
            return word.partition("=")[2]
    return None


def _earlier(verb: str, folder: str) -> CommandLine:
    path = Path(folder) / "result.json"
    try:
        content = json.loads(files.read_file(path, most=_MOST))
        command, target = content["command"], content["target"]["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError("U007.result", f"{_OPTION} {folder}", described(error)) from error
    line = repeated(verb, str(command), str(target))
    if line is None or not line.value("--data") or not line.arguments:
        found = quoting.beginning(str(command), 200)
        raise CommandError("U007.command", f"{_OPTION} {folder}", found)
    return line


def _tensor(wish: str) -> str:
    return wish.rpartition("=")[0]
