"""The folder of our own beside a result: what is finished of a run that may be interrupted."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from lostbits.errors import OutputError
from lostbits.system.files import Content, read_file, replace_file

NAME = ".lostbits-work"
# Backup programs know the first line, see https://bford.info/cachedir; the second is the proof that
# the folder is ours. Nothing is deleted without it.
MARKER = "CACHEDIR.TAG"
_TEXT = b"""Signature: 8a477f597d28d172789f06886806bc55
# Made by lostbits: what is finished of runs that were interrupted. Delete it when none is running.
"""
_MOST = 1 << 31  # bytes: the sums of a run, or what was made of a layer


def nobody(text: str) -> None:
    """Tell nobody."""


@final
@dataclass(frozen=True)
class Work:
    """A folder with one folder for each set of things that somebody may go on with.

    Attributes:
        root: The folder; it need not be there.
        remark: Told in a sentence what was found damaged.
        used: Names of the folders in it that this run has asked for.
    """

    root: Path
    remark: Callable[[str], None] = field(default=nobody, compare=False)
    used: set[str] = field(default_factory=set, compare=False)

    def take(self, name: str) -> None:
        """Use a folder in it from now on.

        Raises:
            OutputError: O006 when the root is a link, no folder, or somebody else's.
        """
        with _coded(self.root):
            if found := self._foreign():
                raise OSError(found)
        self.used.add(name)

    def read(self, name: str, file: str) -> bytes | None:
        """A file in a folder; None for none.

        Raises:
            OSError: For what is there and no regular file.
            ValueError: For what is larger than anything of ours.
        """
        folder = self.root / name
        if folder.is_symlink():
            raise OSError(f"{name} is a link")
        try:
            return read_file(folder / file, most=_MOST, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, name: str, file: str, content: Content) -> None:
        """Put a file into a folder, whole or not at all, and in the place of anything damaged.

        Raises:
            OutputError: O006 when it cannot be written.
        """
        folder = self.root / name
        with _coded(folder / file):
            if not self.ours:
                self._begin()
            _make_way(folder, stat.S_IFDIR)
            folder.mkdir(exist_ok=True)
            _make_way(folder / file, stat.S_IFREG)
            replace_file(folder / file, content)

    @property
    def ours(self) -> bool:
        """Whether the root is a folder with our marker in it, and no link to one."""
        with suppress(OSError, ValueError):
            return not self.root.is_symlink() and _marked(self.root / MARKER)
        return False

    def clear(self) -> None:
        """Remove the folders that this run has used; whatever else is there stays."""
        if not self.ours:
            return
        for name in self.used:
            if not (self.root / name).is_symlink():
                shutil.rmtree(self.root / name, ignore_errors=True)
        with suppress(OSError):
            if os.listdir(self.root) == [MARKER]:
                (self.root / MARKER).unlink()
                self.root.rmdir()

    def _begin(self) -> None:
        """Make the root, with the marker; where that cannot be written, nothing is left."""
        new = not self.root.exists()
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            replace_file(self.root / MARKER, _TEXT)
        except OSError:
            with suppress(OSError):
                if new:
                    self.root.rmdir()
            raise

    def _foreign(self) -> str:
        """Why the root is not for us to use; nothing where it is."""
        if self.root.is_symlink():
            return "a link"
        if not self.root.exists() or self.ours:
            return ""
        return "a folder of somebody else" if any(self.root.iterdir()) else ""


def _marked(path: Path) -> bool:
    return read_file(path, most=len(_TEXT), follow=False) == _TEXT


def _make_way(path: Path, kind: int) -> None:
    """Remove what is in the place of something of ours and of another kind."""
    with suppress(FileNotFoundError):
        found = stat.S_IFMT(path.lstat().st_mode)
        if found == stat.S_IFDIR != kind:
            shutil.rmtree(path)
        elif found != kind:
            path.unlink()


@contextmanager
def _coded(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError("O006", str(path), error.strerror or str(error)) from error
