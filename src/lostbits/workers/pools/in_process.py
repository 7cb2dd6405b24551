"""The process itself: one item after the other, or threads that take an item each."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any, final

from lostbits.system.threads import alone, one_thread_each
from lostbits.workers.broadcasts import Board, Notice
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
            return _Lanes(job, self.threads)
        return _Here(job)

    def close(self) -> None:
        """There is nobody to stop."""


@final
class _Here(Opened[Item, Outcome]):
    """An item is begun when its outcome is asked for, and has all threads."""

    def __init__(self, job: Job[Item, Outcome]) -> None:
        self._work: Any = job.open()

    def map(self, items: Sequence[Item], homes: Sequence[int] = ()) -> Generator[Outcome]:
        for item in items:
            yield self._work(item)

    def post(self, place: str, value: object) -> None:
        self._work.hear(place, value)

    def close(self) -> None:
        self._work = None


@final
class _Lane:
    """A thread that has the job open, and computes everything without the help of others."""

    def __init__(self, job: Job[Any, Any]) -> None:
        self._thread = ThreadPoolExecutor(1, "lane", alone)
        self._work = self._thread.submit(job.open)
        self._given: list[Future[Any]] = []
        self._heard = 0

    @property
    def waiting(self) -> int:
        """Items that it has yet to finish."""
        self._given = [future for future in self._given if not future.done()]
        return len(self._given)

    def give(self, item: Any, board: Board) -> Future[Any]:
        """An item to work on, with what was posted until now in mind."""
        self._given.append(self._thread.submit(self._do, item, board.after(self._heard)))
        return self._given[-1]

    def _do(self, item: Any, notices: Sequence[Notice]) -> Any:
        work: Any = self._work.result()
        for notice in notices:
            if notice.number > self._heard:  # an item given before may have come with it
                work.hear(notice.place, notice.where)
                self._heard = notice.number
        return work(item)

    def close(self) -> None:
        """When the item that it works on is finished."""
        self._thread.shutdown(cancel_futures=True)


@final
class _Lanes(Opened[Item, Outcome]):
    """As many lanes as there are items for; items of one home go to one lane."""

    def __init__(self, job: Job[Item, Outcome], most: int) -> None:
        self._job, self._board = job, Board()
        self._lanes: list[_Lane | None] = [None] * most
        self._libraries = ExitStack()
        self._libraries.enter_context(one_thread_each())

    def map(self, items: Sequence[Item], homes: Sequence[int] = ()) -> Generator[Outcome]:
        given: deque[Future[Outcome]] = deque()
        try:
            for number, item in enumerate(items):
                if len(given) == 2 * len(self._lanes):
                    yield given.popleft().result()
                at = homes[number] % len(self._lanes) if homes else self._idlest()
                given.append(self._lane(at).give(item, self._board))
            while given:
                yield given.popleft().result()
        finally:
            for future in given:
                future.cancel()
            wait(given)

    def _idlest(self) -> int:
        waiting = [lane.waiting if lane else 0 for lane in self._lanes]
        return waiting.index(min(waiting))

    def _lane(self, at: int) -> _Lane:
        lane = self._lanes[at] = self._lanes[at] or _Lane(self._job)
        return lane

    def post(self, place: str, value: object) -> None:
        self._board.put(place, value)

    def close(self) -> None:
        for lane in self._lanes:
            if lane is not None:
                lane.close()
        self._libraries.close()
