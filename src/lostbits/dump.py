"""Contract of a dump format: files that a device has put out -> tensors by name and sample.

A dump rarely says all that it holds: raw bytes have neither type nor shape, names were changed on
the way, and axes lie as the device likes them. What is told is passed on; the rest is found by
comparison with the simulation (``verification.layouts``).
"""

import abc
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, final

from numpy.typing import NDArray

from lostbits.errors import DumpError, described, first_line

_RUN = re.compile(
    r"(?:result|sample|iter|iteration|input|image|batch|run|step)?[-_]?(\d+)", re.IGNORECASE
)
_NO_NAME = frozenset({"npy", "txt", "raw", "outputs", "output", "tensors", "dump", "dumps"})
Content = NDArray[Any] | bytes


@final
@dataclass(frozen=True)
class Stored:
    """One tensor in a dump.

    Attributes:
        name: As the dump calls it.
        sample: Number of the run that it is of; None where the file has all, or does not tell.
        where: The file, for messages.
        load: Reads an array, or bytes whose type and shape the file does not tell.
    """

    name: str
    sample: int | None
    where: str
    load: Callable[[], Content]

    def content(self) -> Content:
        """What the file holds.

        Raises:
            DumpError: V002, in the parser's words.
        """
        try:
            return self.load()
        except DumpError:
            raise
        except Exception as error:  # parsers of arrays raise whatever they come across
            raise unreadable(self.where, first_line(error) or described(error)) from error


class DumpFormat(abc.ABC):
    """Understands the files of one kind of dump.

    Attributes:
        name: Of the format, for tables and messages.
        title: One line.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abc.abstractmethod
    def takes(self, files: Sequence[Path]) -> list[Path]:
        """Those of the files of a folder that are of this format, by name and first bytes."""

    @abc.abstractmethod
    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """The tensors in one of the files that it takes.

        Raises:
            DumpError: V002 for a file that is damaged.
        """


def unreadable(where: str, found: str) -> DumpError:
    """An error for a file that cannot be read to its end."""
    return DumpError("V002", where, found)


def placed(root: Path, file: Path) -> tuple[str, int | None]:
    """Name of the tensor in a file of its own, and number of the sample, by where it lies.

    Folders such as ``Result_3`` count samples; others are part of the name, since some tools make
    folders of the slashes in it.

    >>> placed(Path("out"), Path("out/Result_3/layer1/conv.raw"))
    ('layer1/conv', 3)
    """
    parts = PurePosixPath(file.relative_to(root).as_posix()).with_suffix("").parts
    numbers = [m for part in parts[:-1] if (m := _RUN.fullmatch(part))]
    kept = [p for p in parts[:-1] if not _RUN.fullmatch(p) and p.lower() not in _NO_NAME]
    return "/".join([*kept, parts[-1]]), int(numbers[0][1]) if numbers else None


def beginning(file: Path, count: int = 4096) -> bytes:
    """The first bytes of a file."""
    with file.open("rb") as stream:
        return stream.read(count)
