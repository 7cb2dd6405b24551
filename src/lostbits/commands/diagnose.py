"""``lostbits diagnose``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lostbits import api
from lostbits.commands.delivery import Delivery, JsonTo, Lang, Quiet
from lostbits.commands.options import (
    Data,
    Formats,
    Model,
    RayAddress,
    Sets,
    Threads,
    Workers,
    settings_of,
)
from lostbits.diagnoses.settings import check_method
from lostbits.language import Language
from lostbits.runtime.measure import METRICS
from lostbits.runtime.pool import Resources
from lostbits.terminal import (
    Out,
    PreprocessFile,
    Samples,
    guarded,
    progress_bars,
)

PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="Diagnose this quantized model or file of parameters as it is."),
]


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
    workers: Workers = 1,
    threads: Threads = 0,
    ray: RayAddress = None,
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
        resources = Resources(workers, threads, ray)
        chosen = replace(
            settings_of(labels, samples, settings, preprocess, resources),
            calibration=calibration,
            metric=metric,
            method=check_method(method),
            batch=batch,
            permutations=permutations,
            seed=seed,
            plan=plan,
        )
        with progress_bars(quiet) as listener:
            result = api.diagnose(model, data, target, chosen, listener)
        delivery(result, out)
