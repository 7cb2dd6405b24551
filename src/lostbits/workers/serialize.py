"""A job in a form that can travel, and the files that hold it on one machine.

What a worker imports before its first job is here and in ``runtime.worker``: it is little, so that
a worker starts in the time that Python takes. The job then brings what it needs.
"""

import mmap
import os
import pickle
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import OutputError, WorkerError

_PACKAGES = ("lostbits", "numpy", "onnxruntime", "torch")  # what the figures depend on


@final
@dataclass(frozen=True)
class Serialized:
    """A job in a form that can travel.

    Attributes:
        versions: Of what packed it.
        content: The pickled job without its large arrays.
        arrays: Those, as buffers of bytes.
    """

    versions: str
    content: bytes
    arrays: Sequence[NDArray[np.uint8]]


@cache
def versions() -> str:
    """Python, this package and the ones that compute, as text."""
    python = ".".join(map(str, sys.version_info[:2]))
    return ", ".join([f"python {python}", *(f"{name} {version(name)}" for name in _PACKAGES)])


def serialize(value: object) -> Serialized:
    """Anything that can be pickled, its large arrays beside it."""
    arrays: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, 5, buffer_callback=arrays.append)
    return Serialized(versions(), content, [np.asarray(buffer.raw()) for buffer in arrays])


def deserialize(serialized: Serialized) -> Any:
    """The value; its arrays stay where they are."""
    return pickle.loads(serialized.content, buffers=serialized.arrays)


def stored(serialized: Serialized, folder: Path) -> None:
    """Write it into files, the arrays into one that every process maps into memory.

    Raises:
        OutputError: O005 when there is no room for them.
    """
    try:
        _write(serialized, folder)
    except OSError as error:
        raise OutputError("O005", str(folder.parent), error.strerror or str(error)) from error


def _write(serialized: Serialized, folder: Path) -> None:
    folder.mkdir(mode=0o700)  # inside a folder of this user alone
    sizes = [array.nbytes for array in serialized.arrays]
    with (folder / "arrays").open("wb") as file:
        for array in serialized.arrays:
            array.tofile(file)
            file.write(b"\0" * (-array.nbytes % mmap.PAGESIZE))
    with (folder / "job").open("wb") as file:
        pickle.dump((serialized.versions, serialized.content, sizes), file, 5)


def loaded(folder: Path) -> Serialized:
    """What was stored. A page of an array is shared until somebody writes to it.

    Raises:
        WorkerError: W011 when the folder belongs to another user, or others may write there.
    """
    _check_private(folder)
    versions, content, sizes = pickle.loads((folder / "job").read_bytes())
    if not sum(sizes):
        return Serialized(versions, content, [np.zeros(0, np.uint8) for _ in sizes])
    whole = np.memmap(folder / "arrays", np.uint8, mode="c")
    starts = np.cumsum([0, *(size + -size % mmap.PAGESIZE for size in sizes)])
    arrays = [whole[start : start + size] for start, size in zip(starts, sizes, strict=False)]
    return Serialized(versions, content, arrays)


def _check_private(folder: Path) -> None:
    """What is unpickled can do anything, so it has to be what a process of this user has packed."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _of_this_user_alone(found):
        raise WorkerError(
            "W011", str(folder), f"mode {stat.filemode(found.st_mode)}, user {found.st_uid}"
        )


def _of_this_user_alone(found: os.stat_result) -> bool:
    """Windows has neither owners nor modes here; its temporary folders are the user's own."""
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077
