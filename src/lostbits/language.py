"""The words that people read: one catalogue a language, ``languages/CODE.toml``.

A sentence of a result is composed from a code and figures. It is English text, as programs and
terminals want it, and remembers the code and the figures, so that a page can say the same in
another language. What somebody else's plug-in says has no code, and stays as it is.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache, reduce
from importlib.resources import files
from typing import Any, Self, final


@final
class Language(StrEnum):
    """The languages there are; a catalogue each."""

    ENGLISH = "en"
    CHINESE = "zh-Hant"


@final
class Sentence(str):
    """English text that knows what it was composed from.

    Attributes:
        code: Its key in the catalogues.
        figures: What fills the gaps: text, or sentences.
    """

    __slots__ = ("code", "figures")
    code: str
    figures: Mapping[str, str]

    def __new__(cls, text: str, code: str = "", figures: Mapping[str, str] | None = None) -> Self:
        """Text alone is what copying needs; it restores the rest by itself."""
        made = super().__new__(cls, text)
        made.code, made.figures = code, figures or {}
        return made

    def entry(self) -> dict[str, Any]:
        """Code and figures as plain data."""
        parts = {
            name: value.entry() if isinstance(value, Sentence) else value
            for name, value in self.figures.items()
        }
        return {"code": self.code, "figures": parts}


def say(code: str, /, **figures: str) -> Sentence:
    """A sentence of the catalogue, in English.

    >>> say("role.weight"), say("role.weight").code
    ('weight', 'role.weight')
    """
    return Sentence(filled(Language.ENGLISH, code, figures), code, figures)


def filled(language: Language, code: str, figures: Mapping[str, str]) -> str:
    """A sentence in a language; the figures are text in that language already."""
    return catalogue(language)[code].format_map(figures)


def translated(language: Language, entry: Mapping[str, Any]) -> str:
    """What ``Sentence.entry`` holds, in a language."""
    figures = {
        name: value if isinstance(value, str) else translated(language, value)
        for name, value in entry["figures"].items()
    }
    return filled(language, entry["code"], figures)


def sentences(value: object) -> dict[str, Any]:
    """Code and figures of every sentence inside plain data, under its English text."""
    return {str(found): found.entry() for found in _inside(value)}


def _inside(value: object) -> Iterator[Sentence]:
    match value:
        case Sentence():
            yield value
        case dict():
            for part in (*value.keys(), *value.values()):
                yield from _inside(part)
        case list() | tuple():
            for part in value:
                yield from _inside(part)


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """All words of a language by code: section and name."""
    file = files("lostbits").joinpath(f"languages/{language}.toml")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        f"{part}.{name}": text for part, table in tables.items() for name, text in table.items()
    }


def listed(parts: Sequence[Sentence]) -> Sentence:
    """Sentences in a row, as a language puts them.

    >>> listed([say("role.weight"), say("role.bias")])
    'weight, bias'
    """
    return reduce(lambda row, part: say("list.and", row=row, part=part), parts)
