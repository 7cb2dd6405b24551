"""Arguments in, one call of the api, text out; nothing is computed here."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from lostbits import api
from lostbits.case import Override
from lostbits.data import Preprocess
from lostbits.diagnoses.settings import check_method
from lostbits.errors import LostbitsError
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.goal import Goal, seconds
from lostbits.recoveries import ALL as RECOVERIES
from lostbits.recovery import Effort
from lostbits.reporter import Result
from lostbits.reporters.console import screen
from lostbits.runtime.measure import METRICS
from lostbits.runtime.progress import Progress as Listener
from lostbits.targets import ALL as TARGETS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Finds the bits that quantization lost: where, why, and what to do.",
)
_out, _err = Console(), Console(stderr=True)

Model = Annotated[Path, typer.Argument(help="ONNX file (float32, opset 11 to 23).")]
Data = Annotated[
    str,
    typer.Option(
        help=".npz, .npy, a folder of those or of images, input_list.txt, or module:callable."
    ),
]
TargetName = Annotated[
    str, typer.Option("--target", help="A target's name, or the path of a TOML file.")
]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Formats = Annotated[str, typer.Option("--format", help="Comma-separated: console, json, html.")]
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
    target: TargetName = "onnxruntime",
    calibration: Annotated[
        str | None, typer.Option(help="Samples that set the ranges, if not those of --data.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Class numbers: .npy, .npz or .txt.")] = None,
    metric: Annotated[str, typer.Option(help=f"What is attributed: {', '.join(METRICS)}.")] = "nsr",
    method: Annotated[str, typer.Option(help="auto, aumann-shapley or permutation.")] = "auto",
    samples: Annotated[
        int | None, typer.Option(min=2, help="Use only the first N samples.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples a run.")] = 8,
    permutations: Annotated[
        int, typer.Option(min=2, help="Orders that the permutation method walks (even).")
    ] = 2,
    seed: Annotated[int, typer.Option(help="Of random permutations.")] = 0,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    preprocess: Annotated[
        Path | None, typer.Option(help="TOML file: how images become tensors.")
    ] = None,
    out: Out = Path("lostbits-out"),
    formats: Formats = "console,json,html",
) -> None:
    """Explain where, why and how much accuracy a target's quantizer loses.

    Example: **lostbits diagnose net.onnx --data photos.npy --target snpe**
    """
    names = [name.strip() for name in formats.split(",")]
    with _guarded():
        for name in names:
            api.reporter(name)
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
            preprocess=None if preprocess is None else Preprocess.from_toml(preprocess),
            command=_command(),
        )
        with _progress() as listener:
            result = api.diagnose(model, data, target, chosen, listener)
        _deliver(result, out, names)


@app.command()
def recover(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    model: Model,
    data: Data,
    out: Out,
    target: TargetName = "onnxruntime",
    goal: Annotated[
        str | None,
        typer.Option(help="Where to stop: sqnr_db>=20, agreement>=0.95, accuracy_drop<=0.01, ..."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Time for all attempts: 90s, 10m, 1h.")] = "10m",
    methods: Annotated[
        str, typer.Option(help="Comma-separated: only these, or all but those with a minus sign.")
    ] = "",
    evaluation: Annotated[
        str | None,
        typer.Option(help="Samples that judge the attempts; else every fourth of --data."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Class numbers of what judges.")] = None,
    samples: Annotated[int | None, typer.Option(min=8, help="Use only the first N.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    preprocess: Annotated[
        Path | None, typer.Option(help="TOML file: how images become tensors.")
    ] = None,
    formats: Formats = "console,json,html",
) -> None:
    """Win accuracy back: diagnose, attempt what should help, keep what does.

    Example: **lostbits recover net.onnx --data photos.npy --target snpe --out recovered**
    """
    names = [name.strip() for name in formats.split(",")]
    with _guarded():
        for name in names:
            api.reporter(name)
        api.check_writable(out)
        chosen = api.Settings(
            labels=labels,
            samples=samples,
            overrides=tuple(Override.parse(text) for text in settings),
            preprocess=None if preprocess is None else Preprocess.from_toml(preprocess),
            command=_command(),
        )
        wishes = api.Wishes(
            goal=None if goal is None else Goal.parse(goal),
            budget=seconds(budget),
            methods=tuple(name.strip() for name in methods.split(",") if name.strip()),
            evaluation=evaluation,
            effort=Effort(seed=seed),
        )
        with _progress() as listener:
            result = api.recover(model, data, target, out, chosen, wishes, listener)
        _deliver(result, out, names)
    if result["recovered"]["goal_met"] is False:
        raise typer.Exit(1)


@app.command()
def demo(target: TargetName = "snpe", out: Out = Path("lostbits-demo")) -> None:
    """Diagnose and recover the embedded network: a small CNN on real digits that int8 breaks."""
    files = {name: _short(path) for name, path in api.demo_files().items()}
    command = (
        f"lostbits diagnose {files['model']} --data {files['data']} --calibration "
        f"{files['calibration']} --labels {files['labels']} --target {target} --out {out}"
    )
    with _guarded():
        api.check_writable(out)
        with _progress() as listener:
            result = api.demo(target, out, command, listener)
        _deliver(result, out, ["console", "json", "html"])


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Where result.json lies.")]) -> None:
    """Make report.html again from result.json."""
    with _guarded():
        for path in api.write(api.read(folder), folder, ["html"]):
            _out.print(str(path), soft_wrap=True)


@app.command()
def targets() -> None:
    """List the platforms and what they can run."""
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
    _out.print(table)


@app.command()
def methods() -> None:
    """List the range methods and the recoveries."""
    table = Table(title="Range methods")
    table.add_column("name")
    table.add_column("what it takes as the range")
    for method in ESTIMATORS:
        table.add_row(method.name, method.title)
    _out.print(table)
    table = Table(title="Recoveries")
    for column in ("name", "stage", "what it does", "source"):
        table.add_column(column, overflow="fold")
    for recovery in RECOVERIES:
        table.add_row(recovery.name, recovery.stage, recovery.title, recovery.source)
    _out.print(table)


def _deliver(result: Result, out: Path, names: list[str]) -> None:
    """Print and write what was asked for."""
    if "console" in names:
        _out.print(screen(result))
    for path in api.write(result, out, names):
        _out.print(f"wrote {path}", soft_wrap=True)
    if result["data"]["interrupted"]:
        raise typer.Exit(130)


@contextmanager
def _guarded() -> Iterator[None]:
    """Turn our errors into a line and exit status 2, an interrupt into 130."""
    try:
        yield
    except LostbitsError as error:
        _err.print(str(error), style="bold red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        _err.print(
            "interrupted before there was a first result; nothing was written", style="yellow"
        )
        raise typer.Exit(130) from error


@contextmanager
def _progress() -> Iterator[Listener]:
    """A bar a stage with the time left, on standard error, gone when done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield tell


def _short(path: Path) -> Path:
    """Relative to the current folder where that is shorter to read and to type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _command() -> str:
    """The command line as it can be run again."""
    return shlex.join(["lostbits", *sys.argv[1:]])


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("ORT_LOGGING_LEVEL", "4")
    app()
