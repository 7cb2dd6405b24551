"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.terminal import DATA_HELP
from lostbits.system.memory import set_allocator
from lostbits.workers.pool import Resources, size

Model = Annotated[Path, typer.Argument(help="Float ONNX file.")]
Data = Annotated[str, typer.Option(help=DATA_HELP)]
Again = Annotated[
    Path | None,
    typer.Option(
        "--again",
        help="Take model, data and settings from the command whose result lies in this folder.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Write over a result of another kind in the folder.")
]
TargetName = Annotated[
    str,
    typer.Option(
        "--target",
        help="Platform whose quantizer is simulated: see lostbits targets; or a TOML file.",
    ),
]
Formats = Annotated[
    str, typer.Option("--format", help="Reports, comma-separated: console, json, html.")
]
ArithmeticName = Annotated[
    str | None,
    typer.Option(
        "--arithmetic",
        help="How the target's kernels compute: x86-vnni, x86-avx2, arm-dot, arm, openvino, htp, "
        "tflite, cnnl, or a TOML file. Default: sums as wide as they need.",
    ),
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Try a setting on one tensor: float, per_channel, asymmetric, unsigned, 16bit, or a "
        "range method; for what a Concat makes also own_scales or split. Repeatable.",
    ),
]
Outputs = Annotated[
    list[str],
    typer.Option(
        "--outputs",
        help="What an output means: classes, sequence, embedding, image, detections or other; "
        "or a TOML file. Repeatable.",
    ),
]
MaskOutputs = Annotated[
    list[str],
    typer.Option(
        "--mask-output",
        help="Input that says which positions of an output count (a mask or lengths); "
        "NAME=!INPUT where zeros count. Repeatable.",
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What counts, higher is better: a name (see lostbits methods), or "
        "package.module:function for (outputs, samples, labels) -> float."
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes; the results are the same.")]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads per process; 0 divides the cores among them.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Ray cluster to use; without an address, one is started on this machine.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory limit per process, e.g. 4GiB. Lower limits mean smaller batches and "
        "temporary files.",
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
