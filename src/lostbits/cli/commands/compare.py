"""``lostbits compare``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lostbits.cli.commands.checks import BaselineOut, Junit, ended
from lostbits.cli.commands.delivery import JsonTo, Quiet
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.commands.options import Memory, RayAddress, Threads, Workers
from lostbits.cli.commands.sharing import sharing
from lostbits.cli.terminal import DATA_HELP, PreprocessFile, Samples, announcer, guarded, say
from lostbits.errors import TargetError
from lostbits.language import Language
from lostbits.reporters.compared import json_text, lines, page
from lostbits.results.comparison import Comparison
from lostbits.runtime.metrics import METRICS
from lostbits.system.streams import pour
from lostbits.verbs import output
from lostbits.verbs.baseline_file import write_baseline
from lostbits.verbs.compare import compare as compared
from lostbits.workers.work_folder import NAME as WORK
from lostbits.workers.work_folder import Work

_SIDE = "Folder of diagnose or recover, quantized model, file of parameters, or baseline."
_GATE = (
    "Exit status 1 unless met: sqnr_db>=-0.5 (new less old), new.agreement>=0.99, codes<=0.5. "
    "Repeatable."
)


def compare(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    old: Annotated[Path, typer.Argument(help=_SIDE)],
    new: Annotated[Path, typer.Argument(help="The same, to be compared with it.")],
    data: Annotated[str | None, typer.Option(help=f"Measure both on these: {DATA_HELP}")] = None,
    model: Annotated[
        Path | None, typer.Option(help="The float network of a file that holds parameters alone.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="A name or a TOML file. Default: of the sides.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of --data: .npy, .npz or .txt.")
    ] = None,
    metric: Annotated[str, typer.Option(help=f"What is attributed: {', '.join(METRICS)}.")] = "nsr",
    samples: Samples = None,
    preprocess: PreprocessFile = None,
    gate: Annotated[list[str], typer.Option(help=_GATE)] = [],  # noqa: B006 - typer reads it
    junit: Junit = None,
    baseline_out: BaselineOut = None,
    html: Annotated[Path | None, typer.Option(help="Write a page here.")] = None,
    workers: Workers = 1,
    threads: Threads = 0,
    memory: Memory = None,
    ray: RayAddress = None,
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
) -> None:
    """Compare two sides: which parameters differ, and with data whose the change is.

    Example: **lostbits compare lostbits-out recovered --data photos.npy --gate "sqnr_db>=-0.5"**
    """
    with guarded():
        for file in (junit, baseline_out, html, None if json in (None, "-") else Path(str(json))):
            if file is not None:
                output.check_replaceable(file)
        hushed, used = quiet or json == "-", (workers, threads, ray, memory)
        with sharing(used, Work(Path(WORK), announcer(quiet=hushed)), quiet=hushed) as shared:
            given: dict[str, Any] = {**shared, "cache": None}
            found = compared(
                old, new, data=data, samples=samples, model=model, target=target, labels=labels,
                metric=metric, gates=gate, preprocess=preprocess, **given,
            )  # fmt: skip
        _deliver(found, json, html, baseline_out, lang, quiet=hushed)
        ended(found.checks, junit, "lostbits compare")


def _deliver(
    found: Comparison,
    json: str | None,
    html: Path | None,
    baseline: Path | None,
    language: Language,
    *,
    quiet: bool,
) -> None:
    """Write what was asked for; print the rest."""
    if baseline is not None:
        if found.new is None:
            raise TargetError("T031.side", "--baseline-out", "no figures of the new side")
        write_baseline(found.new, baseline)
    if html is not None:
        output.replace_file(html, page(found, language).encode(errors="backslashreplace"))
    if json is not None:
        content = json_text(found).encode(errors="backslashreplace")
        pour(content) if json == "-" else output.replace_file(Path(json), content)
    for line, style in () if quiet else lines(found, language):
        say(line, style)
