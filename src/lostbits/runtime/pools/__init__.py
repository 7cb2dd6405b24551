"""The pools: this process, processes beside it, a Ray cluster."""

from lostbits.runtime import memory
from lostbits.runtime.pool import Pool, Resources
from lostbits.runtime.pools.in_process import InProcess
from lostbits.runtime.pools.processes import Processes
from lostbits.runtime.pools.ray import Ray

ALL: tuple[type[Pool], ...] = (InProcess, Processes, Ray)


def pool(resources: Resources) -> Pool:
    """The pool that uses them.

    Raises:
        WorkerError: W004 to W006 when there is no Ray, or no cluster that can be worked with.
    """
    memory.limit(resources.memory)
    if resources.ray is not None:
        return Ray(resources.ray, max(resources.threads, 1), resources.memory)
    if resources.workers > 1:
        return Processes(resources.workers, resources.threads, resources.memory)
    return InProcess(resources.threads)


__all__ = ["ALL", "InProcess", "Processes", "Ray", "pool"]
