"""``--lang``, in a module that imports little: some commands need nothing else."""

from typing import Annotated

import typer

from lostbits.cli.spoken import language_of
from lostbits.language import Language

Lang = Annotated[
    Language,
    typer.Option(
        parser=language_of, help="Language of terminal, help, errors and page: en or zh-Hant."
    ),
]
