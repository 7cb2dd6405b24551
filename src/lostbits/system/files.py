"""Files that are written as a whole or not at all."""

import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from lostbits.system.memory import excess

Content = bytes | Sequence[memoryview]  # of a file; parts one after the other


def _usual_mode() -> int:
    """Permissions of a new file; temporary ones are private, and would stay so when renamed."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_FILE_MODE = _usual_mode()


def open_file(path: Path, *, follow: bool = True) -> BufferedReader:
    """A regular file, to be read. A pipe or device is refused: it might never end.

    Args:
        path: Of the file.
        follow: Whether it may be a link to one.

    Raises:
        OSError: When it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("no regular file")
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, *, follow: bool = True) -> bytes:
    """The content of a regular file; see ``open_file``.

    Raises:
        OSError: Besides, when the file is larger than the memory.
    """
    with open_file(path, follow=follow) as file:
        if large := excess(os.fstat(file.fileno()).st_size):
            raise OSError(large)
        return file.read()


def replace_file(path: Path, content: Content) -> None:
    """Put a file in the place of what was there, on disk before it has its name.

    What is no regular file (a device, a pipe) is written to instead. A link is replaced, not
    followed. A temporary part never stays, whatever ends the writing.

    Raises:
        OSError: Nothing has changed at ``path`` then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _takes_writing(path):
        with path.open("wb", buffering=0) as stream:
            _write(stream.fileno(), content)
        return
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".lostbits-", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in _pieces(content):
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), _FILE_MODE)
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    _settle(path.parent)


def _takes_writing(path: Path) -> bool:
    """Whether there is a device or a pipe, possibly behind a link such as /dev/stdout."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _pieces(content: Content) -> Sequence[bytes | memoryview]:
    return [content] if isinstance(content, bytes) else content


def _write(descriptor: int, content: Content) -> None:
    for piece in _pieces(content):
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _settle(folder: Path) -> None:
    """The new name survives a power cut too, where folders can be synchronised."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
