"""The verb ``export``: a case -> the files of platforms, with what each of them will not do.

Everything is rendered before anything is written, so that a plan that one format cannot hold
leaves no other format's files behind.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, float_model, onnx_files
from lostbits.exporters import Cache, exporter
from lostbits.exporters.tensorrt import parsed_version
from lostbits.language import Figure
from lostbits.results.facts import ExportedFile
from lostbits.target import Target
from lostbits.verbs.arguments import checked
from lostbits.verbs.device_scripts import scripts
from lostbits.verbs.origin import check_static, origin_of
from lostbits.verbs.output import replace_file
from lostbits.verbs.result_files import read, write

_QDQ = "qdq"
_MODEL = "model.onnx"


@final
@dataclass(frozen=True)
class Written:
    """One file; ``replaced`` tells that another content was there before."""

    path: Path
    sha256: str
    replaced: bool


@final
@dataclass(frozen=True)
class Exported:
    """What one format came to.

    Attributes:
        format: Name of the exporter.
        files: What was written.
        lint: What the platform would refuse, ignore or change.
        left_out: Tensors that it computes on its own or leaves in float, with reasons.
    """

    format: str
    files: tuple[Written, ...]
    lint: tuple[ExportError, ...]
    left_out: Mapping[str, Figure]

    def __repr__(self) -> str:
        files, remarks = len(self.files), len(self.lint)
        return f"<Exported to {self.format}: {files} files, {remarks} remarks>"

    @property
    def rows(self) -> list[ExportedFile]:
        """Entries of ``exports`` in result.json."""
        lint = [str(problem) for problem in self.lint]
        return [ExportedFile(self.format, str(f.path), f.sha256, lint) for f in self.files]


def chosen_exporters(
    formats: Sequence[str | Exporter], target: Target | None = None, tensorrt: str | None = None
) -> list[Exporter]:
    """The exporters that ``--to`` names; ``qdq`` stands for the variant of the target.

    Args:
        formats: Exporters, by name or made.
        target: Whose variant of ``qdq`` is meant.
        tensorrt: Version for the header of a calibration cache.

    Raises:
        ExportError: E016 for an unknown name, E021 for a version that is none.
    """
    variant = Target.qdq if target is None else target.qdq
    named = [exporter(variant if each == _QDQ else each) for each in formats]
    members = list({member.name: member for member in named}.values())
    if tensorrt is None:
        return members
    version = parsed_version(tensorrt)
    return [replace(m, version=version) if isinstance(m, Cache) else m for m in members]


@checked
def export(
    case: Case,
    formats: str | Exporter | Sequence[str | Exporter],
    out: str | Path,
    *,
    tensorrt: str | None = None,
) -> list[Exported]:
    """Write a case for platforms, each format into a folder of its name under ``out``.

    A format that names tensors, and holds no model, gets the float model that the names and the
    weights belong to: after a recovery it is not the user's any more. Beside the parameters of
    platforms that do not run here lies a script that converts, runs and dumps on them, with the
    first samples; ``verify`` reads what it dumps.

    Args:
        case: What is exported.
        formats: By name or made; see ``chosen_exporters``, for ``tensorrt`` as well.
        out: Folder for the folders.
        tensorrt: See ``formats``.

    Raises:
        ExportError: For what a format cannot hold.
        OutputError: O001.
    """
    origin = origin_of(case)
    check_static(case)
    names = [formats] if isinstance(formats, str | Exporter) else formats
    members = chosen_exporters(names, case.target, tensorrt)
    rendered = [(member, _complete(case, member, member.write(case))) for member in members]
    done = [_write(case, member, files, Path(out) / member.name) for member, files in rendered]
    if origin.folder is not None and os.path.isfile(origin.folder / "result.json"):
        _note(origin.folder, done)
    return done


def _complete(case: Case, member: Exporter, files: Files) -> Files:
    """The files with the model that they belong to, and with what runs them on the platform."""
    if not any(name.endswith(".onnx") for name in files):
        files = {**files, **onnx_files(_MODEL, float_model(case))}
    origin = origin_of(case)
    source = None if origin.data is None else origin.judged.source
    return {**files, **scripts(member.name, files, source)}


def _write(case: Case, member: Exporter, files: Files, folder: Path) -> Exported:
    written = []
    for name, content in files.items():
        path = folder / name
        replaced = path.is_file() and path.read_bytes() != content
        replace_file(path, content)
        written.append(Written(path, hashlib.sha256(content).hexdigest(), replaced))
    lint = tuple(member.lint(case))
    return Exported(member.name, tuple(written), lint, member.left_out(case))


def _note(folder: Path, done: Sequence[Exported]) -> None:
    """Put the files into result.json, in place of those of the same path."""
    result = read(folder)
    rows = [row for each in done for row in each.rows]
    paths = {row.path for row in rows}
    others = [row for row in result.exports if row.path not in paths]
    write(replace(result, exports=[*others, *rows]), folder, ["json"])
