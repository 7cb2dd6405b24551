"""``lostbits verify`` and ``lostbits backends``."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from lostbits.backends import MEMBERS as BACKENDS
from lostbits.case import Case
from lostbits.cli.commands.dumps import show_dumps
from lostbits.cli.terminal import (
    DATA_HELP,
    PreprocessFile,
    Samples,
    guarded,
    progress_bars,
    say,
)
from lostbits.errors import CommandError
from lostbits.reporter import finite
from lostbits.reporters.schema import plain
from lostbits.results.dumps import DumpVerification
from lostbits.results.verification import Verification
from lostbits.runtime.metrics import Baseline
from lostbits.system.streams import pour
from lostbits.system.text_lines import aligned
from lostbits.verbs.load import load
from lostbits.verbs.output import replace_file
from lostbits.verbs.quantized_file import is_quantized
from lostbits.verbs.verify import TOLERANCE_DB
from lostbits.verbs.verify import verify as verified

_SHOWN = 5


def verify(  # noqa: PLR0913, PLR0917 - one parameter per option of the command line
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|MODEL",
            help="Folder of recover, Q/DQ file, or float model (planned by the target's rules).",
        ),
    ],
    data: Annotated[str, typer.Option(help=DATA_HELP)],
    backend: Annotated[str | None, typer.Option(help=", ".join(BACKENDS.names))] = None,
    dumps: Annotated[
        Path | None,
        typer.Option(help="Tensors that a device has put out: a folder, or one file."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(help="Names of the dumps and of the model, two a line or as JSON."),
    ] = None,
    as_json: Annotated[
        str | None,
        typer.Option("--json", help="Write the result as JSON to a file, or - to print it."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="What a Q/DQ file was made from: folder of recover, or float model."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="Smallest allowed SQNR of the runtime against our simulation, in dB."),
    ] = TOLERANCE_DB,
    target: Annotated[str | None, typer.Option(help="Target for a float model.")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="Samples that set the ranges of a float model.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of --data: .npy, .npz or .txt.")
    ] = None,
    samples: Samples = None,
    preprocess: PreprocessFile = None,
) -> None:
    """Run the exported file on a real runtime; exit status 1 when it is out of tolerance.

    With --dumps, compare what a device has put out with the simulation, tensor by tensor; status 1
    when a tensor differs by itself.

    Example: **lostbits verify recovered --backend openvino --data photos.npy**
    """
    with guarded():
        if (backend is None) == (dumps is None):
            raise CommandError("U020", "verify", "both" if backend is not None else "neither")
        with progress_bars() as listener:
            case: Case | Path = source
            if os.path.isdir(source) or not is_quantized(source):
                own = None if os.path.isdir(source) else calibration or data
                case = load(
                    source, own, target, samples=samples, preprocess=preprocess, progress=listener
                )
            is_folder = against is not None and os.path.isdir(against)
            options: dict[str, Any] = {
                "against": load(against, None, target) if is_folder else against,
                "labels": labels,
                "tolerance": tolerance,
                "progress": listener,
                "samples": samples,
                "preprocess": preprocess,
                "dumps": dumps,
                "names": names,
            }
            found: Verification | DumpVerification
            found = verified(case, backend or "onnxruntime", data, **options)
        if as_json is not None:
            _write_json(found, as_json)
        if as_json != "-":
            show_dumps(found) if isinstance(found, DumpVerification) else _show(found)
    if not found.passed:
        raise typer.Exit(1)


def _write_json(found: Verification | DumpVerification, path: str) -> None:
    content = (json.dumps(finite(plain(found))[0], indent=1, allow_nan=False) + "\n").encode()
    if path == "-":
        pour(content)
    else:
        replace_file(Path(path), content)


def backends() -> None:
    """List the runtimes that verify can use, and whether they are installed.

    Example: **lostbits backends**
    """
    rows = [("name", "runtime", "runs", "installed")]
    for each in BACKENDS.all():
        found = f"yes, {each.version()}" if each.installed() else f"no: {_install(each.extra)}"
        rows.append((each.name, each.title, each.format, found))
    for line in aligned(rows):
        say(line)
    for name, error in BACKENDS.broken.items():
        say(f"{name}: broken: {error}", "yellow")


def _install(extra: str | None) -> str:
    return f"pip install 'lostbits[{extra}]'"


def _show(found: Verification) -> None:
    floats, executed = found.executed.float, found.executed
    say(f"{found.backend} {found.version}, {found.samples} samples", "bold")
    say(
        f"against our simulation: {_figure(found.sqnr_db_vs_simulation, '{:.1f} dB', 'equal')}, "
        f"largest difference {found.max_abs:.3g}"
    )
    if (kernels := found.kernels) is not None:
        distance = _figure(kernels.sqnr_db, "{:.1f} dB", "equal")
        count = f"{kernels.tensors_equal} of {found.tensors_compared} tensors equal"
        say(f"against our simulation in the runtime's integer arithmetic: {distance}, {count}")
        if kernels.first_deviation is not None:
            say(f"  first deviation there: {kernels.first_deviation.text}")
    for name, figures in (
        ("the runtime", found.vs_float),
        ("our simulation", found.simulation_vs_float),
    ):
        say(f"{name} against float: {_figures(figures)}")
    say(f"{executed.integer} nodes ran in integer, {len(floats)} in {found.precision}")
    for each in floats[:_SHOWN]:
        say(f"  {each.op} in {each.precision}: {', '.join(each.nodes)}")
    if floats[_SHOWN:]:
        say(f"  ... and {len(floats) - _SHOWN} more")
    _show_deviations(found)
    verdict = "passed" if found.passed else "FAILED"
    say(f"{verdict}: tolerance {found.tolerance_db:g} dB", "green" if found.passed else "red")


def _figures(figures: Baseline) -> str:
    parts = [_figure(figures.sqnr_db, "{:.1f} dB", "equal")]
    if figures.agreement is not None:
        parts.append(f"agreement {figures.agreement:.1%}")
    if figures.accuracy_quantized is not None:
        shares = figures.accuracy_quantized, figures.accuracy_float
        parts.append("accuracy {:.1%} (float {:.1%})".format(*shares))
    return ", ".join(parts)


def _figure(value: float | None, form: str, none: str) -> str:
    return none if value is None else form.format(value)


def _show_deviations(found: Verification) -> None:
    for defect in found.defects:
        say(f"not as planned: {defect.tensor}: {defect.text}", "red")
    first, own = found.first_deviation, found.first_own_deviation
    compared = f"{found.tensors_compared} tensors compared"
    if first is None:
        say(f"{compared}: none is more than one code off")
    else:
        say(f"{compared}; first deviation: {first.text}")
    if own is not None and own != first:
        say(f"first layer that differs by itself: {own.text}")
    if found.tensors_hidden:
        say(f"{found.tensors_hidden} tensors cannot be seen: asking for them changes the run")
