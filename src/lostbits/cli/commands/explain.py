"""``lostbits explain``."""

import re
import textwrap
from collections.abc import Iterator
from typing import Annotated

import typer

from lostbits.cli.terminal import say
from lostbits.errors import CommandError, messages, suggestion

_WIDTH = 80
_LABELS = ("rule", "what to do")
_INDENT = 12


def explain(
    code: Annotated[
        str | None, typer.Argument(help="Letter and digits, as D007.", show_default=False)
    ] = None,
) -> None:
    """Say what a message means, by its code; without one, list them all.

    Example: **lostbits explain D007**
    """
    for line in _index() if code is None else _explained(code.upper()):
        say(line)


def _index() -> Iterator[str]:
    """A line a code, under the title of its letter."""
    for kind in map(messages.kind, messages.LETTERS):
        yield kind.title
        for code, entry in kind.entries.items():
            first, width = _first_sentence(entry), _WIDTH - len(code) - 2
            yield f"{code}  {textwrap.shorten(first, width, placeholder=' ...')}"
        yield ""


def _first_sentence(entry: messages.Entry) -> str:
    return re.split(r"(?<=\.)\s", _plain(entry.explanation), maxsplit=1)[0]


def _plain(markdown: str) -> str:
    """Text without links, whose addresses are those of the pages."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown)


def _explained(code: str) -> list[str]:
    """Code and kind; every rule with what to do; and the explanation.

    Raises:
        CommandError: U005, when there is no such code.
    """
    known = messages.all_entries()
    if code not in known:
        advice = suggestion(code, known) or "lostbits explain lists them all"
        raise CommandError("U005", f"lostbits explain {code}", "no such code", advice=advice)
    entry, kind = known[code], messages.kind(code[0])
    rules = [line for form in entry.forms.values() for line in ["", *_rule(form)]]
    return [f"{code}  {kind.title}", *rules, "", *_filled(_plain(entry.explanation))]


def _rule(form: messages.Form) -> list[str]:
    pairs = zip(_LABELS, form.named(), strict=True)
    return [line for label, text in pairs for line in _filled(text, f"{label:{_INDENT}}")]


def _filled(text: str, label: str = "") -> list[str]:
    """Lines of at most 80 columns, the first behind the label and the others below it."""
    words = " ".join(text.split())
    indent = " " * len(label)
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
