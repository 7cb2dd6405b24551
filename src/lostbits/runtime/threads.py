"""How many threads this process may use, where several share the cores."""

import os
import sys
import threading

from threadpoolctl import threadpool_limits

_limits: list[int] = []
_own = threading.local()


def limit(threads: int) -> None:
    """Let torch, NumPy's BLAS, and every session and thread pool made from now on, use so many."""
    _limits[:] = [threads]
    # Which torch, and a BLAS beside NumPy's, read when they are imported.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    threadpool_limits(threads, user_api="blas")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def alone() -> None:
    """Let what this thread begins from now on use no other thread."""
    _own.alone = True
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def one_thread_each() -> threadpool_limits:
    """Before threads work side by side: a BLAS with threads of its own uses none until restored."""
    if "torch" in sys.modules:
        # A thread that has not asked before takes the number that another one has set last.
        sys.modules["torch"].get_num_threads()
    return threadpool_limits(1, user_api="blas")


def session_threads() -> int:
    """For ONNX Runtime, where 0 means every core."""
    return 1 if hasattr(_own, "alone") else _limits[0] if _limits else 0


def pool_threads() -> int:
    """For a pool of Python's threads."""
    return session_threads() or cores()


def cores() -> int:
    """Those that this process may run on, which a container or ``taskset`` may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
