"""Arguments in, one call of the api, text out; nothing is computed here."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lostbits import api, commands
from lostbits.case import Override
from lostbits.commands.delivery import Delivery, JsonTo, Lang, Quiet
from lostbits.commands.export import show
from lostbits.diagnoses.settings import check_method
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.exporting import Origin, chosen_exporters, export
from lostbits.goal import Goal, seconds
from lostbits.language import Language
from lostbits.recoveries import ALL as RECOVERIES
from lostbits.recovery import Effort
from lostbits.runtime.measure import METRICS
from lostbits.targets import ALL as TARGETS
from lostbits.terminal import (
    DATA_HELP,
    Out,
    PreprocessFile,
    Samples,
    command_line,
    guarded,
    listed,
    preprocess_of,
    progress_bars,
    stdout,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Finds the bits that quantization lost: where, why, and what to do.",
)

Model = Annotated[Path, typer.Argument(help="ONNX file (float32, opset 11 to 23).")]
Data = Annotated[str, typer.Option(help=DATA_HELP)]
TargetName = Annotated[
    str, typer.Option("--target", help="A target's name, or the path of a TOML file.")
]
Formats = Annotated[str, typer.Option("--format", help="Comma-separated: console, json, html.")]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="Diagnose this quantized model or file of parameters as it is."),
]
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
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="TENSOR=SETTING tries a remedy on one tensor: float, per_channel, asymmetric, 16bit, "
        "or a range method. Repeatable.",
    ),
]


@app.command()
def diagnose(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    model: Model,
    data: Data,
    target: Annotated[
        str | None,
        typer.Option(help="A name or a TOML file. Default: onnxruntime, or what fits --plan best."),
    ] = None,
    plan: PlanFile = None,
    calibration: Annotated[
        str | None, typer.Option(help="Samples that set the ranges, if not those of --data.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Class numbers: .npy, .npz or .txt.")] = None,
    metric: Annotated[str, typer.Option(help=f"What is attributed: {', '.join(METRICS)}.")] = "nsr",
    method: Annotated[str, typer.Option(help="auto, aumann-shapley or permutation.")] = "auto",
    samples: Samples = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples a run.")] = 8,
    permutations: Annotated[
        int, typer.Option(min=2, help="Orders that the permutation method walks (even).")
    ] = 2,
    seed: Annotated[int, typer.Option(help="Of random permutations.")] = 0,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    preprocess: PreprocessFile = None,
    out: Out = Path("lostbits-out"),
    formats: Formats = "console,json,html",
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
) -> None:
    """Explain where, why and how much accuracy a target's quantizer loses.

    Example: **lostbits diagnose net.onnx --data photos.npy --target snpe**

    Another tool's: **lostbits diagnose net.onnx --data photos.npy --plan net_int8.onnx**

    For a program: **lostbits diagnose net.onnx --data photos.npy --quiet --json -**
    """
    with guarded():
        delivery = Delivery.of(formats, lang, quiet, json)
        api.check_writable(out)
        chosen = api.Settings(
            labels=labels,
            calibration=calibration,
            metric=metric,
            method=check_method(method),
            samples=samples,
            batch=batch,
            permutations=permutations,
            seed=seed,
            overrides=tuple(Override.parse(text) for text in settings),
            preprocess=preprocess_of(preprocess),
            plan=plan,
            command=command_line(),
        )
        with progress_bars(quiet) as listener:
            result = api.diagnose(model, data, target, chosen, listener)
        delivery(result, out)


@app.command()
def recover(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    model: Model,
    data: Data,
    out: Out,
    target: TargetName = "onnxruntime",
    goal: GoalText = None,
    budget: Annotated[str, typer.Option(help="Time for all attempts: 90s, 10m, 1h.")] = "10m",
    methods: Methods = "",
    evaluation: Annotated[
        str | None,
        typer.Option(help="Samples that judge the attempts; else every fourth of --data."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Class numbers of what judges.")] = None,
    samples: Annotated[int | None, typer.Option(min=8, help="Use only the first N.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    preprocess: PreprocessFile = None,
    formats: Formats = "console,json,html",
    exports: Exports = "",
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
) -> None:
    """Win accuracy back: diagnose, attempt what should help, keep what does.

    Example: **lostbits recover net.onnx --data photos.npy --target snpe --out recovered**
    """
    with guarded():
        delivery = Delivery.of(formats, lang, quiet, json)
        chosen_exporters(listed(exports))
        api.check_writable(out)
        chosen = api.Settings(
            labels=labels,
            samples=samples,
            overrides=tuple(Override.parse(text) for text in settings),
            preprocess=preprocess_of(preprocess),
            command=command_line(),
        )
        wishes = api.Wishes(
            goal=None if goal is None else Goal.parse(goal),
            budget=seconds(budget),
            methods=tuple(listed(methods)),
            evaluation=evaluation,
            effort=Effort(seed=seed),
        )
        with progress_bars(quiet) as listener:
            result = api.recover(model, data, target, out, chosen, wishes, listener)
        delivery(result, out)
        if exports:
            exported = export(Origin(out, None, _file(target)), listed(exports), out / "export")
            if not delivery.quiet:
                show(exported)
    if result["recovered"]["goal_met"] is False:
        raise typer.Exit(1)


for _command in commands.ALL:
    app.command()(_command)


@app.command()
def demo(
    target: TargetName = "snpe",
    out: Out = Path("lostbits-demo"),
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
) -> None:
    """Diagnose and recover the embedded network: a small CNN on real digits that int8 breaks.

    Example: **lostbits demo --target tensorrt --out demo**
    """
    files = {name: _short(path) for name, path in api.demo_files().items()}
    command = (
        f"lostbits diagnose {files['model']} --data {files['data']} --calibration "
        f"{files['calibration']} --labels {files['labels']} --target {target} --out {out}"
    )
    with guarded():
        delivery = Delivery.of("console,json,html", lang, quiet, json)
        api.check_writable(out)
        with progress_bars(quiet) as listener:
            result = api.demo(target, out, command, listener)
        delivery(result, out)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Where result.json lies.")],
    lang: Lang = Language.ENGLISH,
) -> None:
    """Make report.html again from result.json.

    Example: **lostbits report lostbits-out --lang zh-Hant**
    """
    with guarded():
        for path in api.write(api.read(folder), folder, ["html"], lang):
            stdout.print(str(path), soft_wrap=True)


@app.command()
def targets() -> None:
    """List the platforms and what they can run.

    Example: **lostbits targets**
    """
    table = Table(title="Targets")
    for column in ("name", "weights", "activations", "range method", "bias", "takes from outside"):
        table.add_column(column, overflow="fold")
    for t in TARGETS:
        rules = [
            f"{r.grid.name} {'symmetric' if r.symmetric else 'asymmetric'} "
            f"{'per channel' if r.per_channel else 'per tensor'}"
            for r in (t.weights, t.activations)
        ]
        method = f"{t.weights.method}, {t.activations.method}"
        bias = "float" if t.bias_bits is None else f"int{t.bias_bits}"
        table.add_row(t.name, *rules, method, bias, t.takes)
    stdout.print(table)


@app.command()
def methods() -> None:
    """List the range methods and the recoveries.

    Example: **lostbits methods**
    """
    table = Table(title="Range methods")
    table.add_column("name")
    table.add_column("what it takes as the range")
    for method in ESTIMATORS:
        table.add_row(method.name, method.title)
    stdout.print(table)
    table = Table(title="Recoveries")
    for column in ("name", "stage", "what it does", "source"):
        table.add_column(column, overflow="fold")
    for recovery in RECOVERIES:
        table.add_row(recovery.name, recovery.stage, recovery.title, recovery.source)
    stdout.print(table)


def _file(target: str) -> str | None:
    """A target from a file, which a saved plan cannot name."""
    return target if target.endswith(".toml") else None


def _short(path: Path) -> Path:
    """Relative to the current folder where that is shorter to read and to type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("ORT_LOGGING_LEVEL", "4")
    app()
