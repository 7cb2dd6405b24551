"""Contract of a reporter, and the result that every reporter is a function of."""

import abc
from typing import Any, ClassVar

from lostbits.language import Language

Result = dict[str, Any]
"""The content of ``result.json``; its schema is result.schema.json beside this file."""

FORMAT = "lostbits-result/1"


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
