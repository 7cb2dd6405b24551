"""The folder that one try happens in, and what is found there afterwards.

====== =========================================================================================
in     what the command is told to read
out    what it is told to write to; files of the user's lie there already
work   the working folder, with files that bear the names of what is missing elsewhere
secret files that nothing has named: whatever is read of them was read without leave
bin    programs that leave a mark when something starts them
tmp    for temporary files
home   of the user
====== =========================================================================================
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzzing.hostile import POISON
from benchmarks.fuzzing.tree import Folder, State, Tree, lay_out, state

SECRET = b"CANARY-OF-THE-PLAYGROUND" * 4096
SECRET_WORD = "CANARY-OF-THE-PLAY"
_LONG_AGO = 86_400  # seconds: a time of reading so old that the next reading changes it
_TRAP = f"#!/bin/sh\ntouch ../work/{POISON}\n".encode()
_PROGRAMS = ("gs", "convert", "magick", "ghostscript", "curl", "wget", "sendmail")

FURNITURE: Tree = {
    "in": Folder(),
    "tmp": Folder(),
    "home": Folder(),
    "out/notes.txt": b"mine\n",
    "out/cache/mine.npz": b"mine too\n",
    "work/w.data": SECRET,
    "work/float.onnx.data": SECRET,
    "work/secret.txt": SECRET,
    "secret/secret.txt": SECRET,
    "secret/w.data": SECRET,
    "secret/labels.txt": SECRET,
    **{f"bin/{name}": _TRAP for name in _PROGRAMS},
}


@dataclass(frozen=True)
class Playground:
    """A playground that has been laid out.

    Attributes:
        root: The folder.
        before: What was there at first.
    """

    root: Path
    before: State

    @classmethod
    def of(cls, tree: Tree, root: Path) -> "Playground":
        """Furnished, with the files of one try, in a folder that is made anew."""
        shutil.rmtree(root, ignore_errors=True)
        lay_out({**FURNITURE, **tree}, root)
        for program in (root / "bin").iterdir():
            program.chmod(0o755)
        for path in _unnamed(root):
            os.utime(path, (_LONG_AGO, path.stat().st_mtime))
        return cls(root, state(root))

    def peeked(self) -> list[str]:
        """Files that were read although nothing has named them, by the time that the system keeps.

        It keeps none on some file systems; the server listens to Python's own opening as well.
        """
        read = [path for path in _unnamed(self.root) if path.stat().st_atime != _LONG_AGO]
        return [str(path.relative_to(self.root)) for path in read]


def _unnamed(root: Path) -> list[Path]:
    """The files of ours that hold secrets."""
    names = [name for name, entry in FURNITURE.items() if entry is SECRET]
    return [path for path in (root / name for name in names) if path.is_file()]
