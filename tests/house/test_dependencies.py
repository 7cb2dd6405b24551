"""Packages that are needed: no version with a known hole, and nothing that they send is unknown."""

import ast
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
# Calls of torch that load code or files of its own, which have had holes.
_LOADERS = {"compile", "export", "hub", "jit", "load", "package"}
# Of those, what loads nothing: it names axes, and tells exported programs from modules.
_HARMLESS = {f"torch.export{name}" for name in ("", ".Dim", ".Dim.DYNAMIC", ".ExportedProgram")}


def needed(*groups: list[str]) -> dict[str, Version]:
    """Packages and the least versions that are asked for."""
    found = {}
    for requirement in (Requirement(text) for group in groups for text in group):
        (least,) = requirement.specifier
        assert least.operator == ">=", requirement
        found[requirement.name] = Version(least.version)
    return found


def rows(section: str) -> dict[str, list[str]]:
    """The cells of a table of docs/dependencies.md, by the first of each row."""
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    lines = page.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]
    return {first: rest for first, *rest in cells[2:]}


RUN = needed(PROJECT["project"]["dependencies"], *(EXTRAS[e] for e in EXTRAS if e != "dev"))
ALL = {**needed(EXTRAS["dev"], PROJECT["build-system"]["requires"]), **RUN}


def test_bounds_leave_out_versions_with_known_holes() -> None:
    least = {name: Version(cells[0]) for name, cells in rows("Least versions").items()}
    assert set(RUN) <= set(least) <= set(ALL), "every package that runs has been looked up"
    assert not {n: str(v) for n, v in ALL.items() if n in least and v < least[n]}
    assert all(cells[1] for cells in rows("Least versions").values())


def test_every_extra_asks_for_the_same_version() -> None:
    assert {n: v for n, v in needed(EXTRAS["dev"]).items() if n in RUN and v != RUN[n]} == {}


def test_tested_versions_are_within_the_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pairs = (line.split("==") for line in lines)
    tested = {str(canonicalize_name(name)): Version(version) for name, version in pairs}
    assert {"torch", "ray"} <= set(tested)
    assert not {n for n, least in ALL.items() if n in tested and tested[n] < least}


def test_what_a_package_would_send_or_write_is_known() -> None:
    told = rows("What they would send or write")
    assert set(told) == set(RUN)
    assert all(cells[0] and (cells[0].startswith("nothing") or cells[1]) for cells in told.values())


@pytest.mark.slow
def test_torch_is_asked_to_load_nothing() -> None:
    """Its formats run code, or have done so by mistake, up to the version that is tested."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for text in (name, *modules):
                parts = text.split(".")
                loads = parts[0] == "torch" and _LOADERS & set(parts[1:2])
                if loads and text not in _HARMLESS:
                    found.append(f"{path}: {text}")
    assert not found
