"""The verb ``export``: a case -> the files of platforms, with what each of them will not do.

Everything is rendered before anything is written, so that a plan that one format cannot hold
leaves no other format's files behind.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from lostbits.api import build_case
from lostbits.case import Case
from lostbits.diagnoses.settings import Settings
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, float_model, serialized
from lostbits.exporters import Cache, exporter
from lostbits.exporters.tensorrt import parsed_version
from lostbits.results import read, replace_file, write
from lostbits.runtime.progress import Progress, silent
from lostbits.store import holds_case, load_case
from lostbits.target import Target
from lostbits.targets import target as find_target

_QDQ = "qdq"
_VARIANTS = {
    "openvino": "qdq-openvino",
    "tensorrt": "qdq-tensorrt",
    "qnn-htp": "qdq-qnn",
}
_WIDEST = "qdq-onnxruntime"  # takes every plan; the variant of all other targets
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
    left_out: Mapping[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """Entries of ``exports`` in result.json."""
        lint = [str(problem) for problem in self.lint]
        return [
            {"format": self.format, "path": str(f.path), "sha256": f.sha256, "lint": lint}
            for f in self.files
        ]


@final
@dataclass(frozen=True)
class Origin:
    """Where a case comes from: a folder of ``recover``, or a float model with samples.

    Attributes:
        path: Folder or model.
        data: Samples that set the ranges of a model; a folder has its plan.
        target: Name or file; a folder needs it only if the recovery's was a file.
        settings: Of the calibration.
    """

    path: Path
    data: object = None
    target: str | None = None
    settings: Settings = field(default_factory=Settings)

    def case(self, progress: Progress = silent) -> Case:
        """Load or plan it.

        Raises:
            ExportError: E020 for a model without samples.
            LostbitsError: Whatever is wrong with folder, model, samples or target.
        """
        if self.path.is_dir():
            return load_case(self.path, self._target(None))
        if self.data is None:
            raise ExportError("E020", str(self.path), "a model alone")
        chosen = self._target("onnxruntime")
        assert chosen is not None
        return build_case(self.path, self.data, chosen, self.settings, progress)[2]

    def _target(self, default: str | None) -> Target | None:
        name = self.target or default
        return None if name is None else find_target(name)


def chosen_exporters(
    names: Sequence[str], target: Target | None = None, tensorrt: str | None = None
) -> list[Exporter]:
    """The exporters that ``--to`` names; ``qdq`` stands for the variant of the target.

    Args:
        names: Of formats.
        target: Whose variant of ``qdq`` is meant.
        tensorrt: Version for the header of a calibration cache.

    Raises:
        ExportError: E016 for an unknown name, E021 for a version that is none.
    """
    variant = _WIDEST if target is None else _VARIANTS.get(target.name, _WIDEST)
    members = [exporter(variant if name == _QDQ else name) for name in dict.fromkeys(names)]
    if tensorrt is None:
        return members
    version = parsed_version(tensorrt)
    return [replace(m, version=version) if isinstance(m, Cache) else m for m in members]


def export(
    origin: Origin,
    formats: Sequence[str],
    out: Path,
    progress: Progress = silent,
    tensorrt: str | None = None,
) -> list[Exported]:
    """Write a case for platforms, each format into a folder of its name under ``out``.

    A format that names tensors, and holds no model, gets the float model that the names and the
    weights belong to: after a recovery it is not the user's any more.

    Args:
        origin: What is exported.
        formats: Names; see ``chosen_exporters``, for ``tensorrt`` as well.
        out: Folder for the folders.
        progress: Told after every batch of a calibration.
        tensorrt: See ``formats``.

    Raises:
        LostbitsError: ExportError for what a format cannot hold; else see ``Origin.case``.
    """
    chosen_exporters(formats, None, tensorrt)  # a misspelt name should not cost a calibration
    case = origin.case(progress)
    members = chosen_exporters(formats, case.target, tensorrt)
    rendered = [(member, _complete(case, member.write(case))) for member in members]
    done = [_write(case, member, files, out / member.name) for member, files in rendered]
    if (origin.path / "result.json").is_file() and holds_case(origin.path):
        _note(origin.path, done)
    return done


def _complete(case: Case, files: Files) -> Files:
    if any(name.endswith(".onnx") for name in files):
        return files
    return {**files, _MODEL: serialized(float_model(case))}


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
    rows = [row for each in done for row in each.rows()]
    paths = {row["path"] for row in rows}
    result["exports"] = [r for r in result["exports"] if r["path"] not in paths] + rows
    write(result, folder, ["json"])
