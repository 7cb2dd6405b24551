"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.terminal import DATA_HELP
from lostbits.system.memory import set_allocator
from lostbits.workers.pool import Resources, size

Model = Annotated[Path, typer.Argument(help="ONNX file (float32, opset 11 to 23).")]
Data = Annotated[str, typer.Option(help=DATA_HELP)]
TargetName = Annotated[
    str, typer.Option("--target", help="A target's name, or the path of a TOML file.")
]
ArithmeticName = Annotated[
    str | None,
    typer.Option(
        "--arithmetic",
        help="How the target's kernels compute: x86-vnni, x86-avx2, arm-dot, arm, openvino, htp, "
        "tflite, cnnl, or a TOML file. Default: sums as wide as they need.",
    ),
]
Formats = Annotated[str, typer.Option("--format", help="Comma-separated: console, json, html.")]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="TENSOR=SETTING tries a remedy on one tensor: float, per_channel, asymmetric, "
        "unsigned, 16bit, or a range method; of what a Concat makes also own_scales or split. "
        "Repeatable.",
    ),
]
Outputs = Annotated[
    list[str],
    typer.Option(
        "--outputs",
        help="NAME=KIND says what an output means: classes, sequence, embedding, image, detections "
        "or other; or the path of a TOML file. Repeatable.",
    ),
]
MaskOutputs = Annotated[
    list[str],
    typer.Option(
        "--mask-output",
        help="NAME=INPUT: the input that says which positions of an output count, a mask or "
        "lengths; NAME=!INPUT where zeros count. Repeatable.",
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What counts, higher is better: a name (see methods), or package.module:function "
        "for (outputs, samples, labels) -> float."
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes that share the work; results are the same.")
]
Threads = Annotated[
    int, typer.Option(min=0, help="Of each process; 0 divides the cores among them.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Share the work over a Ray cluster; without an address, one is started here.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="That each process may take, such as 4GiB: smaller batches, and values in files.",
    ),
]


def resources(workers: int, threads: int, ray: str | None, memory: str | None) -> Resources:
    """What these options let a run use; the process, which is the command's own, is told as well.

    Raises:
        WorkerError: W007, W008; see ``Resources`` and ``size``.
        TargetError: T017.
    """
    given = Resources(workers, threads, ray, size(memory))
    if given.memory is not None:
        set_allocator(given.memory)
    return given
