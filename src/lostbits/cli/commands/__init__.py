"""The commands, one module each, imported when one is used; ``ALL`` is what the app registers.

What a command needs, torch above all, takes seconds to import. The list of commands needs none of
it, so their names and summaries stand here, and a test holds the summaries to the docstrings.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Verb:
    """A command before it is imported.

    Attributes:
        name: Of the command and of its function.
        module: Where the function lies, in this folder.
        summary: First sentence of its help.
    """

    name: str
    module: str
    summary: str

    def function(self) -> Callable[..., Any]:
        """The function, whose module is imported now."""
        module = importlib.import_module(f"{__name__}.{self.module}")
        function: Callable[..., Any] = getattr(module, self.name)
        return function


ALL: tuple[Verb, ...] = (
    Verb(
        "diagnose",
        "diagnose",
        "Explain where, why and how much accuracy a target's quantizer loses.",
    ),
    Verb(
        "recover",
        "recover",
        "Recover accuracy: try fixes, keep those that help on held-out samples.",
    ),
    Verb(
        "export",
        "export",
        "Write the parameters that a platform takes, and say what it will not take from them.",
    ),
    Verb(
        "inspect",
        "inspect",
        "Read somebody else's parameters and say what they mean, and what is doubtful.",
    ),
    Verb(
        "verify",
        "verify",
        "Run the exported file on a real runtime; exit status 1 when it is out of tolerance.",
    ),
    Verb(
        "compare",
        "compare",
        "Compare two sides: which parameters differ, and with data whose the change is.",
    ),
    Verb(
        "backends",
        "verify",
        "List the runtimes that verify can use, and whether they are installed.",
    ),
    Verb(
        "demo",
        "demo",
        "Diagnose and recover the embedded network: a small CNN on real digits that int8 breaks.",
    ),
    Verb("report", "report", "Make report.html again from result.json."),
    Verb("targets", "targets", "List the platforms and what they can run."),
    Verb("methods", "methods", "List the range methods, the recoveries and the metrics."),
    Verb(
        "explain", "explain", "Say what a message means, by its code; without one, list them all."
    ),
)

__all__ = ["ALL", "Verb"]
