"""Files in memory: laid out in a folder before a run, and looked at after it."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    to: str


@dataclass(frozen=True)
class Pipe:
    """A named pipe, which nobody writes to."""


@dataclass(frozen=True)
class Folder:
    """An empty folder."""


@dataclass(frozen=True)
class Hole:
    """A file of zeros that takes no room on the disk."""

    size: int


Entry = bytes | Link | Pipe | Folder | Hole
Tree = dict[str, Entry]
State = dict[str, tuple[int, ...]]


def lay_out(tree: Mapping[str, Entry], folder: Path) -> None:
    """Make every entry below ``folder``; names may be any that the system takes."""
    for name, entry in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, entry)


def _make(path: Path, entry: Entry) -> None:
    match entry:
        case bytes():
            path.write_bytes(entry)
        case Link(to):
            path.symlink_to(to)
        case Pipe():
            os.mkfifo(path)
        case Folder():
            path.mkdir(exist_ok=True)
        case Hole(size):
            with path.open("wb") as file:
                file.truncate(size)


def taken(folder: Path) -> Tree:
    """What lies below ``folder``, as ``lay_out`` makes it again."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name, mode = str(path.relative_to(folder)), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = Link(os.readlink(path))
        elif stat.S_ISFIFO(mode):
            found[name] = Pipe()
        elif stat.S_ISDIR(mode):
            found[name] = Folder()
        else:
            size = path.stat().st_size
            found[name] = Hole(size) if _is_hole(path) else path.read_bytes()
    return found


def _is_hole(path: Path) -> bool:
    facts = path.stat()
    return facts.st_size > 1 << 20 and facts.st_blocks == 0


def state(folder: Path) -> State:
    """Of every path below ``folder``: kind, size, time of change and number of the file.

    Folders have their kind only: what changes in them is seen in their entries.
    """
    found: State = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            facts = os.lstat(path)
            kind = stat.S_IFMT(facts.st_mode)
            whole = (kind, facts.st_size, facts.st_mtime_ns, facts.st_ino)
            found[os.path.relpath(path, folder)] = (kind,) if stat.S_ISDIR(kind) else whole
    return found


def changes(before: State, after: State) -> dict[str, str]:
    """``made``, ``changed`` or ``gone`` for every path that is not as it was."""
    found = {name: "made" for name in after.keys() - before.keys()}
    found |= {name: "gone" for name in before.keys() - after.keys()}
    both = before.keys() & after.keys()
    return found | {name: "changed" for name in both if before[name] != after[name]}
