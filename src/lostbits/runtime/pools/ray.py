"""A Ray cluster: this machine and others.

Ray itself gives the task of a worker or node that died to another one, and keeps one copy of a job
on each node, whose workers read its arrays where they lie.
"""

import logging
import socket
from collections.abc import Callable, Generator, Sequence
from importlib.util import find_spec
from itertools import count
from typing import Any, final

from lostbits.errors import LostbitsError, WorkerError, first_line
from lostbits.runtime import memory
from lostbits.runtime.handover import packed
from lostbits.runtime.memory import out_of_memory
from lostbits.runtime.parcel import Parcel
from lostbits.runtime.pool import Item, Job, Outcome, Pool
from lostbits.runtime.threads import limit
from lostbits.runtime.worker import Result, Seat, died

LOCAL, RUNNING = "local", "auto"
_PATIENCE = 5  # seconds that the address of a cluster has to answer
_TRIES = 4  # workers that may die of one item
_AHEAD = 2  # items a processor that may be done, or in work, beyond the one that is asked for
_SEATS: list[Seat] = []  # the one of this process, if it is one of Ray's workers


@final
class Ray(Pool):
    """Tasks on a cluster.

    Args:
        address: ``HOST:PORT``, ``auto`` for a cluster that runs on this machine, or ``local`` to
            start one of its cores.
        threads: Of each task.
        most: Memory that each worker may take, bytes; None for as much as there is.

    Raises:
        WorkerError: W004 without the package, W005 when there is no such cluster, W006 when it
            is of another version.
    """

    def __init__(self, address: str, threads: int = 1, most: int | None = None) -> None:
        self.threads = threads
        self._each = (threads, most)
        self._ray = _installed()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address)
        options = {"num_cpus": threads, "max_retries": _TRIES - 1}
        self._task = self._ray.remote(**options)(_do)
        self._jobs = count(1)

    def map(self, job: Job[Item, Outcome], items: Sequence[Item]) -> Generator[Outcome]:
        """See ``Pool``."""
        parcel = packed(job)
        name = f"{self._ray.get_runtime_context().get_job_id()}-{id(self)}-{next(self._jobs)}"
        sent = self._ray.put(parcel)
        done: dict[int, Result] = {}
        running: dict[Any, int] = {}
        begun = 0
        try:
            for wanted in range(len(items)):
                while wanted not in done:
                    last = min(wanted + _AHEAD * self._width(), len(items) - 1)
                    for number in range(begun, last + 1):
                        task = self._task.remote(name, [sent], items[number], *self._each)
                        running[task] = number
                    begun = max(begun, last + 1)
                    self._collect(running, done)
                yield done.pop(wanted).get()
        finally:
            for task in running:
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave the cluster, or end it where this pool started it."""
        if self._ours:
            self._ray.shutdown()

    def _width(self) -> int:
        """Tasks that the cluster, as it is now, runs at a time."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)) // self.threads)

    def _collect(self, running: dict[Any, int], done: dict[int, Result]) -> None:
        """Wait for one result, and fetch it now: its node may be lost later."""
        (task, *_), _ = self._ray.wait(list(running), num_returns=1)
        number = running.pop(task)
        try:
            done[number] = self._ray.get(task)
            self.peak = max(self.peak, done[number].peak)
        except self._ray.exceptions.OutOfMemoryError as error:
            done[number] = Result(None, out_of_memory(first_line(error)))
        except self._ray.exceptions.RayError as error:
            done[number] = Result(None, died(f"{_TRIES} times: {first_line(error)}"))


def _do(name: str, sent: list[Any], item: Any, threads: int, most: int | None) -> Result:
    """In a worker. The parcel comes as a reference in a list, which Ray leaves as it is."""
    if not _SEATS:
        limit(threads)
        memory.limit(most)
        _SEATS.append(Seat())
    taken = _SEATS[0].take(name, _fetching(sent[0]))
    return taken if taken.error is not None else _SEATS[0].do(item)


def _fetching(reference: Any) -> Callable[[], Parcel]:
    ray = _installed()

    def fetch() -> Parcel:
        parcel: Parcel = ray.get(reference)
        return parcel

    return fetch


def _installed() -> Any:
    if find_spec("ray") is None:
        raise WorkerError(
            "W004",
            "--ray",
            "needs the package ray",
            "not installed",
            "pip install 'lostbits[ray]', or use --workers on this machine",
        )
    import ray  # noqa: PLC0415 - optional

    return ray


def _connect(ray: Any, address: str) -> None:
    _check_answers(address)
    try:
        ray.init(
            address=None if address == LOCAL else address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except RuntimeError as error:
        raise _unlike(error) if "ersion" in str(error) else _unreachable(address, error) from error
    except (ConnectionError, ValueError, OSError) as error:
        raise _unreachable(address, error) from error


def _check_answers(address: str) -> None:
    """Ray itself asks an address where nobody listens for minutes, and ends some processes."""
    if address in (LOCAL, RUNNING):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> LostbitsError:
    return WorkerError(
        "W005",
        f"--ray {address}",
        "must be HOST:PORT of a running cluster, auto for the one of this machine, or nothing",
        first_line(error),
        "ray start --head starts one and prints its address",
    )


def _unlike(error: Exception) -> LostbitsError:
    return WorkerError(
        "W006",
        "--ray",
        "driver and cluster must have the same versions of Ray and Python",
        " ".join(str(error).split()),
        "install the cluster's versions here",
    )
