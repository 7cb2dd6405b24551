"""What happens in a process that works for another one."""

import os
import pickle
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, final

from lostbits.errors import DataError, LostbitsError, OutputError, WorkerError, first_line
from lostbits.system.memory import bounded, lacks_memory, out_of_memory
from lostbits.system.peak import Peak
from lostbits.system.process import set_up
from lostbits.system.threads import limited
from lostbits.workers.broadcasts import Broadcast
from lostbits.workers.pool import Job
from lostbits.workers.serialize import Serialized, deserialize, loaded, serialize, stored, versions

_LARGE = 1 << 20  # bytes


class Result(NamedTuple):
    """What came of an item: a value, or the error that ended it.

    Attributes:
        peak: The most memory that the worker has had so far, bytes; see runtime.peak.
    """

    value: Any
    error: Exception | None = None
    peak: int = 0

    def get(self) -> Any:
        """The value.

        Raises:
            Exception: What the task raised.
        """
        if self.error is not None:
            raise self.error
        return self.value


@final
@dataclass
class WorkerState:
    """The state of a worker: the job that it has open, and what it has received."""

    name: str = ""
    _work: Any = None
    _received: int = 0
    _peak: Peak = field(default_factory=Peak)

    def take(self, name: str, fetch: Callable[[], Serialized]) -> Result:
        """Open the job of that name, if it is not open already; the old one goes first."""
        try:
            if self._work is None or self.name != name:
                self.name, self._work, self._received = name, None, 0
                self._work = opened(fetch())
        except Exception as error:
            return Result(None, _sendable(error))
        return Result(None)

    def do(
        self, item: Any, news: Sequence[Broadcast] = (), fetch: Callable[[Any], Serialized] = loaded
    ) -> Result:
        """Work on an item of the open job, after the broadcasts that it has not received."""
        assert self._work is not None
        try:
            for broadcast in news:
                self._receive(broadcast, fetch)
            return Result(self._work(item), peak=self._peak.bytes)
        except Exception as error:
            return Result(None, _sendable(error))

    def _receive(self, broadcast: Broadcast, fetch: Callable[[Any], Serialized]) -> None:
        if broadcast.number > self._received:
            self._work.receive(broadcast.place, deserialize(fetch(broadcast.where)))
            self._received = broadcast.number


def _sendable(error: Exception) -> Exception:
    """The error, or its text where it cannot travel; with where it happened, unless it is ours."""
    if isinstance(error, LostbitsError):
        return error
    if lacks_memory(error):
        return out_of_memory(first_line(error))
    error.add_note(f"in a worker:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class makes of being copied
        return RuntimeError(traceback.format_exc())
    return error


def opened(serialized: Serialized) -> Callable[[Any], Any]:
    """What a worker calls for each item.

    Raises:
        WorkerError: W003 when the serialized was packed by other versions.
        DataError: D035 when the samples cannot be read here.
    """
    if serialized.versions != versions():
        raise WorkerError("W003", "worker", versions(), versions=serialized.versions)
    try:
        job: Job[Any, Any] = pickle.loads(serialized.content, buffers=serialized.arrays)
    except (ImportError, AttributeError) as error:  # a module, or a name in it, that is not here
        raise _unread(error) from error
    try:
        next(iter(job.source.batches(1)))
    except (DataError, ImportError) as error:
        raise _unread(error) from error
    return job.open()


def _unread(error: Exception) -> DataError:
    return DataError("D035", "worker", first_line(error))


def died(found: str) -> WorkerError:
    """W002 of a worker that had begun with its work."""
    return WorkerError("W002.working", "worker", found)


def serve(connection: Connection, threads: int, spool: Path, most: int | None = None) -> None:
    """Take jobs and items from the connection and send results, until the other end is gone.

    What comes is a job's folder, a number, an item and what is to be known for it; without a number
    the job is to be opened.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then stops us
    threading.Thread(target=_follow_parent, args=(spool,), daemon=True).start()
    set_up(threads, most)
    with bounded(most), limited(threads):
        _work(connection, spool)


def _work(connection: Connection, spool: Path) -> None:
    state = WorkerState()
    while True:
        try:
            job, number, *rest = connection.recv()
            opening = number is None
            result = state.take(str(job), partial(loaded, job)) if opening else state.do(*rest)
            connection.send((number, _sent(result, spool / f"{os.getpid()}-{number}")))
        except (EOFError, OSError):
            return


def _sent(result: Result, folder: Path) -> Result | Path:
    """A large result goes through files: a pipe copies it four times, in pieces."""
    serialized = serialize(result)
    if sum(array.nbytes for array in serialized.arrays) < _LARGE:
        return result
    try:
        stored(serialized, folder)
    except OutputError as error:
        return Result(None, error)
    return folder


def arrived(sent: Result | Path) -> Result:
    """What a worker has sent; its files are gone once they are mapped."""
    if isinstance(sent, Result):
        return sent
    result: Result = deserialize(loaded(sent))
    shutil.rmtree(sent, ignore_errors=True)
    return result


def _follow_parent(spool: Path) -> None:
    """A driver that was killed cannot stop its workers, nor clear up what it wrote for them."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        shutil.rmtree(spool, ignore_errors=True)
        os._exit(1)
