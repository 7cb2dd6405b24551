"""``lostbits recover``."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.commands.delivery import Delivery, JsonTo, OverlayTo, Quiet
from lostbits.cli.commands.export import show
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.commands.options import (
    Again,
    ArithmeticName,
    Data,
    Force,
    Formats,
    MaskOutputs,
    Memory,
    Metric,
    Model,
    Outputs,
    RayAddress,
    Sets,
    TargetName,
    Threads,
    Workers,
    resources,
)
from lostbits.cli.spoken import command_line
from lostbits.cli.terminal import (
    Out,
    PreprocessFile,
    announcer,
    guarded,
    listed,
    progress_bars,
)
from lostbits.errors import CommandError
from lostbits.language import Language
from lostbits.recovery import Inputs
from lostbits.runtime.goal import seconds
from lostbits.runtime.goal import seconds as parsed
from lostbits.system.deadline import Deadline
from lostbits.verbs import output
from lostbits.verbs.export import chosen_exporters, export
from lostbits.verbs.load import load
from lostbits.verbs.recover import recover as recovered
from lostbits.verbs.result_kind import check_place
from lostbits.workers.pools import pool as pool_of
from lostbits.workers.work_folder import NAME as WORK
from lostbits.workers.work_folder import Work

GoalText = Annotated[
    str | None,
    typer.Option(
        "--goal",
        help="Stop when met: sqnr_db>=20, agreement>=0.95, accuracy_drop<=0.01, metric>=0.42, ...",
    ),
]
Methods = Annotated[
    str,
    typer.Option(
        "--methods",
        help="Recoveries to try, comma-separated; a minus sign before each leaves it out.",
    ),
]
Exports = Annotated[
    str, typer.Option("--export", help="Formats to export at the end; see lostbits export --help.")
]
Calibration = Annotated[
    str | None,
    typer.Option(
        help="Samples that set the ranges and train; --data then judges. Default: the last "
        "quarter of --data judges."
    ),
]
Evaluation = Annotated[str | None, typer.Option(hidden=True)]

InputsOf = Annotated[
    Inputs,
    typer.Option(
        help="Inputs for layer-wise learning: recovered (better, sequential) or float (parallel)."
    ),
]

Judging = Annotated[
    Path | None,
    typer.Option(help="Labels of --data, or what --metric takes: .npy, .npz or .txt."),
]

_WRITING, _LEAST = 2.0, 1.0  # seconds: of writing what was found; that a recovery has at least


def recover(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    model: Model,
    data: Data,
    out: Out,
    again: Again = None,
    force: Force = False,
    target: TargetName = "onnxruntime",
    arithmetic: ArithmeticName = None,
    goal: GoalText = None,
    budget: Annotated[str, typer.Option(help="Time for the whole run, e.g. 90s, 10m, 1h.")] = "10m",
    methods: Methods = "",
    calibration: Calibration = None,
    evaluation: Evaluation = None,
    labels: Judging = None,
    metric: Metric = None,
    samples: Annotated[
        int | None, typer.Option(min=8, help="Use only the first N samples.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    inputs: InputsOf = Inputs.RECOVERED,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    outputs: Outputs = [],  # noqa: B006
    mask_outputs: MaskOutputs = [],  # noqa: B006
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
    overlay: OverlayTo = None,
) -> None:
    """Recover accuracy: try fixes, keep those that help on held-out samples.

    Example: **lostbits recover net.onnx --data photos.npy --target snpe --out recovered**
    """
    began = time.monotonic() - time.process_time()  # loading the program takes time as well
    with guarded(out):
        until = Deadline(began + parsed(budget) - _WRITING)
        delivery = Delivery.of(formats, lang, quiet, json, overlay)
        chosen_exporters(listed(exports))
        output.check_writable(out)
        if not force:
            check_place(out, "recovery", model, target)
        announce = announcer(quiet=quiet)
        if evaluation is not None:  # as version 0.1 had it: the data taught, the evaluation judged
            data, calibration = evaluation, _only(calibration, data)
        pooled = pool_of(resources(workers, threads, ray, memory))
        with pooled as pool, progress_bars(quiet, seconds(budget)) as listener:
            given = partial(load, model, data, target, calibration=calibration, samples=samples)
            case = given(
                arithmetic=arithmetic,
                hold_out=calibration is None,
                overrides=settings,
                outputs=outputs,
                mask_outputs=mask_outputs,
                preprocess=preprocess,
                workers=pool,
                threads=threads,
                memory=memory,
                cache=Work(out / WORK, announce),
                announce=announce,
                progress=listener,
            )
            better = recovered(
                case,
                goal=goal,
                budget=max(until.left, _LEAST),
                methods=listed(methods),
                labels=labels,
                metric=metric,
                out=out,
                seed=seed,
                inputs=inputs,
                workers=pool,
                command=command_line(),
                progress=listener,
            )
        delivery(better.report, out, case)
        if not better.outcome.interrupted:
            _export(out, target, listed(exports), quiet=delivery.quiet)
    if better.outcome.interrupted:
        raise typer.Exit(130)
    if better.goal_met is False:
        raise typer.Exit(1)


def _export(out: Path, target: str, exports: Sequence[str], *, quiet: bool) -> None:
    """Formats at the end of a recovery, if any were named, from what it has kept."""
    if not exports:
        return
    done = export(load(out, target=_file(target)), exports, out / "export")
    if not quiet:
        show(done)


def _only(calibration: str | None, data: str) -> str:
    """The samples that teach, which only one option may name.

    Raises:
        CommandError: U006.
    """
    if calibration is None:
        return data
    raise CommandError("U006", "--evaluation", "--calibration beside it")


def _file(target: str) -> str | None:
    """A target from a file, which a saved plan cannot name."""
    return target if target.endswith(".toml") else None
