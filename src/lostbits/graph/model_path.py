"""A path that is given as a model, looked at before anything large is imported."""

from pathlib import Path

from lostbits.errors import ModelError, close_match, described
from lostbits.graph.invalid import wrong_kind
from lostbits.system.file_kind import kind_of
from lostbits.system.memory import excess


def check_path(path: Path) -> None:
    """Refuse what cannot be an ONNX file, by its name, its size and its first bytes.

    Raises:
        ModelError: M001 unless there is a regular file that memory can hold, M018 for another
            kind of file.
    """
    kind = None
    try:
        found = "" if path.is_file() else "a folder" if path.is_dir() else "no such file"
        found = found or excess(path.stat().st_size) or ""
        kind = kind_of(path) if not found else None
    except (OSError, ValueError) as error:  # a name too long, a folder without access
        found = described(error)
    if found:
        raise ModelError("M001", str(path), found, advice=_near(path))
    if kind is not None:
        raise wrong_kind(path, kind)


def _near(path: Path) -> str:
    try:
        beside = [p.name for p in path.parent.glob("*.onnx")]
        return close_match(path.name, beside) if beside else "check the path"
    except (OSError, ValueError):
        return "check the path"
