"""What a process of lostbits alone is set up with, and settings of a process that are put back.

A library changes nothing in its host's process. The command line and the workers are processes of
their own: there, and nowhere else, ``set_up`` is called.
"""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from lostbits.system.memory import set_allocator

# Waiting OpenMP threads shall sleep instead of spin. Two runtimes share the cores here: ONNX
# Runtime and torch, in turns. A thread that spins while it waits takes the core from the other
# one's workers; on two busy cores a demo run took over 150 s with spinning and 22 s without. But a
# thread that sleeps at once has to be woken for every one of torch's many short operations, so it
# spins 3,000 times first. On two idle cores that saves 12 to 36 % of a stage; with three busy
# processes beside it stages took from 6 % less to 18 % more, and with 10,000 spins from a third
# more to twice as long.
_SET_UP: list[bool] = []  # of this process, whether set_up was called
_OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}


def set_up(threads: int = 0, memory: int | None = None) -> None:
    """Set what is read once, so before torch is imported; what the user has set stays.

    Args:
        threads: Of every library that is imported later; 0 leaves that to them.
        memory: See ``set_allocator``.
    """
    for name, value in _OPENMP.items():
        os.environ.setdefault(name, value)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    set_allocator(memory)
    _SET_UP.append(True)


def is_own() -> bool:
    """Whether this process is one of lostbits alone, and not a host's."""
    return bool(_SET_UP)


@contextmanager
def restored(settings: MutableMapping[str, Any], *names: str) -> Iterator[None]:
    """Put back what some settings were, or were not, before.

    >>> with restored(os.environ, "LOSTBITS_NOTHING"):
    ...     os.environ["LOSTBITS_NOTHING"] = "1"
    >>> "LOSTBITS_NOTHING" in os.environ
    False
    """
    before = {name: settings[name] for name in names if name in settings}
    try:
        yield
    finally:
        for name in names:
            settings.pop(name, None)
        settings.update(before)
