"""Time and memory that a child may take, and what outlives it."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_LOOK = 0.02  # seconds between two looks at a child
_TELL = 1.0  # seconds that a child has to write down where it is


@dataclass(frozen=True)
class Bounds:
    """What a child may take.

    Attributes:
        busy: Seconds of computing. The slowest try that ends, 4,096 ops out of nested functions,
            takes 50 on an idle machine, and up to 75 where others compute beside it.
        idle: Seconds in which it computes nothing: it waits for what never comes.
        memory: Bytes.
    """

    busy: float = 120.0
    idle: float = 25.0
    memory: int = 4 << 30


@dataclass(frozen=True)
class Usage:
    """What a child has taken: seconds on the wall, seconds of computing, bytes at most."""

    wall: float
    busy: float
    memory: int


def ended(child: int, bounds: Bounds) -> tuple[str | None, int, Usage]:
    """Why it was stopped, if it was; its wait status; and what it has taken."""
    begun = moved = time.monotonic()
    busy, stopped = 0.0, None
    while True:
        done, status, facts = os.wait4(child, os.WNOHANG)
        if done:
            computed = facts.ru_utime + facts.ru_stime
            usage = Usage(time.monotonic() - begun, computed, facts.ru_maxrss << 10)
            too_large = stopped is None and usage.memory > bounds.memory
            return "memory" if too_large else stopped, status, usage
        if stopped is None:
            seconds, memory = _taken(child)
            moved = time.monotonic() if seconds > busy else moved
            busy = seconds
            waited = time.monotonic() - moved > bounds.idle
            stopped = _excess(seconds, memory, waited, bounds)
            if stopped is not None:
                _stop(child)
        time.sleep(_LOOK)


def _excess(busy: float, memory: int, waited: bool, bounds: Bounds) -> str | None:
    if memory > bounds.memory:
        return "memory"
    return "hang" if waited or busy > bounds.busy else None


def _taken(child: int) -> tuple[float, int]:
    """Seconds of computing and bytes in memory, at this moment."""
    with suppress(OSError, IndexError, ValueError):
        facts = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / _TICK, int(facts[21]) * _PAGE
    return 0.0, 0


def _stop(child: int) -> None:
    """Ask where it is, and put an end to it and to all that it has started."""
    os.kill(child, signal.SIGUSR1)
    time.sleep(_TELL)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def left_behind(child: int) -> list[str]:
    """Command lines of processes that a child has left, which are ended now."""
    left = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _session(folder) == child:
            with suppress(OSError):
                left.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                os.kill(int(folder.name), signal.SIGKILL)
    return left


def _session(folder: Path) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int((folder / "stat").read_text().rpartition(")")[2].split()[3])
    return 0
