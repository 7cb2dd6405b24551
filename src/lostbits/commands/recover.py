"""``lostbits recover``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lostbits import api, results
from lostbits.commands.delivery import Delivery, JsonTo, Lang, Quiet
from lostbits.commands.export import show
from lostbits.commands.options import (
    Data,
    Formats,
    Memory,
    Model,
    RayAddress,
    Sets,
    TargetName,
    Threads,
    Workers,
    resources,
)
from lostbits.exporting import Origin, chosen_exporters, export
from lostbits.goal import Goal, seconds
from lostbits.language import Language
from lostbits.override import Override
from lostbits.recovery import Effort, Inputs
from lostbits.reporter import Result
from lostbits.terminal import (
    Out,
    PreprocessFile,
    announcer,
    command_line,
    guarded,
    listed,
    preprocess_of,
    progress_bars,
)

GoalText = Annotated[
    str | None,
    typer.Option(
        "--goal", help="Where to stop: sqnr_db>=20, agreement>=0.95, accuracy_drop<=0.01, ..."
    ),
]
Methods = Annotated[
    str,
    typer.Option(
        "--methods", help="Comma-separated: only these, or all but those with a minus sign."
    ),
]
Exports = Annotated[
    str, typer.Option("--export", help="Comma-separated formats to write; see export --help.")
]
Evaluation = Annotated[
    str | None, typer.Option(help="Samples that judge the attempts; else every fourth of --data.")
]

InputsOf = Annotated[
    Inputs,
    typer.Option(
        help="What enters a layer or block that is learned: what recovered ones make, one after "
        "the other, or float values, so that workers share them."
    ),
]

Judging = Annotated[Path | None, typer.Option(help="Class numbers of what judges.")]


def recover(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    model: Model,
    data: Data,
    out: Out,
    target: TargetName = "onnxruntime",
    goal: GoalText = None,
    budget: Annotated[str, typer.Option(help="Time for all attempts: 90s, 10m, 1h.")] = "10m",
    methods: Methods = "",
    evaluation: Evaluation = None,
    labels: Judging = None,
    samples: Annotated[int | None, typer.Option(min=8, help="Use only the first N.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    inputs: InputsOf = Inputs.RECOVERED,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    preprocess: PreprocessFile = None,
    workers: Workers = 1,
    threads: Threads = 0,
    memory: Memory = None,
    ray: RayAddress = None,
    formats: Formats = "console,json,html",
    exports: Exports = "",
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
) -> None:
    """Win accuracy back: diagnose, attempt what should help, keep what does.

    Example: **lostbits recover net.onnx --data photos.npy --target snpe --out recovered**
    """
    with guarded(out):
        delivery = Delivery.of(formats, lang, quiet, json)
        chosen_exporters(listed(exports))
        results.check_writable(out)
        chosen = api.Settings(
            labels=labels,
            samples=samples,
            overrides=tuple(Override.parse(text) for text in settings),
            preprocess=preprocess_of(preprocess),
            command=command_line(),
            resources=resources(workers, threads, ray, memory),
            announce=announcer(quiet=quiet),
        )
        wishes = api.Wishes(
            goal=None if goal is None else Goal.parse(goal),
            budget=seconds(budget),
            methods=tuple(listed(methods)),
            evaluation=evaluation,
            effort=Effort(seed=seed, inputs=inputs),
        )
        with progress_bars(quiet) as listener:
            result = api.recover(model, data, target, out, chosen, wishes, listener)
        delivery(result, out)
        _export(out, target, listed(exports), delivery.quiet)
    _end(result)


def _end(result: Result) -> None:
    """Status 1 for a goal that was missed."""
    if result["recovered"]["goal_met"] is False:
        raise typer.Exit(1)


def _export(out: Path, target: str, formats: Sequence[str], quiet: bool) -> None:
    if formats:
        exported = export(Origin(out, None, _file(target)), formats, out / "export")
        if not quiet:
            show(exported)


def _file(target: str) -> str | None:
    """A target from a file, which a saved plan cannot name."""
    return target if target.endswith(".toml") else None
