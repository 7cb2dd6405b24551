"""Processes on this machine.

Python's own ProcessPoolExecutor gives up all its workers when one of them dies, and does not say
how it died. Here only the item that the dead one had is given to another one, a few times.
"""

import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, final

from lostbits.errors import WorkerError
from lostbits.system.memory import out_of_memory
from lostbits.system.threads import cores
from lostbits.workers.broadcasts import Broadcasts
from lostbits.workers.handover import packed
from lostbits.workers.pool import Item, Job, Opened, Outcome, Pool
from lostbits.workers.serialize import serialize, stored
from lostbits.workers.worker import Result, arrived, died, serve

_TRIES = 4  # workers that may die of one item
_AHEAD = 2  # items a worker that may be done, or in work, beyond the one that is asked for
_LAST_WORDS = 5  # seconds that a process may take to end after it has closed its connection
_START = "their start"
_KILLED = -getattr(signal, "SIGKILL", 9)  # which Windows does not have
_SPAWN = get_context("spawn")  # a fork would copy the threads' locks, but not the threads


@final
class _Worker:
    """A process.

    Attributes:
        job: The one that it was told to open.
        ready: Whether it has opened it; only then does it get an item.
        number: Of the item that it has.
        received: Number of the last broadcast that it was given.
    """

    def __init__(self, threads: int, spool: Path, most: int | None) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        given = (theirs, threads, spool, most)
        self.process = _SPAWN.Process(target=serve, args=given, daemon=True)
        self.process.start()
        theirs.close()
        self.job: Path | None = None
        self.ready = False
        self.number: int | None = None
        self.received = 0

    def open(self, job: Path) -> None:
        self.job, self.ready, self.received = job, False, 0
        self._send(None)

    def give(self, number: int, item: Any, broadcasts: Broadcasts) -> None:
        news, self.received, self.number = broadcasts.after(self.received), broadcasts.last, number
        self._send(number, item, news)

    def _send(self, number: int | None, *rest: Any) -> None:
        with suppress(OSError):  # it is dead, which shows when it is waited for
            self.connection.send((self.job, number, *rest))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


