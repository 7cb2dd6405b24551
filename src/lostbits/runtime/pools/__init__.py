"""The pools: this process, processes beside it, a Ray cluster."""

from lostbits.runtime import memory
from lostbits.runtime.pool import Pool, Resources
from lostbits.runtime.pools.in_process import InProcess
from lostbits.runtime.pools.processes import Processes
from lostbits.runtime.pools.ray import Ray
from lostbits.runtime.threads import limit

ALL: tuple[type[Pool], ...] = (InProcess, Processes, Ray)


def pool(resources: Resources) -> Pool:
    """The pool that uses them; so many threads are then also those of this process.

    Raises:
        WorkerError: W004 to W006 when there is no Ray, or no cluster that can be worked with.
    """
    memory.limit(resources.memory)
    if resources.threads:
        limit(resources.threads)  # what is not shared is then the same, however many work
    if resources.ray is not None:
        return Ray(resources.ray, max(resources.threads, 1), resources.memory)
    if resources.workers > 1:
        return Processes(resources.workers, resources.threads, resources.memory)
    return InProcess()


__all__ = ["ALL", "InProcess", "Processes", "Ray", "pool"]
