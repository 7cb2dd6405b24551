"""Contract of a pool: whatever runs the same task on many items; members are in ``pools``.

A result must not depend on who computed it. So a task is pure, items have borders that know
nothing of workers, and outcomes come back in the order of the items. They are added up in that
order, and a float sum is the same to the last bit from one process or from twenty.
"""

import abc
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar, final

from lostbits.data import Source
from lostbits.errors import WorkerError, check_number

_MOST_WORKERS, _MOST_THREADS = 1024, 4096

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Item_contra = TypeVar("Item_contra", contravariant=True)
Outcome_co = TypeVar("Outcome_co", covariant=True)


class Job(Protocol[Item_contra, Outcome_co]):
    """Work on many items that needs the same preparation: a frozen dataclass that can be sent."""

    @property
    def source(self) -> Source:
        """The samples that it reads."""
        ...

    @property
    def by_threads(self) -> bool:
        """Whether several threads of a process may each open it."""
        ...

    def open(self) -> Callable[[Item_contra], Outcome_co]:
        """Prepare, once a worker; what it returns is called for each item."""
        ...


class _Closing(abc.ABC):
    """To be closed, best by ``with``."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Opened(_Closing, abc.ABC, Generic[Item, Outcome]):
    """A job that workers have open, to be given items as often as there are some."""

    @abc.abstractmethod
    def map(self, items: Sequence[Item], affinities: Sequence[int] = ()) -> Generator[Outcome]:
        """Outcomes in the order of the items, not in that of finishing.

        What is not asked for is computed ahead by a few items at most, so that outcomes do not
        pile up. An error comes in its place in that order.

        Args:
            items: What to work on.
            affinities: A key for each item. Items with the same key go to the same worker as long
                as it lives, also in later calls, so that it can keep what it has made of them.
                That may save time, and may not change an outcome.

        Raises:
            WorkerError: W001, W002 when workers do not survive an item.
            DataError: D034, D035 when workers cannot open the samples.
        """

    @abc.abstractmethod
    def broadcast(self, place: str, value: object) -> None:
        """Send a value to all workers, later ones included, before their next item.

        It is delivered by calling the method ``receive(place, value)`` of what the job's ``open``
        has returned. An earlier value for the same place is forgotten.
        """


class Pool(_Closing, abc.ABC):
    """Runs jobs.

    Attributes:
        workers: Other processes that work at a time, or 1.
        peak: The most memory that a worker in another process has had, bytes; see runtime.peak.
    """

    workers: int = 1
    peak: int = 0

    @abc.abstractmethod
    def open(self, job: Job[Item, Outcome]) -> Opened[Item, Outcome]:
        """Make a job ready for its items; one at a time.

        Raises:
            DataError: D034 when its samples cannot be had by other processes.
        """

    def map(self, job: Job[Item, Outcome], items: Sequence[Item]) -> Generator[Outcome]:
        """Outcomes of a job that is opened for these items alone; see ``Opened.map``."""
        with self.open(job) as opened:
            yield from opened.map(items)

    @abc.abstractmethod
    def close(self) -> None:
        """Stop every worker, busy or not."""


@final
@dataclass(frozen=True)
class Resources:
    """What a run may use.

    Attributes:
        workers: Processes on this machine; 1 is the process itself.
        threads: Of each worker; 0 divides the cores among them.
        ray: Address of a Ray cluster, ``local`` to start one here, or None for none.
        memory: Bytes that each process may take, the driver and every worker; None for as many as
            there are. Batches follow from it, and figures from batches, to the last few bits: so
            it is not shared among workers, of whose number figures must know nothing.

    Raises:
        TargetError: T017 for more workers or threads than any machine has a use for.
        WorkerError: W007 for workers and a cluster at once.
    """

    workers: int = 1
    threads: int = 0
    ray: str | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        check_number("--workers", self.workers, 1, _MOST_WORKERS)
        check_number("--threads", self.threads, 0, _MOST_THREADS)
        if self.ray is not None and self.workers > 1:
            raise WorkerError("W007", f"--workers {self.workers} --ray", "both")


_MOST = 1 << 60  # bytes: no machine has as many
_UNITS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4}


def size(text: str | None) -> int | None:
    """Bytes in a text: ``4GiB``, ``500 MB``, ``4294967296``; None for none.

    >>> size("4GiB"), size("1.5 kB")
    (4294967296, 1500)

    Raises:
        WorkerError: W008 for another form, less than a byte, or more than any machine has.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)(B?)\s*", text.upper())
    known = match is not None and (match[4] or not match[2]) and (match[2] or not match[3])
    base = 1024 if match is not None and match[3] else 1000
    found = Decimal(match[1]) * base ** _UNITS[match[2] + "B"] if match and known else 0
    if not 1 <= found < _MOST:
        raise WorkerError("W008", f"--memory {text}", "another form")
    return int(found)
