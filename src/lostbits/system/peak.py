"""The most memory that a process has had, without what only stands for a file.

Pages of a mapped file come back to the system when it needs them, so they count against no bound.
Linux tells both kinds apart but keeps the maximum of their sum alone, hence a thread that looks.
psutil gives neither these kinds nor, on Linux, a maximum, so there the system's own file is read.
"""

import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Self, final

import psutil

from lostbits.system.memory import limited

_STATUS = Path("/proc/self/status")
_EVERY = 0.01  # seconds between two looks; one takes up to 0.1 milliseconds
_KINDS = ("RssAnon", "RssShmem")  # what has no file behind it, and what lies in a disk in memory
_HIGHEST = "VmHWM"  # of all that was resident at a time


def resident() -> int:
    """Memory without files that this process has now, bytes; elsewhere than on Linux, with them."""
    try:
        return _status(*_KINDS)
    except (OSError, KeyError):
        return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Largest resident size of this process so far, mapped files included, bytes."""
    with suppress(OSError, KeyError):
        return _status(_HIGHEST)
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return int(info.peak_wset)
    with suppress(ImportError):  # macOS, which counts bytes
        resource = import_module("resource")
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return int(info.rss)


def _status(*kinds: str) -> int:
    """The sum of what Linux says of these kinds, which it counts in KiB."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return sum(1024 * int(lines[kind].split()[0]) for kind in kinds)


@final
class Peak:
    """Watches from when it is made until it is closed, best by ``with``.

    Attributes:
        bytes: The most that was seen; 0 without a bound, where nobody asks and looking would cost.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._closed = threading.Event()
        if limited() is not None:
            self.bytes = resident()
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._closed.wait(_EVERY):
            self.bytes = max(self.bytes, resident())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
