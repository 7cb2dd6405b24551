"""Runs a tool in its own process and environment, with a time limit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from benchmarks.environments import PEERS, last_line
from benchmarks.peers.job import Job, seconds
from benchmarks.prepared import ROOT

LIMIT = 480.0


@dataclass(frozen=True)
class Done:
    """What came of a run.

    Attributes:
        job: What was asked for.
        seconds: Without imports, by the clock and of all cores, or None. The second is what to
            compare where a machine is shared.
        reason: Why there is no result, or empty.
    """

    job: Job
    seconds: tuple[float, float] | None
    reason: str = ""


def run(job: Job, limit: float = LIMIT) -> Done:
    """Quantize; a tool that fails, or takes too long, is reported rather than raised."""
    job.out.mkdir(parents=True, exist_ok=True)
    own = job.tool.startswith("lostbits")
    command = [sys.executable if own else str(PEERS.python), "-m", "benchmarks.peers.worker"]
    command += [
        job.tool,
        job.setting,
        *map(str, (job.model, job.data, job.out, job.iterations, job.budget)),
    ]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return Done(job, None, f"not finished after {limit:.0f} s")
    if ended.returncode or not job.result.exists():
        return Done(job, None, last_line(ended.stderr))
    return Done(job, seconds(job.out / "seconds"))
