"""A Ray cluster: this machine and others.

Ray itself gives the task of a worker or node that died to another one, and keeps one copy of a job
on each node, whose workers read its arrays where they lie.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, final

import numpy as np

from lostbits.errors import first_line
from lostbits.system.memory import bounded, out_of_memory
from lostbits.system.process import set_up
from lostbits.system.threads import limited
from lostbits.workers.broadcasts import Broadcast, Broadcasts
from lostbits.workers.cluster import connected, installed
from lostbits.workers.handover import packed
from lostbits.workers.pool import Item, Job, Opened, Outcome, Pool
from lostbits.workers.serialize import Serialized, deserialize, serialize
from lostbits.workers.worker import Result, WorkerState, died

_TRIES = 4  # workers that may die of one item
_AHEAD = 2  # items a processor that may be done, or in work, beyond the one that is asked for
_STATES: list[WorkerState] = []  # the one of this process, if it is one of Ray's workers


@final
class Ray(Pool):
    """Tasks on a cluster.

    Args:
        address: ``HOST:PORT``, ``auto`` for a cluster that runs on this machine, or ``local`` to
            start one of its cores, which nobody else can reach.
        threads: Of each task.
        most: Memory that each worker may take, bytes; None for as much as there is.

    Raises:
        WorkerError: W004 without the package, W005 when there is no such cluster, W006 when it
            is of another version, W010 when a new one can be reached from other machines.
    """

    def __init__(self, address: str, threads: int = 1, most: int | None = None) -> None:
        self.threads = threads
        self._each = (threads, most)
        self.ray = installed()
        self._connection = ExitStack()
        if not self.ray.is_initialized():
            self._connection.enter_context(connected(self.ray, address))
        options = {"num_cpus": threads, "max_retries": _TRIES - 1}
        self._task = self.ray.remote(**options)(_do)
        self._jobs = count(1)
        self.workers = max(len(self.slots()), 1)

    def open(self, job: Job[Item, Outcome]) -> Opened[Item, Outcome]:
        """See ``Pool``."""
        serialized = packed(job)
        name = f"{self.ray.get_runtime_context().get_job_id()}-{id(self)}-{next(self._jobs)}"
        return _Shared(self, name, self.ray.put(serialized))

    def close(self) -> None:
        """Leave the cluster, or end it where this pool started it."""
        self._connection.close()

    def slots(self) -> list[str]:
        """Nodes of the cluster as it is now, each as often as it runs a task at a time."""
        nodes = sorted((n for n in self.ray.nodes() if n["Alive"]), key=lambda n: str(n["NodeID"]))
        widths = [int(n["Resources"].get("CPU", 0)) // self.threads for n in nodes]
        return [n["NodeID"] for n, width in zip(nodes, widths, strict=True) for _ in range(width)]

    def begin(self, node: str | None, *arguments: Any) -> Any:
        """A task, best on that node."""
        if node is None:
            return self._task.remote(*arguments, *self._each)
        near = installed("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        where = self._task.options(scheduling_strategy=near(node_id=node, soft=True))
        return where.remote(*arguments, *self._each)


@final
class _Shared(Opened[Item, Outcome]):
    """A job in the object store, which every process fetches before its first item."""

    def __init__(self, pool: Ray, name: str, sent: Any) -> None:
        self.pool, self.ray, self.name, self.sent = pool, pool.ray, name, sent
        self.broadcasts = Broadcasts()

    def map(self, items: Sequence[Item], affinities: Sequence[int] = ()) -> Generator[Outcome]:
        """See ``Opened``; a affinity is a node, whose processes do not all remember the same."""
        done: dict[int, Result] = {}
        running: dict[Any, int] = {}
        begun = 0
        try:
            for wanted in range(len(items)):
                while wanted not in done:
                    slots = self.pool.slots()
                    last = min(wanted + _AHEAD * max(len(slots), 1), len(items) - 1)
                    for number in range(begun, last + 1):
                        node = (
                            slots[affinities[number] % len(slots)] if affinities and slots else None
                        )
                        running[self._begin(node, items[number])] = number
                    begun = max(begun, last + 1)
                    self._collect(running, done)
                yield done.pop(wanted).get()
        finally:
            for task in running:
                self.ray.cancel(task, force=True)

    def broadcast(self, place: str, value: object) -> None:
        """See ``Opened``."""
        self.broadcasts.put(place, self.ray.put(serialize(value)))

    def close(self) -> None:
        """See ``Opened``; what nobody refers to, Ray forgets."""
        self.sent, self.broadcasts = None, Broadcasts()

    def _begin(self, node: str | None, item: Any) -> Any:
        return self.pool.begin(node, self.name, [self.sent], item, self.broadcasts.after(0))

    def _collect(self, running: dict[Any, int], done: dict[int, Result]) -> None:
        """Wait for one result, and fetch it now: its node may be lost later."""
        (task, *_), _ = self.ray.wait(list(running), num_returns=1)
        number = running.pop(task)
        try:
            done[number] = deserialize(_owned(self.ray.get(task)))
            self.pool.peak = max(self.pool.peak, done[number].peak)
        except self.ray.exceptions.OutOfMemoryError as error:
            done[number] = Result(None, out_of_memory(first_line(error)))
        except self.ray.exceptions.RayError as error:
            done[number] = Result(None, died(f"{_TRIES} times: {first_line(error)}"))


def _do(
    name: str,
    sent: list[Any],
    item: Any,
    news: list[Broadcast],
    threads: int,
    most: int | None,
) -> Serialized:
    """In a worker. References come within lists and news, where Ray leaves them as they are."""
    with bounded(most), limited(threads):
        if not _STATES:
            set_up(threads, most)
            _STATES.append(WorkerState())
        (state,) = _STATES
        taken = state.take(name, partial(_fetched, sent[0]))
        return serialize(taken if taken.error is not None else state.do(item, news, _received))


def _received(reference: Any) -> Serialized:
    return _owned(_fetched(reference))


def _owned(serialized: Serialized) -> Serialized:
    """What lies in the object store can only be read; torch asks for arrays of one's own."""
    return replace(serialized, arrays=[np.array(array) for array in serialized.arrays])


def _fetched(reference: Any) -> Serialized:
    serialized: Serialized = installed().get(reference)
    return serialized
