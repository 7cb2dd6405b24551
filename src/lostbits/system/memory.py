"""Memory of this process: whether what is freed stays with it, and what it may take.

glibc takes every block above 32 MiB from the system and hands it back when it is freed, so each
large activation is paid for in page faults, page by page, every time. Measured on a feature map
of 9.6 million values: ``x * y`` into new memory 19 ms, into memory used before 5 ms. Where there is
a bound it is the other way round: what stays in pieces between blocks in use serves nobody.
"""

import ctypes
import functools
import os
import platform
from contextlib import suppress
from pathlib import Path

from lostbits.errors import WorkerError

# Names of settings in malloc.h, and values: blocks stay, where every thread finds them, or those of
# 1 MiB or more go back.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_KEPT = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
_RETURNED = ((_MMAP_MAX, 1 << 16), (_MMAP_THRESHOLD, 1 << 20), (_TRIM_THRESHOLD, 1 << 20))
_WAITING = 1 / 32  # part of the bound that one tensor of all samples may take while it waits
_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation")  # as torch and ONNX Runtime put it
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_limits: list[int] = []


def limit(most: int | None) -> None:
    """Let this process take so many bytes from now on; None for as many as there are.

    Best before it has begun a thread: memory of which each has some of its own goes back anyhow.
    """
    _limits[:] = [] if most is None else [most]
    _asked(_KEPT if most is None else _RETURNED)


def limited() -> int | None:
    """What this process may take, bytes; None for as many as there are."""
    return _limits[0] if _limits else None


def installed() -> int:
    """Memory of this machine, or of the container that this process runs in, bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
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
    return bool(_limits) and waiting > _limits[0] * _WAITING


def kept() -> bool:
    """Whether what is freed stays with the process, as glibc was asked; others are not."""
    return not _limits and _asked(_KEPT)


@functools.lru_cache(1)  # what was asked last holds
def _asked(settings: tuple[tuple[int, int], ...]) -> bool:
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
