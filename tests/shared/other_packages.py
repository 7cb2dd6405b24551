"""Packages of others, made in a folder, and what was found of them forgotten."""

from pathlib import Path
from typing import Any

from lostbits import (
    backends,
    estimators,
    exporters,
    metrics,
    readers,
    recoveries,
    reporters,
    targets,
)
from lostbits.members import Members

FAMILIES: list[Members[Any]] = [
    module.MEMBERS
    for module in (
        targets,
        estimators,
        recoveries,
        exporters,
        backends,
        reporters,
        readers,
        metrics,
    )
]


def install(folder: Path, package: str, points: dict[str, dict[str, str]], **modules: str) -> None:
    """A package as pip leaves it: modules, and a dist-info with entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = (
        f"[lostbits.{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def forget() -> None:
    for family in FAMILIES:
        for name in ("_points", "_loaded"):
            family.__dict__.pop(name, None)
