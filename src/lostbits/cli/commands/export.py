"""``lostbits export``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli import spoken
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.terminal import (
    DATA_HELP,
    PreprocessFile,
    Samples,
    by_reason,
    guarded,
    listed,
    progress_bars,
    say,
    word,
)
from lostbits.exporters import MEMBERS as EXPORTERS
from lostbits.language import Language
from lostbits.language import say as words
from lostbits.verbs.export import Exported, chosen_exporters
from lostbits.verbs.export import export as exported
from lostbits.verbs.load import load
from lostbits.verbs.output import check_writable

_FORMATS = ", ".join(("qdq (that of the target)", *EXPORTERS.names))
_SHOWN = 10  # remarks and tensors in full; the rest is counted


def export(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    source: Annotated[
        Path, typer.Argument(metavar="DIR|MODEL", help="Folder of recover, or a float ONNX file.")
    ],
    to: Annotated[str, typer.Option(help=f"Comma-separated: {_FORMATS}.")],
    folder: Annotated[Path, typer.Option("--out", help="Each format gets a folder in it.")],
    data: Annotated[
        str | None, typer.Option(help=f"Samples that set the ranges of a MODEL: {DATA_HELP}")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Target for a float MODEL. For a recovered DIR, only needed if its target was a "
            "TOML file."
        ),
    ] = None,
    tensorrt: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="TensorRT that will read tensorrt-cache; it ignores others'."
        ),
    ] = None,
    samples: Samples = None,
    preprocess: PreprocessFile = None,
    lang: Lang = Language.ENGLISH,
) -> None:
    """Write the parameters that a platform takes, and say what it will not take from them.

    Example: **lostbits export recovered --to qdq,encodings-1.0.0 --out exported**
    """
    with guarded():
        check_writable(folder)
        chosen_exporters(listed(to), None, tensorrt)  # a misspelt one should not cost a calibration
        with progress_bars() as listener:
            case = load(
                source, data, target, samples=samples, preprocess=preprocess, progress=listener
            )
            done = exported(case, listed(to), folder, tensorrt=tensorrt)
        show(done)


def show(done: Sequence[Exported]) -> None:
    """Files with digests as ``sha256sum -c`` reads them, remarks, what the platform does itself."""
    language = spoken.language.get()
    for each in done:
        say(each.format, "bold")
        for file in each.files:
            say(f"{file.sha256}  {file.path}{word('exported.replaced') if file.replaced else ''}")
        for problem in each.lint[:_SHOWN]:
            say(problem.told(language), "yellow")
        if each.lint[_SHOWN:]:
            say(words("exported.more", count=str(len(each.lint) - _SHOWN)))
        for line in by_reason(each.left_out):
            say(words("exported.left_out", line=line))
