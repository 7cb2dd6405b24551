"""Contract of a reporter: a function of a diagnosis."""

import abc
import json
import math
from typing import Any, ClassVar

from lostbits.language import Language
from lostbits.results.diagnosis import Diagnosis

_LEVELS = 2  # of JSON that are laid out, a value a line


def finite(value: Any) -> tuple[Any, list[str]]:
    """Plain data with None for each number that is not finite, and the places of those.

    >>> finite({"a": [1.0, float("nan")]})
    ({'a': [1.0, None]}, ['a[1]'])
    """
    places: list[str] = []
    return _finite(value, "", places), places


def _finite(value: Any, place: str, places: list[str]) -> Any:
    match value:
        case float() if not math.isfinite(value):
            places.append(place)
            return None
        case dict():
            inside = f"{place}." if place else ""
            return {k: _finite(v, f"{inside}{k}", places) for k, v in value.items()}
        case list() | tuple():
            return [_finite(v, f"{place}[{i}]", places) for i, v in enumerate(value)]
        case _:
            return value


def strict_json(content: Any) -> str:
    r"""Strict JSON of plain data; what cannot be seen in a text is an escape.

    What the top levels hold stands on a line each: a site is a line of a result. A name may hold
    characters that turn the direction of writing, and JSON may go to a screen.

    >>> strict_json({"層\u202e": [1, [2, 3]]})
    '{\n "層\\u202e": [\n  1,\n  [2, 3]\n ]\n}\n'
    """
    return "".join(f"{_seen(line)}\n" for line in _laid_out(content, 0).split("\n"))


def _laid_out(value: Any, level: int) -> str:
    """Below the top levels on one line, which the encoder in C writes: it knows no indents."""
    if level == _LEVELS or not value or not isinstance(value, dict | list | tuple):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    below = level + 1
    if isinstance(value, dict):
        ends = "{}"
        items = [
            f"{json.dumps(str(k), ensure_ascii=False)}: {_laid_out(v, below)}"
            for k, v in value.items()
        ]
    else:
        ends, items = "[]", [_laid_out(v, below) for v in value]
    line = "\n" + " " * below
    return f"{ends[0]}{line}{f',{line}'.join(items)}\n{' ' * level}{ends[1]}"


def _seen(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


class Reporter(abc.ABC):
    """Turns a result into a file or into lines for the terminal.

    Attributes:
        name: What users give to ``--format``.
        file: Name of the file that it writes, or None for the terminal.
    """

    name: ClassVar[str]
    file: ClassVar[str | None]

    def speaking(self, language: Language) -> "Reporter":
        """The reporter in a language; one that has only one stays as it is."""
        return self

    @abc.abstractmethod
    def render(self, result: Diagnosis) -> str:
        """The whole text; computes nothing beyond layout."""
