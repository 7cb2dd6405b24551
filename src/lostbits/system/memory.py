"""Memory of this process: whether what is freed stays with it, and what it may take.

glibc takes every block above 32 MiB from the system and hands it back when it is freed, so each
large activation is paid for in page faults, page by page, every time. Measured on a feature map
of 9.6 million values: ``x * y`` into new memory 19 ms, into memory used before 5 ms. Where there is
a bound it is the other way round: what stays in pieces between blocks in use serves nobody.
"""

import ctypes
import functools
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import psutil

from lostbits.errors import WorkerError

# Names of settings in malloc.h, and values: blocks stay, where every thread finds them, or those of
# 1 MiB or more go back.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_KEPT = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
_RETURNED = ((_MMAP_MAX, 1 << 16), (_MMAP_THRESHOLD, 1 << 20), (_TRIM_THRESHOLD, 1 << 20))
_WAITING = 1 / 32  # part of the bound that one tensor of all samples may take while it waits
_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation")  # as torch and ONNX Runtime put it
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_bound: ContextVar[int | None] = ContextVar("bound", default=None)
_asked: list[bool] = []  # of this process, last: whether what is freed shall stay, and does


@contextmanager
def bounded(most: int | None) -> Iterator[None]:
    """Let what this thread does within take so many bytes; None for as many as there are.

    No system enforces it: batches follow from it, and sizes are asked about before they are taken.
    """
    token = _bound.set(most)
    try:
        yield
    finally:
        _bound.reset(token)


def limited() -> int | None:
    """What may be taken here, bytes; None for as many as there are."""
    return _bound.get()


def set_allocator(most: int | None) -> None:
    """Ask glibc to keep what is freed, or with a bound to return it; other allocators are not.

    It holds for the whole process and cannot be put back, so for one that is ours alone. Best
    before it has begun a thread: memory of which each has some of its own goes back anyhow.
    """
    done = _set(_KEPT if most is None else _RETURNED)
    _asked[:] = [done and most is None]


def installed() -> int:
    """Memory of this machine, or of the container that this process runs in, bytes."""
    whole = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # no such file, or "max"
        return min(whole, int(_CONTAINER.read_text()))
    return whole


def excess(needed: int) -> str | None:
    """What to say of a need, bytes, that is above what this process may take; else None.

    To be asked before the memory is taken, wherever a size comes from a file.

    >>> excess(1)
    """
    most = limited() or installed()
    if needed <= most:
        return None
    return f"{_readable(needed)} are needed, {_readable(most)} may be taken"


def _readable(size: int) -> str:
    """Bytes with a unit.

    >>> _readable(3 << 29)
    '1.5 GiB'
    """
    if size < 1 << 30:
        return f"{size / (1 << 20):.1f} MiB"
    whole, rest = divmod(size, 1 << 30)  # integers: a file may claim more than a float can hold
    return f"{whole:,}.{10 * rest >> 30} GiB" if size < 1 << 80 else "more than 2^80 bytes"


def too_large(waiting: int) -> bool:
    """Whether what waits of one tensor, bytes, had better wait in a file: some wait at a time."""
    most = limited()
    return most is not None and waiting > most * _WAITING


def keeps_freed() -> bool:
    """Whether what is freed stays with this process, because ``set_allocator`` has asked for it."""
    return limited() is None and any(_asked)


@functools.lru_cache(1)  # what was asked last holds
def _set(settings: tuple[tuple[int, int], ...]) -> bool:
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([bool(mallopt(*setting)) for setting in settings])


def lacks_memory(error: Exception) -> bool:
    """Whether a library has said that there is no memory left."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def out_of_memory(found: str) -> WorkerError:
    """W001."""
    return WorkerError("W001", "worker", found)
