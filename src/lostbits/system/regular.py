"""Regular files, which hold still and have a size; a pipe or a device may never end."""

import stat
from pathlib import Path

MOST_SETTINGS = 1 << 14  # bytes of a TOML file; its parser takes half a minute for a key of 60 kB


def size_of(path: Path) -> int:
    """Bytes of a regular file.

    Raises:
        OSError: It cannot be looked at, or is no regular file.
        ValueError: No file can have such a name.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError("it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is no regular file, but a device, a pipe or a socket")
    return found.st_size


def text_of(path: Path, most: int) -> str:
    """The text of a regular UTF-8 file, without a byte order mark.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: As ``size_of``, or it cannot be read.
        ValueError: It has more bytes, or is not UTF-8.
    """
    size = size_of(path)
    if size > most:
        raise ValueError(f"it has {size:,} bytes, and a file of this kind at most {most:,}")
    with path.open("rb") as file:
        return file.read(most).decode("utf-8-sig")
