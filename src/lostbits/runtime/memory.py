"""Memory that is freed stays with the process, for the next tensor of the same batch.

glibc takes every block above 32 MiB from the system and hands it back when it is freed, so each
large activation is paid for in page faults, page by page, every time. Measured on a feature map
of 9.6 million values: ``x * y`` into new memory 19 ms, into memory used before 5 ms.
"""

import ctypes
import functools
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of two settings in malloc.h


@functools.cache
def keep_freed_memory() -> bool:
    """Ask glibc not to return freed blocks; says whether it agreed. Elsewhere nothing happens."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
