"""The dump formats, and a folder of dumps as one list of tensors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lostbits.dump import DumpFormat, Stored
from lostbits.dumps.numpy import NumpyArrays
from lostbits.dumps.onnxruntime import OnnxTensors
from lostbits.dumps.polygraphy import Polygraphy
from lostbits.dumps.raw import Raw
from lostbits.dumps.rknn import Rknn
from lostbits.dumps.tidl import Tidl
from lostbits.dumps.trtexec import Trtexec
from lostbits.errors import DumpError
from lostbits.members import Members

# Those that are known by a table or by the form of their names come before those by suffix.
ALL: tuple[DumpFormat, ...] = (
    Tidl(),
    Rknn(),
    Polygraphy(),
    Trtexec(),
    OnnxTensors(),
    NumpyArrays(),
    Raw(),
)


def _unknown(name: str, advice: str) -> DumpError:
    return DumpError("V001.name", f"dump format {name!r}", "no such format", advice=advice)


MEMBERS: Members[DumpFormat] = Members("lostbits.dumps", DumpFormat, ALL, _unknown)


def stored_in(path: Path, problems: list[DumpError]) -> tuple[list[Stored], list[DumpFormat]]:
    """The tensors in a folder, or in one file, and the formats that they have.

    Args:
        path: A folder with whatever a device has put out, or one file of it.
        problems: Takes files that cannot be read; the others are still worth a comparison.

    Raises:
        DumpError: V001 where there is no such path, or nothing in it that a format takes.
    """
    files = _files(path)
    root = path if path.is_dir() else path.parent
    tensors, formats = list[Stored](), list[DumpFormat]()
    for kind in MEMBERS.all():
        mine = kind.takes(files)
        files = [f for f in files if f not in set(mine)]
        tensors += _read(kind, root, mine, problems)
        formats += [kind] if mine else []
        if kind.name == Rknn.name and mine:  # the float network beside it is no device's
            files = [f for f in files if f.suffix.lower() not in {".npy", ".txt", ".tensor"}]
    if not tensors:
        found = f"{len(problems)} files that cannot be read" if problems else "no such file"
        titles = ", ".join(kind.title for kind in MEMBERS.all())
        raise DumpError("V001.content", str(path), found, formats=titles)
    return tensors, formats


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DumpError("V001.path", str(path), "it does not exist")
    return sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]


def _read(
    kind: DumpFormat, root: Path, files: Sequence[Path], problems: list[DumpError]
) -> Iterator[Stored]:
    for file in files:
        try:
            yield from kind.read(root, file)
        except DumpError as error:
            problems.append(error)


__all__ = ["ALL", "MEMBERS", "stored_in"]
