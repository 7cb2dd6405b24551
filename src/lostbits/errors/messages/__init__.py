"""What every code means, as data: the rule, what to do, and an explanation; a file a letter.

A file is TOML, because most of it is prose, and ``lostbits explain``, docs/messages.md and the
exceptions all take their words from it. The texts are read when this module is imported, so
that an exception can be made where no file can be opened any more; a letter is parsed, in some
milliseconds, when its first message is made.

A code with several rules has a form for each, ``D012.layout``; the place that raises it gives
the code with the form, and the figures that fill the gaps of ``rule`` and ``todo``.
"""

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from lostbits.language import Figure, Language, catalogue, phrase, say

LETTERS: Mapping[str, str] = {
    "M": "model",
    "D": "data",
    "T": "target",
    "S": "simulation",
    "R": "recovery",
    "O": "output",
    "E": "export",
    "I": "read",
    "B": "backend",
    "V": "dump",
    "W": "worker",
    "P": "member",
    "U": "command",
    "F": "finding",
}
"""The file of each letter, in the order in which they are listed."""

_TEXTS = {
    letter: Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8")
    for letter, name in LETTERS.items()
}


@final
@dataclass(frozen=True)
class Form:
    """One rule of a code, and what to do where it is broken; ``{name}`` is a gap for a figure.

    Attributes:
        rule: What must hold.
        todo: What to do.
        words: Where the catalogues of all languages have the two instead, as ``doubt.scale`` for
            ``doubt.scale_rule`` and ``doubt.scale_todo``; empty for what is said in English alone.
    """

    rule: str
    todo: str
    words: str

    def filled(
        self, figures: Mapping[str, Any], language: Language = Language.ENGLISH
    ) -> tuple[Figure, Figure]:
        """Rule and what to do, with figures in their gaps; English where a language has neither."""
        if self.words:
            return say(f"{self.words}_rule", **figures), say(f"{self.words}_todo", **figures)
        rule, todo = (phrase(text, language) for text in (self.rule, self.todo))
        return rule.format_map(figures), todo.format_map(figures)

    def named(self, language: Language = Language.ENGLISH) -> tuple[str, str]:
        """Rule and what to do, with the name of a figure in its gap.

        >>> form("D019").named()[0]
        '<count> samples need <count> labels'
        """
        if self.words:
            words = catalogue(language)
            return named(words[f"{self.words}_rule"]), named(words[f"{self.words}_todo"])
        return named(phrase(self.rule, language)), named(phrase(self.todo, language))


@final
@dataclass(frozen=True)
class Entry:
    """What is known of a code.

    Attributes:
        code: Letter and three digits.
        explanation: What happened, why, and what to do: a paragraph of Markdown.
        forms: By name; the only one of a code is called ``""``, and findings have none.
        reason: Of a finding, as results have it; empty for errors.
    """

    code: str
    explanation: str
    forms: Mapping[str, Form]
    reason: str = ""


@final
@dataclass(frozen=True)
class Kind:
    """All codes of a letter.

    Attributes:
        letter: With which they begin.
        exception: Class of the errors; empty for findings.
        title: A heading.
        about: What they are about, in a few words.
        introduction: What is to be said of all of them: Markdown, or nothing.
        entries: By code, in order.
    """

    letter: str
    exception: str
    title: str
    about: str
    introduction: str
    entries: Mapping[str, Entry]


@cache
def kind(letter: str) -> Kind:
    """All codes of a letter.

    Raises:
        KeyError: For a letter that no code begins with.

    >>> kind("D").exception, kind("D").entries["D004"].forms["none"].rule
    ('DataError', 'there must be at least one sample')
    """
    table = tomllib.loads(_TEXTS[letter])
    entries = {code: _entry(code, part) for code, part in table.items() if isinstance(part, dict)}
    introduction = table.get("introduction", "").strip()
    return Kind(
        letter, table.get("exception", ""), table["title"], table["about"], introduction, entries
    )


def _entry(code: str, table: Mapping[str, Any]) -> Entry:
    forms = {name: _form(part) for name, part in table.items() if isinstance(part, dict)}
    if "rule" in table or "words" in table:
        forms[""] = _form(table)
    return Entry(code, table["explanation"].strip(), forms, table.get("reason", ""))


def _form(table: Mapping[str, Any]) -> Form:
    return Form(table.get("rule", ""), table.get("todo", ""), table.get("words", ""))


def named(template: str) -> str:
    """A sentence with the name of a figure in its gap.

    >>> named("{count} of {all}")
    '<count> of <all>'
    """
    parts = string.Formatter().parse(template)
    return "".join(text + (f"<{name}>" if name else "") for text, name, _, _ in parts)


def form(code: str) -> Form:
    """The form that a raise site names: ``D009``, or ``D012.layout`` where a code has several.

    Raises:
        KeyError: For a code or form that does not exist, which is a bug of the raise site.

    >>> form("D012.layout").todo
    'set it'
    """
    plain, _, name = code.partition(".")
    return kind(plain[:1]).entries[plain].forms[name]


def all_entries() -> dict[str, Entry]:
    """What is known of every code, in the order of the letters."""
    return {code: found for letter in LETTERS for code, found in kind(letter).entries.items()}
