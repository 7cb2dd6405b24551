"""What other tools make of a network; kept, because it changes with their versions only."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import PEERS, last_line
from benchmarks.prepared import ROOT
from benchmarks.zoo.judge import Figures, Judge
from benchmarks.zoo.networks import Network

LIMIT = 900.0


@dataclass(frozen=True)
class Peer:
    """A tool on one network and target.

    Attributes:
        figures: Of its file, or None.
        reason: Why there are none.
    """

    figures: Figures | None
    reason: str = ""


def peer(
    tool: str, network: Network, target: str, folder: Path, judge: Judge, *, run: bool
) -> Peer:
    """Return what is kept of an earlier run; without that, run it where that is asked for."""
    out = folder / "made" / f"{network.model}.{target}.{tool}.onnx"
    kept = out.with_suffix(".json")
    if not run:
        known = json.loads(kept.read_text()) if kept.exists() else None
        return Peer(None, "not run") if known is None else Peer(Figures(**known))
    out.parent.mkdir(exist_ok=True)
    if reason := _run(tool, network, target, folder, out):
        return Peer(None, reason)
    written = next(p for p in (out.with_suffix(".xml"), out) if p.exists())
    figures = judge.figures(written, target)
    kept.write_text(json.dumps(vars(figures)))
    return Peer(figures)


def _run(tool: str, network: Network, target: str, folder: Path, out: Path) -> str:
    """Why there is no file; empty where there is one."""
    own = folder / "venv" / "bin" / "python"
    python = own if own.exists() else PEERS.python
    command = [python, "-m", "benchmarks.zoo.peer", tool, network.name, target, folder, out]
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return f"not finished after {LIMIT:.0f} s"
    return last_line(done.stderr) if done.returncode else ""
