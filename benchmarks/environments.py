"""Environments of their own for other tools, so that ours keeps its versions.

Makes those that are named, under build::

    python -m benchmarks.environments [peers] [modelopt]
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.prepared import ROOT

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Environment:
    """One environment.

    Attributes:
        name: Of its requirements file, and of its folder under build.
    """

    name: str

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / "build" / f"{self.name}-venv"

    @property
    def requirements(self) -> Path:
        """What it holds."""
        return HERE / f"requirements-{self.name}.txt"

    @property
    def python(self) -> Path:
        """Its interpreter, whether it is there or not."""
        return self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def missing(self) -> str:
        """Why nothing can run in it, and the command that makes it; empty where it is there."""
        made = f"python -m benchmarks.environments {self.name}"
        return "" if self.python.exists() else f"no environment {self.name!r}: {made} makes it"

    def wanted(self) -> list[str]:
        """Return the requirements, in order."""
        lines = (line.strip() for line in self.requirements.read_text().splitlines())
        return [line for line in lines if line and not line.startswith("#")]

    def installed(self) -> set[str]:
        """Return what it holds, as name==version without local parts."""
        if self.missing:
            return set()
        listed = self.run("-m", "pip", "list", "--format", "freeze").stdout
        return {line.split("+")[0].lower().replace("_", "-") for line in listed.splitlines()}

    def install(self) -> dict[str, str]:
        """Install what is missing, one by one; return the reasons why, of those that would not."""
        if self.missing:
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        here, failed = self.installed(), dict[str, str]()
        for each in (each for each in self.wanted() if each not in here):
            constraints = ("-c", str(self.requirements))
            done = self.run("-m", "pip", "install", "--quiet", *constraints, each)
            if done.returncode:
                failed[each] = last_line(done.stderr)
        return failed

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in the root of the repository and keep what it says."""
        command = [str(self.python), *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


PEERS = Environment("peers")
MODELOPT = Environment("modelopt")


def last_line(text: str) -> str:
    """Return the last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"


def main() -> int:
    """Make what is named; the exit status is the number of packages that would not install."""
    failed = dict[str, str]()
    for environment in (e for e in (PEERS, MODELOPT) if e.name in sys.argv[1:]):
        failed |= environment.install()
    for requirement, reason in failed.items():
        print(f"not installed: {requirement}: {reason}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
