"""The words of a page in every language, of which it shows one at a time."""

from collections.abc import Mapping
from typing import Any, final

from markupsafe import Markup, escape

from lostbits.language import Language, catalogue, translated
from lostbits.reporter import Result

Figure = str | Mapping[str, Any]
LANGUAGES = tuple(Language)
# Sections of the catalogues that the scripts take words from.
_SCRIPTED = ("chart", "fact", "meter", "where", "role", "step", "range_method", "recovery_name")


@final
class Wording:
    """Writes words of one language, and collects the same in the others for the switch.

    Attributes:
        language: The one that the page opens with.
        texts: What the switch chooses from: for every text its form in each language.
    """

    def __init__(self, result: Result, language: Language) -> None:
        self.language = language
        self._sentences: Mapping[str, Any] = result["sentences"]
        self._known: dict[tuple[str, ...], int] = {}

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """Every text so far, by number."""
        return list(self._known)

    def say(self, code: str, **figures: Figure) -> Markup:
        """A text of the catalogue as an element that the switch finds."""
        return self._element({"code": code, "figures": figures})

    def own(self, text: str) -> Markup:
        """A sentence of the result; one that no catalogue knows stays as it is."""
        return self._element(self.entry(text))

    def parts(self, text: str) -> list[Markup]:
        """The sentences that a sentence of the result is made of, if it is made of such."""
        entry = self.entry(text)
        figures = {} if isinstance(entry, str) else entry["figures"]
        inner = [part for part in figures.values() if not isinstance(part, str)]
        made_of_them = len(inner) == len(figures) > 0
        return [self._element(part) for part in (inner if made_of_them else [entry])]

    def attribute(self, name: str, code: str, **figures: Figure) -> Markup:
        """An attribute of an element, as the switch finds it."""
        forms = self._forms({"code": code, "figures": figures})
        place = self._place(forms)
        return Markup(' {}="{}" data-t-{}="{}"').format(name, self._shown(forms), name, place)

    def plain(self, code: str, **figures: Figure) -> str:
        """A text of the catalogue, for where no element may stand."""
        return self._shown(self._forms({"code": code, "figures": figures}))

    def number(self, text: str) -> int:
        """Where the switch finds a sentence of the result."""
        return self._place(self._forms(self.entry(text)))

    def entry(self, text: str) -> Figure:
        """What a sentence of the result was composed from."""
        found: Figure = self._sentences.get(text, text)
        return found

    def scripted(self) -> dict[str, dict[str, str]]:
        """What the scripts say, by language and code."""
        return {
            language: {c: w for c, w in catalogue(language).items() if c.split(".")[0] in _SCRIPTED}
            for language in LANGUAGES
        }

    def _element(self, entry: Figure) -> Markup:
        forms = self._forms(entry)
        if len(set(forms)) == 1:
            return escape(forms[0])
        return Markup('<span data-t="{}">{}</span>').format(self._place(forms), self._shown(forms))

    def _shown(self, forms: tuple[str, ...]) -> str:
        return forms[LANGUAGES.index(self.language)]

    def _place(self, forms: tuple[str, ...]) -> int:
        return self._known.setdefault(forms, len(self._known))

    @staticmethod
    def _forms(entry: Figure) -> tuple[str, ...]:
        return tuple(_said(language, entry) for language in LANGUAGES)


def word(code: str) -> Figure:
    """A text of the catalogue as a figure of another."""
    return {"code": code, "figures": {}}


def _said(language: Language, entry: Figure) -> str:
    return entry if isinstance(entry, str) else translated(language, entry)


__all__ = ["LANGUAGES", "Figure", "Wording", "word"]
