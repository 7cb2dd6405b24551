"""Files and folders that hold no samples, told apart so that each gets the advice that helps."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lostbits.errors import DataError
from lostbits.language import say
from lostbits.system.file_kind import kind_of

# Kinds with advice of their own; of the others it is said which endings are read.
_OWN = frozenset(
    {"gif", "tiff", "heic", "video", "image", "lfs", "html", "empty", "pytorch", "archive"}
)
_MODELS = frozenset({"tflite", "ort", "rknn", "engine", "ncnn", "openvino", "dlc", "safetensors"})
_READ = frozenset({".npy", ".npz"})
_HIDDEN = frozenset({"thumbs.db", "desktop.ini"})  # what systems leave in folders of pictures


def check_kind(path: Path) -> None:
    """Refuse a file whose first bytes say that it holds no samples.

    Raises:
        DataError: D003.
    """
    kind, ending = _kind(path), path.suffix.lower()
    if (ending not in _READ and kind == "empty") or (ending == ".npz" and kind == "archive"):
        return  # the ending says more
    if kind in _MODELS or ending == ".onnx":
        kind = "model"
    if kind == "model" or kind in _OWN:
        raise DataError(f"D003.{kind}", str(path), say(f"file_kind.{kind}"))


def no_samples(folder: Path, files: Sequence[Path]) -> DataError:
    """D003 or D004: what lies in a folder in place of samples."""
    shown = _shown(files)
    folders = [path for path in shown if path.is_dir()]
    if folders and any(_holds_files(path) for path in folders):
        found = f"{len(folders)} folders in it, as {folders[0].name!r}"
        return DataError("D004.classes", str(folder), found)
    if not shown:
        return DataError("D004.folder", str(folder), "it is empty")
    first = next((path for path in shown if _kind(path) in _OWN), shown[0])
    kind, count = _kind(first), len(shown)
    if kind in _OWN and kind != "image":
        what = say(f"file_kind.{kind}")
        return DataError(f"D003.{kind}", str(folder), f"{count} others, as {first.name!r}, {what}")
    return DataError("D004.folder", str(folder), f"{count} others, as {first.name!r}")


def skipped(others: Sequence[Path]) -> str:
    """How many files of a folder are no samples, by how their names end; nothing where none are.

    >>> skipped([Path("a.gif"), Path("b.mp4"), Path("c.GIF"), Path(".DS_Store")])
    '2 .gif, 1 .mp4'
    """
    counts = Counter("folder" if p.is_dir() else p.suffix.lower() or p.name for p in _shown(others))
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def _shown(files: Sequence[Path]) -> list[Path]:
    return [p for p in files if not p.name.startswith(".") and p.name.lower() not in _HIDDEN]


def _kind(path: Path) -> str | None:
    with suppress(OSError, ValueError):
        return kind_of(path)
    return None


def _holds_files(folder: Path) -> bool:
    with suppress(OSError):
        return any(path.is_file() for path in folder.iterdir())
    return False
