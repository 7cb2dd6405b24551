"""How many threads a call may use, where several share the cores."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock

import psutil
from threadpoolctl import threadpool_limits

_ALL = 0  # every core
_threads: ContextVar[int] = ContextVar("threads", default=_ALL)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let torch, NumPy's BLAS, and every session and pool of threads made within, use so many.

    Afterwards all is as it was. Calls from several threads of a host do not see each other's
    number, but for BLAS, which knows one for the whole process: that of the first of them holds.

    Args:
        threads: 0 changes nothing: each library takes what it takes.
    """
    token = _threads.set(threads)
    try:
        if not threads:
            yield
            return
        with _torch_limited(threads), _blas_limited(threads):
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


_BLAS = RLock()


@contextmanager
def _blas_limited(threads: int) -> Iterator[None]:
    """BLAS has one number for all; while another thread's call limits it, it stays as it is."""
    if not _BLAS.acquire(blocking=False):
        yield
        return
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        _BLAS.release()


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
        with _blas_limited(1):
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
