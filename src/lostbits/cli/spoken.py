"""The language that the terminal speaks, and the command that it was given."""

from collections.abc import Sequence
from contextvars import ContextVar
from itertools import zip_longest

from lostbits.language import Language
from lostbits.quoting import command

_ALIASES = {
    "en": Language.ENGLISH,
    "zh": Language.CHINESE,
    "zh-hant": Language.CHINESE,
    "zh-hk": Language.CHINESE,
    "zh-tw": Language.CHINESE,
}
language: ContextVar[Language] = ContextVar("language", default=Language.ENGLISH)
_words: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


def language_of(text: str) -> Language:
    """The language of a name: that of the catalogue, or another that people use for it.

    >>> language_of("zh-TW") is Language.CHINESE
    True

    Raises:
        ValueError: For any other.
    """
    try:
        return _ALIASES[text.lower().replace("_", "-")]
    except KeyError:
        raise ValueError(f"{text!r} is not one of {', '.join(_ALIASES)}") from None


def asked(arguments: Sequence[str]) -> Language:
    """The language that ``--lang`` names; English where it names none, or none that there is."""
    for word, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = word.partition("=")
        known = _ALIASES.get((value if equals else after).lower().replace("_", "-"))
        if name == "--lang" and known is not None:
            return known
    return Language.ENGLISH


def remember(words: Sequence[str]) -> None:
    """Keep the words of the command that is run."""
    _words.set(tuple(words))


def command_line() -> str:
    """The command line as it can be run again."""
    return command(["lostbits", *_words.get()])
