"""Arrays in files instead of memory.

A mapped file costs address space only: its pages come when they are read, and the system takes them
back when it needs the room. What counts against a bound is memory that has no file behind it.

The files have no name. They go when nobody reads their arrays any more, however the run ends.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import IO, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import OutputError

Array = NDArray[np.generic]
Kind = TypeVar("Kind", bound=np.generic)

# Arrays share files up to this size, because each mapping holds an open file and a process may have
# about a thousand; a file's room comes back when the last of its arrays is gone.
_CHUNK = 64 << 20


@final
@dataclass
class _Chunk:
    """A file that still has room."""

    memory: NDArray[np.uint8]
    used: int = 0

    @classmethod
    def of(cls, size: int) -> "_Chunk":
        """On a full disk this fails; a page that cannot be written later would end the process."""
        with tempfile.TemporaryFile(prefix="lostbits-") as file:
            _allocate(file, size)
            return cls(np.asarray(np.memmap(file, np.uint8, "r+")))

    def keep(self, array: NDArray[Kind]) -> NDArray[Kind]:
        room = self.memory[self.used : self.used + array.nbytes]
        self.used += array.nbytes + -array.nbytes % 64  # where vector instructions like to begin
        copy = room.view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy


def _allocate(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(min(size, 1 << 20))  # macOS and Windows have no room but for what is written
    for start in range(0, size, len(zeros) or 1):
        file.write(zeros[: size - start])
    file.flush()


_current: list[_Chunk] = []
_lock = Lock()


def spilled(array: NDArray[Kind]) -> NDArray[Kind]:
    """A copy of an array that has values, in a file.

    Raises:
        OutputError: O007 when the disk is full.
    """
    try:
        with _lock:
            if not _current or _current[0].used + array.nbytes > _current[0].memory.size:
                _current[:] = [_Chunk.of(max(array.nbytes, _CHUNK))]
            return _current[0].keep(array)
    except OSError as error:
        _current.clear()
        raise _full(error) from error


def spooled(write: Callable[[IO[bytes]], None]) -> memoryview:
    """What ``write`` writes into a file, at least a byte.

    Raises:
        OutputError: O007 when the disk is full.
    """
    try:
        with tempfile.TemporaryFile(prefix="lostbits-") as file:
            write(file)
            file.flush()
            return in_bytes(np.memmap(file, np.uint8, "r"))
    except OSError as error:
        raise _full(error) from error


def in_bytes(array: Array) -> memoryview:
    """The memory of an array, in the order of its axes."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _full(error: OSError) -> OutputError:
    return OutputError("O007", tempfile.gettempdir(), error.strerror or str(error))
