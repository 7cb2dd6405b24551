"""How many threads a call may use, where several share the cores."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import final

import psutil
from threadpoolctl import threadpool_limits

_ALL = 0  # every core
_threads: ContextVar[int] = ContextVar("threads", default=_ALL)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let torch, NumPy's BLAS, and every session and pool of threads made within, use so many.

    Afterwards all is as it was. Calls from several threads of a host do not see each other's
    number, but for BLAS, which knows one for the whole process: the least of theirs holds.

    Args:
        threads: 0 changes nothing: each library takes what it takes.
    """
    token = _threads.set(threads)
    try:
        if not threads:
            yield
            return
        with _torch_limited(threads), _BLAS.limited(threads):
            yield
    finally:
        _threads.reset(token)


@contextmanager
def _torch_limited(threads: int) -> Iterator[None]:
    """In this thread, and in those that first use torch within."""
    torch = sys.modules.get("torch")
    if torch is None:  # what it finds when it is imported is set by system.process
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@final
class _Blas:
    """The one number of threads that BLAS has in a process.

    What it was before the first that limits it comes back after the last.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted: list[int] = []
        self._before: threadpool_limits | None = None

    @contextmanager
    def limited(self, threads: int) -> Iterator[None]:
        with self._lock:
            self._wanted.append(threads)
            made = threadpool_limits(min(self._wanted), user_api="blas")
            self._before = self._before or made
        try:
            yield
        finally:
            with self._lock:
                self._wanted.remove(threads)
                self._loosen()

    def _loosen(self) -> None:
        if self._wanted:
            threadpool_limits(min(self._wanted), user_api="blas")
        elif self._before is not None:
            self._before.restore_original_limits()
            self._before = None


_BLAS = _Blas()


def alone() -> None:
    """Let what this thread, which is ours, begins from now on use no other thread."""
    _threads.set(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """For threads that work side by side: a BLAS with threads of its own uses none."""
    # A thread that has not asked torch before takes the number that another one has set last.
    # This one asks now, and sets it again when those that are ``alone`` have ended.
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else _ALL
    try:
        with _BLAS.limited(1):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


def session_threads() -> int:
    """For ONNX Runtime, where 0 means every core."""
    return _threads.get()


def pool_threads() -> int:
    """For a pool of Python's threads."""
    return session_threads() or cores()


def cores() -> int:
    """Those that this process may run on, which a container or ``taskset`` may have limited."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1
