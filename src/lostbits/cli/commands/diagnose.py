"""``lostbits diagnose``."""

from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.commands.checks import BaselineOut, Junit, ended
from lostbits.cli.commands.delivery import Delivery, JsonTo, OverlayTo, Quiet
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.commands.options import (
    Again,
    ArithmeticName,
    Data,
    Force,
    Formats,
    MaskOutputs,
    Memory,
    Model,
    Outputs,
    RayAddress,
    Sets,
    Threads,
    Workers,
)
from lostbits.cli.commands.sharing import sharing
from lostbits.cli.spoken import command_line
from lostbits.cli.terminal import (
    Out,
    PreprocessFile,
    Samples,
    announcer,
    guarded,
    say,
)
from lostbits.diagnoses.side_figures import side_of_diagnosis
from lostbits.language import Language
from lostbits.runtime.goal import Goal
from lostbits.runtime.metrics import METRICS
from lostbits.verbs import output
from lostbits.verbs.baseline_file import write_baseline
from lostbits.verbs.diagnose import diagnose as diagnosed
from lostbits.verbs.load import load
from lostbits.verbs.result_kind import check_place

TargetOrBest = Annotated[
    str | None,
    typer.Option(
        help="Platform (see lostbits targets) or TOML file. Default: onnxruntime, or what fits "
        "--plan best."
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="Quantized model or file of parameters to diagnose as it is."),
]
Calibration = Annotated[
    str | None, typer.Option(help="Samples that set the ranges. Default: --data.")
]
Of = Annotated[
    str | None,
    typer.Option(
        help="Attribute the error of one output or part, such as 'output0[4:]', or all. Default: "
        "the worst part where it is far below the whole."
    ),
]
Permutations = Annotated[
    int, typer.Option(min=2, help="Orders for the permutation method (an even number).")
]

MetricOr = Annotated[
    str,
    typer.Option(
        help=f"What is attributed: {' or '.join(METRICS)}; or what decides, see recover --metric."
    ),
]


def diagnose(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    model: Model,
    data: Data,
    again: Again = None,
    target: TargetOrBest = None,
    arithmetic: ArithmeticName = None,
    plan: PlanFile = None,
    calibration: Calibration = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of --data: .npy, .npz or .txt.")
    ] = None,
    metric: MetricOr = "nsr",
    method: Annotated[
        str, typer.Option(help="Attribution method: auto, aumann-shapley or permutation.")
    ] = "auto",
    of: Of = None,
    samples: Samples = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples per run.")] = 8,
    permutations: Permutations = 2,
    goal: Annotated[
        list[str], typer.Option(help="Exit status 1 unless met, e.g. agreement>=0.99. Repeatable.")
    ] = [],  # noqa: B006 - typer reads the default, nobody writes it
    junit: Junit = None,
    baseline_out: BaselineOut = None,
    seed: Annotated[int, typer.Option(help="Seed of random permutations.")] = 0,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    outputs: Outputs = [],  # noqa: B006
    mask_outputs: MaskOutputs = [],  # noqa: B006
    preprocess: PreprocessFile = None,
    workers: Workers = 1,
    threads: Threads = 0,
    memory: Memory = None,
    ray: RayAddress = None,
    out: Out = Path("lostbits-out"),
    force: Force = False,
    formats: Formats = "console,json,html",
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
    overlay: OverlayTo = None,
) -> None:
    """Explain where, why and how much accuracy a target's quantizer loses.

    Example: **lostbits diagnose net.onnx --data photos.npy --target snpe**

    Another tool's: **lostbits diagnose net.onnx --data photos.npy --plan net_int8.onnx**

    For a program: **lostbits diagnose net.onnx --data photos.npy --quiet --json -**
    """
    with guarded(out):
        delivery = Delivery.of(formats, lang, quiet, json, overlay)
        output.check_writable(out)
        if not force:
            check_place(out, "diagnosis", model, target)
        for text in goal:
            Goal.parse(text)
        for file in (junit, baseline_out):
            if file is not None:
                output.check_replaceable(file)
        used = (workers, threads, ray, memory)
        with output.resumable(out, announcer(quiet=quiet)) as work:
            with sharing(used, work, quiet=quiet) as shared:
                case = load(
                    model,
                    data,
                    target,
                    arithmetic=arithmetic,
                    plan=plan,
                    calibration=calibration,
                    samples=samples,
                    batch=batch,
                    overrides=settings,
                    outputs=outputs,
                    mask_outputs=mask_outputs,
                    preprocess=preprocess,
                    **shared,
                )
                found = diagnosed(
                    case,
                    labels=labels,
                    goal=goal,
                    metric=metric,
                    method=method,
                    of=of,
                    permutations=permutations,
                    seed=seed,
                    workers=shared["workers"],
                    command=command_line(),
                    progress=shared["progress"],
                )
            delivery(found, out, case)
            if baseline_out is not None:
                write_baseline(side_of_diagnosis(found), baseline_out)
    for check in () if delivery.quiet else found.checks:
        say(str(check.text), "green" if check.met else "bold red")
    ended(found.checks, junit, "lostbits diagnose")
