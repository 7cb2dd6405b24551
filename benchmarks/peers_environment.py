"""An environment of their own for the other tools, so that ours keeps its versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "build" / "peers-venv"
REQUIREMENTS = Path(__file__).resolve().parent / "requirements-peers.txt"


def python() -> Path:
    """Return the interpreter of the environment."""
    return FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def wanted() -> list[str]:
    """Return the requirements, in order."""
    lines = (line.strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def installed() -> set[str]:
    """Return what the environment holds, as name==version without local parts."""
    if not python().exists():
        return set()
    run = _run("-m", "pip", "list", "--format", "freeze")
    return {line.split("+")[0].lower().replace("_", "-") for line in run.stdout.splitlines()}


def install() -> dict[str, str]:
    """Install what is missing, one by one; return the reasons why, of those that would not."""
    if not python().exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    here, failed = installed(), {}
    for each in (each for each in wanted() if each not in here):
        run = _run("-m", "pip", "install", "--quiet", "-c", str(REQUIREMENTS), each)
        if run.returncode:
            failed[each] = last_line(run.stderr)
    return failed


def last_line(text: str) -> str:
    """Return the last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace("|", "/")[:200] if lines else "no message"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
