"""Contract of a reporter, and the result that every reporter is a function of."""

import abc
import json
from importlib.resources import files
from typing import Any, ClassVar

from lostbits.language import Language

Result = dict[str, Any]
"""The content of ``result.json``; its schema is result.schema.json beside this file."""

FORMAT = "lostbits-result/1"


def required_fields() -> list[str]:
    """Fields that every result has, by the schema."""
    schema = files("lostbits").joinpath("result.schema.json").read_text(encoding="utf-8")
    required: list[str] = json.loads(schema)["required"]
    return required


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
    def render(self, result: Result) -> str:
        """The whole text; computes nothing beyond layout."""
