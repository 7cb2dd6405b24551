"""``lostbits explain``."""

import re
import textwrap
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.cells import cell_len

from lostbits.cli.commands.language_option import Lang
from lostbits.cli.terminal import say
from lostbits.errors import CommandError, messages, suggestion
from lostbits.language import Language, catalogue
from lostbits.system.text_lines import WIDTH, wrapped

_INDENT = 12
_SHORT = re.compile(r"([A-Z])(\d{1,3})")  # a code without its zeros, as D7
_PART = re.compile(r"_(rule|found|todo)$")  # of a doubt, which catalogues have in three


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            help="As D007, or as result.json has it: note.residual.", show_default=False
        ),
    ] = None,
    lang: Lang = Language.ENGLISH,
) -> None:
    """Say what a message means, by its code; without one, list them all.

    Example: **lostbits explain D007**
    """
    for line in _index() if code is None else explained(code, lang):
        say(line)


def _index() -> Iterator[str]:
    """A line a code, under the title of its letter."""
    for kind in map(messages.kind, messages.LETTERS):
        yield kind.title
        for code, entry in kind.entries.items():
            first, width = _first_sentence(entry), WIDTH - len(code) - 2
            yield f"{code}  {textwrap.shorten(first, width, placeholder=' ...')}"
        yield ""


def _first_sentence(entry: messages.Entry) -> str:
    return re.split(r"(?<=\.)\s", _plain(entry.explanation), maxsplit=1)[0]


def _plain(markdown: str) -> str:
    """Text without line ends, and without links, whose addresses are those of the pages."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(markdown.split()))


def explained(asked: str, language: Language) -> list[str]:
    """What is known of a code of a message, or of a sentence of results.

    Raises:
        CommandError: U005, when there is no such code.
    """
    known, code = messages.all_entries(), _code(asked)
    if code in known:
        return _entry(known[code], language)
    sentences = catalogue(language)
    if asked in sentences:
        return [
            f"{asked}  {sentences['explain.sentence']}",
            "",
            *wrapped(messages.named(sentences[asked])),
        ]
    advice = suggestion(code, known) or suggestion(asked, sentences)
    advice = advice or "lostbits explain lists them all"
    raise CommandError("U005", f"lostbits explain {asked}", "no such code", advice=advice)


def _code(asked: str) -> str:
    """The code that is meant: in capitals, with its zeros, or of a finding's reason or a doubt."""
    section, _, name = asked.lower().rpartition(".")
    for code, entry in messages.all_entries().items():
        words = {form.words for form in entry.forms.values() if form.words}
        of_reason = name and entry.reason == name and section in {"", "reason"}
        if of_reason or _PART.sub("", asked) in words:
            return code
    short = _SHORT.fullmatch(asked.upper())
    return f"{short[1]}{short[2]:0>3}" if short else asked.upper()


def _entry(entry: messages.Entry, language: Language) -> list[str]:
    """Code and kind; every rule with what to do; and the explanation."""
    words, kind = catalogue(language), messages.kind(entry.code[0])
    lines = [f"{entry.code}  {kind.title}"]
    for form in entry.forms.values():
        rule, todo = form.named(language)
        lines += ["", *_told(words["explain.rule"], rule), *_told(words["explain.todo"], todo)]
    return [*lines, "", *wrapped(_plain(entry.explanation))]


def _told(label: str, text: str) -> list[str]:
    return wrapped(" ".join(text.split()), label + " " * (_INDENT - cell_len(label)))
