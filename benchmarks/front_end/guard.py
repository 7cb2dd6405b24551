"""Run jobs in a child process, so that a crash or an endless loop costs one job and is seen."""

from __future__ import annotations

import multiprocessing as mp
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, final

import onnx
import torch

from lostbits import diagnose, load
from lostbits.errors import LostbitsError

LATE = "no answer in time"


@final
@dataclass(frozen=True)
class Job:
    """A model with its samples, for one target."""

    name: str
    target: str
    load: Callable[[], tuple[onnx.ModelProto, Mapping[str, Any]]]


@final
@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: ``ran``, ``refused`` (a coded error), ``late`` (no answer in time) or ``crashed``.
        detail: The message of an error.
    """

    name: str
    target: str
    status: str
    code: str = ""
    detail: str = ""
    sites: int = 0
    matched: int = 0
    sqnr_db: float | None = None
    residual: float = 0.0
    method: str = ""
    seconds: float = 0.0


def attempt(job: Job) -> Outcome:
    """Diagnose here and now, and say how it went."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model, data = job.load()
            path = Path(folder) / "model.onnx"
            onnx.save(model, str(path))
            result = diagnose(load(path, data, job.target))
        except LostbitsError as error:
            return Outcome(job.name, job.target, "refused", error.code, str(error))
        except Exception:
            return Outcome(job.name, job.target, "crashed", detail=traceback.format_exc())
    coverage, network = result.coverage, result.network
    return Outcome(
        job.name,
        job.target,
        "ran",
        sites=coverage.sites_total,
        matched=coverage.sites_matched,
        sqnr_db=result.baseline.sqnr_db,
        residual=network.residual,
        method=network.method,
        seconds=time.perf_counter() - start,
    )


def guarded(jobs: Iterable[Job], seconds: float) -> Iterator[Outcome]:
    """Outcomes in order; a child that dies or takes too long is replaced by a new one."""
    worker: _Worker | None = None
    for job in jobs:
        worker = worker or _Worker()
        outcome = worker.ask(job, seconds)
        if outcome is None:
            found = worker.stop()
            worker = None
            status = "late" if found == LATE else "crashed"
            outcome = Outcome(job.name, job.target, status, detail=found, seconds=seconds)
        yield outcome
    if worker is not None:
        worker.stop()


@final
class _Worker:
    """A process that does one job after the other."""

    def __init__(self) -> None:
        context = mp.get_context("spawn")
        self.mine, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, job: Job, seconds: float) -> Outcome | None:
        """The outcome, or None if none came in time."""
        try:
            self.mine.send(job)
            answer = self.mine.recv() if self.mine.poll(seconds) else None
        except (EOFError, BrokenPipeError):
            return None
        assert answer is None or isinstance(answer, Outcome)
        return answer

    def stop(self) -> str:
        """End the process; says how it had ended, if it had."""
        self.process.join(0.5)
        found = LATE
        if self.process.exitcode is not None:
            found = f"process ended with {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        return found


def _serve(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while True:
        try:
            pipe.send(attempt(pipe.recv()))
        except EOFError:
            return
