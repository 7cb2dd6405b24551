"""``lostbits report``."""

from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.commands.language_option import Lang
from lostbits.cli.terminal import guarded, say
from lostbits.language import Language
from lostbits.verbs import result_files as results


def report(
    folder: Annotated[Path, typer.Argument(help="Where result.json lies.")],
    lang: Lang = Language.ENGLISH,
) -> None:
    """Make report.html again from result.json.

    Example: **lostbits report lostbits-out --lang zh-Hant**
    """
    with guarded():
        for path in results.shown_again(folder, lang):
            say(str(path))
