"""The words that people read: one catalogue a language, ``languages/CODE.toml``.

A message is a code and figures; its text is made at the edge, in the language of the reader. So a
catalogue may be reworded, and no decision and no figure changes.
"""

import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache, reduce
from pathlib import Path
from typing import final

_FOLDER = Path(__file__).with_name("languages")


@final
class Language(StrEnum):
    """The languages there are; a catalogue each."""

    ENGLISH = "en"
    CHINESE = "zh-Hant"


@final
class Message:
    """What is said: a code of the catalogues, and what fills the gaps of its sentence.

    Whatever decides something asks for the code; the words are made at the edge, in a language.

    Attributes:
        code: Section and name in the catalogues.
        figures: Text, or messages, by the name of the gap.

    >>> str(Message("ledger.bias_correction", {"count": "3"}))
    'corrected 3 biases'
    """

    __slots__ = ("code", "figures")

    def __init__(self, code: str, figures: Mapping[str, "Figure"] | None = None) -> None:
        self.code, self.figures = code, figures or {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (self.code, self.figures) == (other.code, other.figures)

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        return f"Message({self.code!r}, {self.figures!r})"

    def __str__(self) -> str:
        return self.told(Language.ENGLISH)

    def told(self, language: Language) -> str:
        """The sentence in a language."""
        figures = {
            name: figure.told(language) if isinstance(figure, Message) else figure
            for name, figure in self.figures.items()
        }
        return catalogue(language)[self.code].format_map(figures)


Figure = str | Message


def say(code: str, /, **figures: Figure) -> Message:
    """A message of the catalogues.

    >>> say("role.weight")
    Message('role.weight', {})
    """
    return Message(code, figures)


def verbatim(text: Figure) -> Message:
    """What another program or a plug-in says, in whatever language; a message stays one."""
    return text if isinstance(text, Message) else Message("words.verbatim", {"text": text})


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """All words of a language by code: section and name."""
    file = _FOLDER / f"{language}.toml"
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        f"{part}.{name}": text for part, table in tables.items() for name, text in table.items()
    }


@cache
def _phrases(language: Language) -> Mapping[str, str]:
    """What is said of commands and options, by its English."""
    file = _FOLDER / "phrases" / f"{language}.toml"
    phrases: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["phrases"]
    return phrases


def phrase(text: str, language: Language) -> str:
    """A sentence of help or of an error in a language; English where it has none.

    >>> phrase("Output", Language.ENGLISH)
    'Output'
    """
    return text if language is Language.ENGLISH else _phrases(language).get(text, text)


def listed(parts: Sequence[Message]) -> Message:
    """Messages in a row, as a language puts them.

    >>> str(listed([say("role.weight"), say("role.bias")]))
    'weight, bias'
    """
    return reduce(lambda row, part: say("list.and", row=row, part=part), parts)
