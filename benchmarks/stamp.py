"""Of which code, day and machine a figure is."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import final

from benchmarks.prepared import ROOT
from lostbits.system.memory import installed
from lostbits.system.threads import cores

_CPU = Path("/proc/cpuinfo")
_PACKAGES = ("lostbits", "numpy", "onnx", "onnxruntime", "torch")


@final
@dataclass(frozen=True)
class Machine:
    """What a figure was measured on.

    Attributes:
        cpu: The processor's model, and whether it multiplies int8 natively.
        cores: Those that the process may use.
        memory_gib: Of the machine, or of the container, GiB.
    """

    cpu: str
    cores: int
    memory_gib: int

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores, {self.memory_gib} GiB"


@final
@dataclass(frozen=True)
class Stamp:
    """When, by which code and where figures were measured.

    Attributes:
        commit: Short hash, with ``-dirty`` where ``src`` differed from it; the version of lostbits
            where there is no git. For figures that are older than these files, the commit that
            brought them into the documentation.
        date: Day, as in 2026-11-28.
        machine: Its processor, cores and memory.
        versions: Of Python and of the packages that compute.
        load: What else the machine did, or its load when the run began; empty if not known.
    """

    commit: str
    date: str
    machine: Machine
    versions: Mapping[str, str]
    load: str = ""

    def __str__(self) -> str:
        parts = (self.date, self.commit, str(self.machine), self.load)
        return "; ".join(part for part in parts if part)


def now() -> Stamp:
    """Return the stamp of this moment."""
    versions = {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES}
    machine = Machine(_cpu(), cores(), round(installed() / 2**30))
    return Stamp(_commit(), str(datetime.now(UTC).date()), machine, versions, _load())


def _commit() -> str:
    head = _git("rev-parse", "--short", "HEAD")
    if head is None or head.returncode:
        return version("lostbits")
    changed = _git("diff", "--quiet", "HEAD", "--", "src")
    return head.stdout.strip() + ("-dirty" if changed is None or changed.returncode else "")


def _git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """What git says; None where it is not installed."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None


def _cpu() -> str:
    """The model, as Linux names it; elsewhere what Python knows."""
    if not _CPU.exists():
        return platform.processor() or platform.machine()
    fields = [line.partition(":") for line in _CPU.read_text().splitlines()]
    known = {name.strip(): value.strip() for name, _, value in fields}
    model = known.get("model name", platform.machine())
    return f"{model} with AVX-512 VNNI" if "avx512_vnni" in known.get("flags", "") else model


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
