"""Help that is read at once: options in panels, values by name, and the language that is spoken."""

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from rich.markup import escape

from lostbits.cli import spoken
from lostbits.language import Language, phrase

PANELS: dict[str, tuple[str, ...]] = {
    "Data": (
        *("--data", "--calibration", "--labels", "--samples", "--batch", "--preprocess"),
        *("--outputs", "--mask-output", "--again", "--against", "--model", "--dumps", "--names"),
    ),
    "Target": ("--target", "--plan", "--set", "--arithmetic", "--backend", "--tensorrt", "--to"),
    "Method": (
        *("--metric", "--method", "--methods", "--of", "--permutations", "--seed", "--inputs"),
        *("--budget", "--goal", "--gate", "--tolerance"),
    ),
    "Machine": ("--workers", "--threads", "--memory", "--ray"),
    "Output": (
        *("--out", "--force", "--format", "--export", "--json", "--junit", "--baseline-out"),
        *("--html", "--overlay", "--lang", "--quiet", "--help"),
    ),
}
_METAVARS = {
    "--data": "DATA",
    "--calibration": "DATA",
    "--labels": "FILE",
    "--samples": "N",
    "--batch": "N",
    "--preprocess": "FILE",
    "--outputs": "NAME=KIND",
    "--mask-output": "NAME=INPUT",
    "--again": "DIR",
    "--against": "DIR|FILE",
    "--model": "FILE",
    "--target": "NAME|FILE",
    "--plan": "FILE",
    "--set": "TENSOR=SETTING",
    "--arithmetic": "NAME|FILE",
    "--dumps": "DIR",
    "--names": "FILE",
    "--backend": "NAME",
    "--to": "FORMAT,...",
    "--metric": "NAME",
    "--method": "NAME",
    "--methods": "NAME,...",
    "--of": "OUTPUT",
    "--permutations": "N",
    "--seed": "N",
    "--budget": "TIME",
    "--goal": "FIGURE>=N",
    "--gate": "FIGURE>=N",
    "--tolerance": "DB",
    "--workers": "N",
    "--threads": "N",
    "--out": "DIR",
    "--format": "NAME,...",
    "--export": "FORMAT,...",
    "--junit": "FILE",
    "--baseline-out": "FILE",
    "--html": "FILE",
    "--overlay": "FILE",
    "--lang": "LANGUAGE",
}
_ARGUMENTS = {"model": "MODEL", "file": "FILE", "folder": "DIR", "code": "[CODE]", "old": "OLD"}
_PANEL_OF = {option: panel for panel, options in PANELS.items() for option in options}
_BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)


def helped(command: Any) -> Any:
    """The command, whose help has panels and names of values, in the language that is spoken."""
    language = spoken.language.get()
    command.help = marked(phrase(command.help or "", language))
    for option in command.params:
        _describe(option, language)
    return command


def listed_in(group: Any) -> None:
    """Put the list of commands into the language that is spoken."""
    language = spoken.language.get()
    for each in (group, *group.commands.values()):
        each.help = phrase(each.help or "", language)


def marked(text: str) -> str:
    r"""Text whose ``**bold**`` is bold, and in which no other bracket is markup.

    >>> marked("a[0] **b**")
    'a\\[0] [bold]b[/bold]'
    """
    text = re.sub(r"\[(?=[a-z0-9#/@!:-])", r"\\[", text) if "[" in text else escape(text)
    return _BOLD.sub(r"[bold]\1[/bold]", text)


def _describe(option: Any, language: Language) -> None:
    name = option.opts[0]
    if getattr(option, "help", None):
        option.help = marked(phrase(option.help, language))
    if not name.startswith("-"):
        option.metavar = option.metavar or _ARGUMENTS.get(name, name.upper())
        return
    option.metavar = option.metavar or _METAVARS.get(name)
    option.rich_help_panel = phrase(_PANEL_OF.get(name, "Options"), language)
    if complete := _COMPLETED.get(name):
        option._custom_shell_complete = complete  # Typer takes it in the signature alone


def _names(given: Callable[[], Iterator[str]]) -> Callable[[Any, Any, str], list[str]]:
    """Completion of a list whose last part begins as a name does."""

    def complete(ctx: Any, param: Any, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in given() if name.startswith(last)]

    return complete


def _members(module: str, *more: str) -> Callable[[], Iterator[str]]:
    """Names of the members of a package, which is imported when they are asked for."""

    def names() -> Iterator[str]:
        yield from (*more, *importlib.import_module(f"lostbits.{module}").MEMBERS.names)

    return names


_COMPLETED = {
    "--target": _names(_members("targets")),
    "--methods": _names(_members("recoveries")),
    "--to": _names(_members("exporters", "qdq")),
    "--export": _names(_members("exporters", "qdq")),
    "--backend": _names(_members("backends")),
    "--method": _names(lambda: iter(("auto", "aumann-shapley", "permutation"))),
    "--format": _names(lambda: iter(("console", "json", "html"))),
    "--lang": _names(lambda: iter(("en", "zh-Hant"))),
}
