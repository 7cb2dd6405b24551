"""The words of a page in every language, of which it shows one at a time."""

from typing import final

from markupsafe import Markup, escape

from lostbits.language import Figure, Language, Message, catalogue, say

LANGUAGES = tuple(Language)
# Sections of the catalogues that the scripts take words from.
_SCRIPTED = (
    *("chart", "fact", "meter", "where", "role", "step", "range_method", "recovery_name"),
    *("figure", "second"),
)


@final
class Wording:
    """Writes words of one language, and collects the same in the others for the switch.

    Attributes:
        language: The one that the page opens with.
        texts: What the switch chooses from: for every text its form in each language.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        self._known: dict[tuple[str, ...], int] = {}

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """Every text so far, by number."""
        return list(self._known)

    def say(self, code: str, **figures: Figure) -> Markup:
        """A text of the catalogue as an element that the switch finds."""
        return self.own(say(code, **figures))

    def own(self, text: Figure) -> Markup:
        """A text of the result as an element that the switch finds."""
        forms = self._forms(text)
        if len(set(forms)) == 1:
            return escape(forms[0])
        return Markup('<span data-t="{}">{}</span>').format(self._place(forms), self._shown(forms))

    def parts(self, text: Message) -> list[Markup]:
        """The messages that a message is made of, if it is made of nothing else."""
        inner = [part for part in text.figures.values() if isinstance(part, Message)]
        made_of_them = len(inner) == len(text.figures) > 0
        return [self.own(part) for part in (inner if made_of_them else [text])]

    def attribute(self, name: str, code: str, **figures: Figure) -> Markup:
        """An attribute of an element, as the switch finds it."""
        forms = self._forms(say(code, **figures))
        place = self._place(forms)
        return Markup(' {}="{}" data-t-{}="{}"').format(name, self._shown(forms), name, place)

    def plain(self, code: str, **figures: Figure) -> str:
        """A text of the catalogue, for where no element may stand."""
        return self._shown(self._forms(say(code, **figures)))

    def number(self, text: Figure) -> int:
        """Where the switch finds a text."""
        return self._place(self._forms(text))

    def scripted(self) -> dict[str, dict[str, str]]:
        """What the scripts say, by language and code."""
        return {
            language: {c: w for c, w in catalogue(language).items() if c.split(".")[0] in _SCRIPTED}
            for language in LANGUAGES
        }

    def _shown(self, forms: tuple[str, ...]) -> str:
        return forms[LANGUAGES.index(self.language)]

    def _place(self, forms: tuple[str, ...]) -> int:
        return self._known.setdefault(forms, len(self._known))

    @staticmethod
    def _forms(text: Figure) -> tuple[str, ...]:
        return tuple(text if isinstance(text, str) else text.told(each) for each in LANGUAGES)


__all__ = ["LANGUAGES", "Wording"]
