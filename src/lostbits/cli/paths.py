"""Paths of a command, looked at before what takes seconds to import is imported for nothing."""

from collections.abc import Sequence
from pathlib import Path

from lostbits.command_lines import named
from lostbits.errors import CommandError
from lostbits.graph.model_path import check_path
from lostbits.system.missing import missing

_OF_MODELS = frozenset({"diagnose", "recover", "verify", "export"})
_OF_SAMPLES = frozenset({"--data", "--calibration", "--evaluation", "--labels", "--preprocess"})


def check_paths(verb: str, arguments: Sequence[str]) -> None:
    """Refuse a model that is not there or none, and samples and labels that are not there.

    Raises:
        ModelError: M001, M018.
        DataError: D001.
        CommandError: U002, for a value of no letters, which Python would take for this folder.
    """
    _check_told(f"lostbits {verb}", arguments)
    pairs = list(named(arguments))
    models = [Path(value) for name, value in pairs if not name]
    if verb in _OF_MODELS and models and not models[0].is_dir():
        check_path(models[0])
    for name, value in pairs:
        if name in _OF_SAMPLES and ":" not in value:
            _check_there(Path(value))


def _check_told(command: str, arguments: Sequence[str]) -> None:
    """An empty argument is a variable of a script that was never set."""
    for before, argument in zip([command, *arguments], arguments, strict=False):
        option, is_joined, value = argument.partition("=")
        if not argument or (is_joined and not value and option.startswith("--")):
            where = option or before
            raise CommandError("U002", where, "an empty value", command=command)


def _check_there(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise missing(path) from None
    except (OSError, ValueError):
        return  # what reads it says why