@final
class Processes(Pool):
    """Workers that are started with the first job and stay for the next ones.

    Args:
        workers: How many.
        threads: Of each; 0 divides the cores among them.
        most: Memory that each may take, bytes; None for as much as there is.
    """

    def __init__(self, workers: int, threads: int = 0, most: int | None = None) -> None:
        self.workers = workers
        self._most = most
        self.threads = threads or max(1, cores() // workers)
        self.deaths = 0
        self._spool = Path(tempfile.mkdtemp(prefix="lostbits-"))
        self._jobs = count(1)
        self._workers: list[_Worker] = []

    def open(self, job: Job[Item, Outcome]) -> Opened[Item, Outcome]:
        """See ``Pool``."""
        folder = self._spool / str(next(self._jobs))
        stored(packed(job), folder)
        return _Shared(self, folder)

    def close(self) -> None:
        """See ``Pool``."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        shutil.rmtree(self._spool, ignore_errors=True)

    def replace(self, worker: _Worker) -> None:
        """Put another one in the place of one that died."""
        self.deaths += 1
        worker.process.join(_LAST_WORDS)  # or the status would be that of being killed here
        worker.stop()
        self._workers[self._workers.index(worker)] = _Worker(self.threads, self._spool, self._most)

    def staffed(self, items: int) -> list[_Worker]:
        """The workers, as many as so many items are worth."""
        while len(self._workers) < min(self.workers, items):
            self._workers.append(_Worker(self.threads, self._spool, self._most))
        return self._workers

    def dismiss(self, unwanted: Callable[[_Worker], bool]) -> None:
        """Stop those whose work nobody waits for."""
        for worker in [w for w in self._workers if unwanted(w)]:
            worker.stop()
            self._workers.remove(worker)


@final
class _Shared(Opened[Item, Outcome]):
    """A job in files, which each worker opens before its first item."""

    def __init__(self, pool: Processes, folder: Path) -> None:
        self.pool, self.folder, self.broadcasts = pool, folder, Broadcasts()

    def map(self, items: Sequence[Item], affinities: Sequence[int] = ()) -> Generator[Outcome]:
        """See ``Opened``."""
        workers = self.pool.staffed(len(items))
        try:
            for outcome in _Round(self, workers, items, affinities).outcomes():
                yield outcome.get()
        finally:
            self.pool.dismiss(lambda worker: worker.number is not None)

    def broadcast(self, place: str, value: object) -> None:
        """See ``Opened``; nobody works between two calls of ``map``, so what is old can go."""
        folder = self.folder / f"broadcast-{self.broadcasts.last + 1}"
        stored(serialize(value), folder)
        if old := self.broadcasts.put(place, folder):
            shutil.rmtree(old.where, ignore_errors=True)

    def close(self) -> None:
        """See ``Opened``."""
        self.pool.dismiss(lambda worker: worker.number is not None or not worker.ready)
        shutil.rmtree(self.folder, ignore_errors=True)


@final
class _Round:
    """Items on their way through the workers."""

    def __init__(
        self,
        opened: _Shared[Any, Any],
        workers: list[_Worker],
        items: Sequence[Any],
        affinities: Sequence[int],
    ) -> None:
        self.opened, self.workers, self.items, self.affinities = opened, workers, items, affinities
        self.pool = opened.pool
        self.waiting = deque(range(len(items)))
        self.done: dict[int, Result] = {}
        self.died_of: dict[int | None, int] = {}

    def outcomes(self) -> Generator[Result]:
        """In order."""
        for wanted in range(len(self.items)):
            self._deal(wanted)
            while wanted not in self.done:
                self._collect()
                self._deal(wanted)
            yield self.done.pop(wanted)

    def _deal(self, wanted: int) -> None:
        """An item for everyone who has none, but none too far ahead."""
        last = wanted + _AHEAD * self.pool.workers
        for place, worker in enumerate(self.workers):
            if worker.job != self.opened.folder:
                worker.open(self.opened.folder)
            number = self._next(place, last) if worker.ready and worker.number is None else None
            if number is not None:
                self.waiting.remove(number)
                worker.give(number, self.items[number], self.opened.broadcasts)

    def _next(self, place: int, last: int) -> int | None:
        """Number of the next item for the worker at a place, or None.

        An item with an affinity key goes only to the worker that owns the key, because making its
        state anew costs more than waiting. A replacement inherits the keys.
        """
        for number in self.waiting:
            affinity = self.affinities[number] if self.affinities else place
            if number <= last and affinity % len(self.workers) == place:
                return number
        return None

    def _collect(self) -> None:
        """Wait until a worker has something to say, or has died."""
        by_channel: dict[Any, _Worker] = {}
        for worker in self.workers:
            by_channel |= {worker.connection: worker, worker.process.sentinel: worker}
        ready = wait(list(by_channel))
        for worker in {id(by_channel[c]): by_channel[c] for c in ready}.values():
            if not self._received(worker.connection, worker):
                self._replace_dead(worker)

    def _received(self, connection: Connection, worker: _Worker) -> bool:
        """Take a result, which a worker may have sent just before it died."""
        try:
            if connection.poll():
                self._take(worker, *connection.recv())
                return True
        except (EOFError, OSError):
            return False
        return worker.process.is_alive()

    def _take(self, worker: _Worker, number: int | None, sent: Result | Path) -> None:
        result = arrived(sent)
        if number is None:
            result.get()
            self.died_of.pop(None, None)  # workers do start
        else:
            self.done[number] = result
            self.pool.peak = max(self.pool.peak, result.peak)
        worker.ready, worker.number = True, None

    def _replace_dead(self, worker: _Worker) -> None:
        """Its item goes to another one; with no item, it died of being started."""
        number, where = worker.number, _START
        self.pool.replace(worker)
        if number is not None:
            self.waiting.appendleft(number)
            where = str(self.items[number])
        elif worker.ready:
            return
        self.died_of[number] = self.died_of.get(number, 0) + 1
        if self.died_of[number] >= _TRIES:
            raise _fatal(worker.process.exitcode or 0, where)


def _fatal(status: int, where: str) -> WorkerError:
    found = f"{_TRIES} workers ended with status {status} at {where}"
    if status == _KILLED:
        return out_of_memory(f"{found}, as the system ends what takes too much")
    if where == _START:
        return WorkerError("W002.starting", "worker", found)
    return died(found)
