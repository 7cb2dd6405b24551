"""Jobs for tests of pools; workers import them by name."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lostbits.data import Source
from lostbits.system.threads import pool_threads, session_threads


@dataclass(frozen=True)
class Sums:
    """Sum of each chunk of a source's only input; leaves a mark for every one that is finished.

    Attributes:
        source: The samples.
        marks: Folder for the marks, one file for each time that a chunk was finished.
        deadly: The chunk that begins there kills its worker, as many times as ``times``.
        times: See ``deadly``.
        how: The signal that does it.
        seconds: How long a chunk takes.
        by_threads: See ``Job``.
    """

    source: Source
    marks: Path
    deadly: int = -1
    times: int = 1
    how: int = signal.SIGKILL
    seconds: float = 0.0
    by_threads: bool = True

    def open(self) -> Callable[[range], float]:
        (self.marks / f"opened-{time.monotonic_ns()}-{os.getpid()}").touch()
        cursor = self.source.cursor()

        def work(chunk: range) -> float:
            if chunk.start == self.deadly and self._deaths() < self.times:
                (self.marks / f"death-{time.monotonic_ns()}").touch()
                os.kill(os.getpid(), self.how)
            time.sleep(self.seconds)
            parts = cursor.batches(chunk, 4)
            total = sum(float(x.sum()) for part in parts for x in part.feeds.values())
            (self.marks / f"done-{chunk.start}-{time.monotonic_ns()}").touch()
            return total

        return work

    def _deaths(self) -> int:
        return len(list(self.marks.glob("death-*")))


@dataclass(frozen=True)
class Fails:
    """Raises what it is given at every item but the first."""

    source: Source
    make: Callable[[], Exception]
    by_threads: bool = True

    def open(self) -> Callable[[Any], Any]:
        def work(item: Any) -> Any:
            if item.start:
                raise self.make()
            return "first"

        return work


@dataclass(frozen=True)
class Threads:
    """Says which thread works on an item, and how many it may use: in torch, sessions and pools."""

    source: Source
    by_threads: bool = True

    def open(self) -> Callable[[Any], tuple[int, int, int, int]]:
        def work(item: Any) -> tuple[int, int, int, int]:
            time.sleep(0.02)
            counts = torch.get_num_threads(), session_threads(), pool_threads()
            return threading.get_ident(), *counts

        return work


@dataclass(frozen=True)
class Remembers:
    """Says which worker had an item, and what that worker has received, in which order.

    An item is a number; where it is that of ``deadly``, the worker dies of it, once.
    """

    source: Source
    marks: Path
    deadly: int = -1
    by_threads: bool = True

    def open(self) -> "Memory":
        return Memory(self)


class Memory:
    """One worker's."""

    def __init__(self, job: Remembers) -> None:
        self.job = job
        self.received: dict[str, Any] = {}
        self.order: list[str] = []

    def receive(self, place: str, value: Any) -> None:
        self.received[place] = value
        self.order.append(place)

    def __call__(self, item: int) -> tuple[int, dict[str, Any], list[str]]:
        mark = self.job.marks / "death"
        if item == self.job.deadly and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid(), dict(self.received), list(self.order)


class StubbornError(Exception):
    """An exception that cannot be copied."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)
