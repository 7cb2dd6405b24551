"""Regular files of a bounded size, and files that are written as a whole or not at all."""

import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from lostbits.system.memory import excess

Content = bytes | Sequence[memoryview]  # of a file; parts one after the other
PROTOBUF = 1 << 31  # bytes that a model, or a table of a tool, may have
# Systems lack flags that they have no use for: Windows text mode, the others the binary one.
_BINARY, _NO_LINK = getattr(os, "O_BINARY", 0), getattr(os, "O_NOFOLLOW", 0)
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
MOST_SETTINGS = 1 << 14  # bytes of a TOML file; its parser takes half a minute for a key of 60 kB


def size_of(path: Path) -> int:
    """Bytes of a regular file; a pipe or a device may never end.

    Raises:
        OSError: It cannot be looked at, or is no regular file.
        ValueError: No file can have such a name.
    """
    return _regular(path.stat()).st_size


def _regular(found: os.stat_result) -> os.stat_result:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError("it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is no regular file, but a device, a pipe or a socket")
    return found


def open_file(path: Path, *, follow: bool = True) -> BufferedReader:
    """A regular file, to be read.

    Args:
        path: Of the file.
        follow: Whether it may be a link to one.

    Raises:
        OSError: When it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, _READING | (0 if follow else _NO_LINK))
    try:
        _regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, *, most: int | None = None, follow: bool = True) -> bytes:
    """The content of a regular file.

    Args:
        path: Of the file.
        most: Bytes that it may have; None for as many as there is memory.
        follow: See ``open_file``.

    Raises:
        OSError: See ``open_file``.
        ValueError: When it is larger.
    """
    with open_file(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise ValueError(f"it has {size:,} bytes, and a file of this kind at most {most:,}")
        if large := excess(size):
            raise ValueError(large)
        return file.read(size)


def read_text(path: Path, most: int) -> str:
    """The text of a regular UTF-8 file, without a byte order mark.

    Raises:
        OSError: See ``open_file``.
        ValueError: It has more than ``most`` bytes, or is not UTF-8.
    """
    return read_file(path, most=most).decode("utf-8-sig")


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
    part = path.parent / f".lostbits-{secrets.token_hex(8)}.part"
    # Not by tempfile, whose files are private and would stay so; this has what the user's mask
    # leaves, which a library could learn only by changing it.
    descriptor = os.open(part, _NEW, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in _pieces(content):
                file.write(piece)
            file.flush()
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
