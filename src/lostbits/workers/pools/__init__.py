"""The pools: this process, processes beside it, a Ray cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

from lostbits.system.memory import bounded, installed
from lostbits.system.threads import limited, pool_threads
from lostbits.workers.pool import Pool, Resources
from lostbits.workers.pools.in_process import InProcess
from lostbits.workers.pools.processes import Processes
from lostbits.workers.pools.ray import Ray

_EACH = 3 << 29  # bytes: the tensors of a batch, and networks of usual size

ALL: tuple[type[Pool], ...] = (InProcess, Processes, Ray)


@contextmanager
def pool(resources: Resources) -> Iterator[Pool]:
    """The pool that uses them, until it is left; this thread has the same bounds as the workers.

    So what is not shared is the same, however many work.

    Raises:
        WorkerError: W004 to W006 when there is no Ray, or no cluster that can be worked with.
    """
    with bounded(resources.memory), limited(resources.threads), _made(resources) as made:
        yield made


def _made(resources: Resources) -> Pool:
    if resources.ray is not None:
        return Ray(resources.ray, max(resources.threads, 1), resources.memory)
    if resources.workers > 1:
        return Processes(resources.workers, resources.threads, resources.memory)
    return InProcess(1 if resources.memory else min(pool_threads(), _affordable()))


def _affordable() -> int:
    """Threads with an item each that a half of the memory is enough for."""
    return max(installed() // 2 // _EACH, 1)


__all__ = ["ALL", "InProcess", "Processes", "Ray", "pool"]
