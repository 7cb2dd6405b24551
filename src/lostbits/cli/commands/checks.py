"""What becomes of goals and gates: a file for pipelines, and the exit status."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lostbits.reporters.junit import junit
from lostbits.results.checks import Check
from lostbits.verbs import output

Junit = Annotated[
    Path | None, typer.Option("--junit", help="Write goals or gates here as JUnit XML.")
]
BaselineOut = Annotated[
    Path | None,
    typer.Option("--baseline-out", help="Write the figures here, to be compared with later."),
]


def ended(checks: Sequence[Check], file: Path | None, suite: str) -> None:
    """Write the file that was asked for, and end with status 1 where a bound is not met.

    Raises:
        OutputError: O001.
    """
    if file is not None:
        output.replace_file(file, junit(checks, suite))
    if not all(check.met for check in checks):
        raise typer.Exit(1)
