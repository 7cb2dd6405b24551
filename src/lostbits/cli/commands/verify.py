"""``lostbits verify`` and ``lostbits backends``."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from lostbits.backend import Backend
from lostbits.backends import MEMBERS as BACKENDS
from lostbits.case import Case
from lostbits.cli.commands.dumps import show_dumps
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.terminal import (
    DATA_HELP,
    PreprocessFile,
    Samples,
    guarded,
    progress_bars,
    say,
    told,
    word,
)
from lostbits.errors import CommandError
from lostbits.language import Language, Message, listed
from lostbits.language import say as words
from lostbits.reporter import finite
from lostbits.reporters.schema import plain
from lostbits.results.dumps import DumpVerification
from lostbits.results.verification import KernelsReport, Verification
from lostbits.runtime.metrics import Baseline
from lostbits.system.streams import pour
from lostbits.system.text_lines import glossary
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
    lang: Lang = Language.ENGLISH,
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


def backends(lang: Lang = Language.ENGLISH) -> None:
    """List the runtimes that verify can use, and whether they are installed.

    Example: **lostbits backends**
    """
    for line in glossary([(each.name, _about(each)) for each in BACKENDS.all()]):
        say(line)
    for name, error in BACKENDS.broken.items():
        say(f"{name}: broken: {error}", "yellow")


def _about(backend: Backend) -> str:
    if backend.installed():
        state = word("list.installed", version=backend.version())
    else:
        state = word("list.not_installed", command=f"pip install 'lostbits[{backend.extra}]'")
    return word("list.backend", title=told(backend.title), format=backend.format, state=state)


def _show(found: Verification) -> None:
    about = {"backend": found.backend, "version": found.version, "samples": str(found.samples)}
    say(words("verified.head", **about), "bold")
    for note in found.notes:
        say(note, "yellow")
    distance, most = _noise(found.sqnr_db_vs_simulation), f"{found.max_abs:.3g}"
    say(words("verified.simulation", distance=distance, most=most))
    if found.kernels is not None:
        _show_kernels(found.kernels, found.tensors_compared)
    for code, figures in (
        ("verified.runtime", found.vs_float),
        ("verified.simulated", found.simulation_vs_float),
    ):
        say(words(code, figures=_figures(figures)))
    _show_nodes(found)
    _show_deviations(found)
    code, style = ("passed", "green") if found.passed else ("failed", "red")
    say(words(f"verified.{code}", tolerance=f"{found.tolerance_db:g}"), style)


def _show_kernels(kernels: KernelsReport, compared: int) -> None:
    counts = {"equal": str(kernels.tensors_equal), "all": str(compared)}
    say(words("verified.kernels", distance=_noise(kernels.sqnr_db), **counts))
    if kernels.first_deviation is not None:
        say(words("verified.kernels_first", text=kernels.first_deviation.text))


def _show_nodes(found: Verification) -> None:
    """How the runtime ran them; those in float by op."""
    floats, integer = found.executed.float, str(found.executed.integer)
    counts = {"integer": integer, "float": str(len(floats)), "precision": found.precision}
    say(words("verified.nodes", **counts))
    for each in floats[:_SHOWN]:
        about = {"op": each.op, "precision": each.precision, "nodes": ", ".join(each.nodes)}
        code, more = ("node", {}) if each.why is None else ("node_why", {"why": each.why})
        say(words(f"verified.{code}", **about, **more))
    if floats[_SHOWN:]:
        say(words("verified.more", count=str(len(floats) - _SHOWN)))


def _figures(figures: Baseline) -> Message:
    parts = [_noise(figures.sqnr_db)]
    if figures.agreement is not None:
        parts.append(words("verified.agreement", share=f"{figures.agreement:.1%}"))
    if figures.accuracy_quantized is not None:
        shares = f"{figures.accuracy_quantized:.1%}", f"{figures.accuracy_float:.1%}"
        parts.append(words("verified.accuracy", share=shares[0], float=shares[1]))
    return listed(parts)


def _noise(value: float | None) -> Message:
    return words("verified.equal") if value is None else words("verified.db", value=f"{value:.1f}")


def _show_deviations(found: Verification) -> None:
    for defect in found.defects:
        say(words("verified.defect", tensor=defect.tensor, text=defect.text), "red")
    first, own, count = found.first_deviation, found.first_own_deviation, found.tensors_compared
    if first is None:
        say(words("verified.none", count=str(count)))
    else:
        say(words("verified.first", count=str(count), text=first.text))
    if own is not None and own != first:
        say(words("verified.own", text=own.text))
    if found.tensors_hidden:
        say(words("verified.hidden", count=str(found.tensors_hidden)))
