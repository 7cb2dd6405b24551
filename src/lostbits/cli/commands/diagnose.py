"""``lostbits diagnose``."""

from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.commands.checks import BaselineOut, Junit, ended
from lostbits.cli.commands.delivery import Delivery, JsonTo, Lang, OverlayTo, Quiet
from lostbits.cli.commands.options import (
    Data,
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
from lostbits.cli.terminal import (
    Out,
    PreprocessFile,
    Samples,
    announcer,
    command_line,
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

TargetOrBest = Annotated[
    str | None,
    typer.Option(help="A name or a TOML file. Default: onnxruntime, or what fits --plan best."),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="Diagnose this quantized model or file of parameters as it is."),
]
Calibration = Annotated[
    str | None, typer.Option(help="Samples that set the ranges, if not those of --data.")
]
Of = Annotated[
    str | None,
    typer.Option(
        help="Attribute the error of one output or part, such as 'output0[4:]', or all. Default: "
        "the worst part where it is far below the whole."
    ),
]
Permutations = Annotated[
    int, typer.Option(min=2, help="Orders that the permutation method walks (even).")
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
    target: TargetOrBest = None,
    plan: PlanFile = None,
    calibration: Calibration = None,
    labels: Annotated[Path | None, typer.Option(help="Class numbers: .npy, .npz or .txt.")] = None,
    metric: MetricOr = "nsr",
    method: Annotated[str, typer.Option(help="auto, aumann-shapley or permutation.")] = "auto",
    of: Of = None,
    samples: Samples = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples a run.")] = 8,
    permutations: Permutations = 2,
    goal: Annotated[
        list[str], typer.Option(help="Exit status 1 unless met: agreement>=0.99, ... Repeatable.")
    ] = [],  # noqa: B006 - typer reads the default, nobody writes it
    junit: Junit = None,
    baseline_out: BaselineOut = None,
    seed: Annotated[int, typer.Option(help="Of random permutations.")] = 0,
    settings: Sets = [],  # noqa: B006 - typer reads the default, nobody writes it
    outputs: Outputs = [],  # noqa: B006
    mask_outputs: MaskOutputs = [],  # noqa: B006
    preprocess: PreprocessFile = None,
    workers: Workers = 1,
    threads: Threads = 0,
    memory: Memory = None,
    ray: RayAddress = None,
    out: Out = Path("lostbits-out"),
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
