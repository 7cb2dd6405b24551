"""The process itself: one item after the other, or threads that take an item each."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any, final

from lostbits.system.threads import alone, one_thread_each
from lostbits.workers.broadcasts import Broadcast, Broadcasts
from lostbits.workers.pool import Item, Job, Opened, Outcome, Pool


@final
class InProcess(Pool):
    """Nothing is sent anywhere, so any source of samples will do.

    An operation of a network is too short to be worth dividing: two threads that take a batch each
    diagnosed EfficientNet-Lite0 in two thirds of the time that they took together for a batch.

    Args:
        threads: That take an item each, where a job can be opened by several.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def open(self, job: Job[Item, Outcome]) -> Opened[Item, Outcome]:
        """See ``Pool``."""
        if self.threads > 1 and job.by_threads:
            return _ThreadWorkers(job, self.threads)
        return _Here(job)

    def close(self) -> None:
        """There is nobody to stop."""


@final
class _Here(Opened[Item, Outcome]):
    """An item is begun when its outcome is asked for, and has all threads."""

    def __init__(self, job: Job[Item, Outcome]) -> None:
        self._work: Any = job.open()

    def map(self, items: Sequence[Item], affinities: Sequence[int] = ()) -> Generator[Outcome]:
        for item in items:
            yield self._work(item)

    def broadcast(self, place: str, value: object) -> None:
        self._work.receive(place, value)

    def close(self) -> None:
        self._work = None


@final
class _ThreadWorker:
    """A thread that has the job open, and computes everything without the help of others."""

    def __init__(self, job: Job[Any, Any]) -> None:
        self._thread = ThreadPoolExecutor(1, "worker", alone)
        self._work = self._thread.submit(job.open)
        self._given: list[Future[Any]] = []
        self._received = 0

    @property
    def waiting(self) -> int:
        """Items that it has yet to finish."""
        self._given = [future for future in self._given if not future.done()]
        return len(self._given)

    def give(self, item: Any, broadcasts: Broadcasts) -> Future[Any]:
        """An item to work on, after what was broadcast until now."""
        self._given.append(self._thread.submit(self._do, item, broadcasts.after(self._received)))
        return self._given[-1]

    def _do(self, item: Any, news: Sequence[Broadcast]) -> Any:
        work: Any = self._work.result()
        for broadcast in news:
            if broadcast.number > self._received:  # an item given before may have come with it
                work.receive(broadcast.place, broadcast.where)
                self._received = broadcast.number
        return work(item)

    def close(self) -> None:
        """When the item that it works on is finished."""
        self._thread.shutdown(cancel_futures=True)


@final
class _ThreadWorkers(Opened[Item, Outcome]):
    """Threads, made as items come; items with one affinity key go to one thread."""

    def __init__(self, job: Job[Item, Outcome], most: int) -> None:
        self._job, self._broadcasts = job, Broadcasts()
        self._workers: list[_ThreadWorker | None] = [None] * most
        self._libraries = ExitStack()
        self._libraries.enter_context(one_thread_each())

    def map(self, items: Sequence[Item], affinities: Sequence[int] = ()) -> Generator[Outcome]:
        given: deque[Future[Outcome]] = deque()
        try:
            for number, item in enumerate(items):
                if len(given) == 2 * len(self._workers):
                    yield given.popleft().result()
                at = affinities[number] % len(self._workers) if affinities else self._idlest()
                given.append(self._worker(at).give(item, self._broadcasts))
            while given:
                yield given.popleft().result()
        finally:
            for future in given:
                future.cancel()
            wait(given)

    def _idlest(self) -> int:
        waiting = [worker.waiting if worker else 0 for worker in self._workers]
        return waiting.index(min(waiting))

    def _worker(self, at: int) -> _ThreadWorker:
        worker = self._workers[at] = self._workers[at] or _ThreadWorker(self._job)
        return worker

    def broadcast(self, place: str, value: object) -> None:
        self._broadcasts.put(place, value)

    def close(self) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.close()
        self._libraries.close()
