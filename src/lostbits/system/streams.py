"""Standard streams that cost nobody a result: closed, full, without a reader, or without a letter.

What is shown is said a second time, the files hold it. So what a stream does not take is dropped,
and remembered for those to whom it matters.
"""

import io
import os
import sys
from typing import Any, TextIO, final

from lostbits.errors import OutputError


@final
class Forgiving(io.FileIO):
    """An open descriptor whose writes never fail.

    Attributes:
        lost: Why something was dropped; None while all was taken, or the reader has just gone.
    """

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what can be written; what cannot counts as written."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)
        except OSError as error:
            self.lost = self.lost or error
            return len(data)


def settle() -> None:
    """Open those streams that were closed, and make standard output and error forgiving."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # the next file that is opened would be taken for a standard stream
    os.close(descriptor)
    sys.stdout = _forgiving(1, sys.stdout, "replace")
    sys.stderr = _forgiving(2, sys.stderr, "backslashreplace")


def _forgiving(descriptor: int, known: TextIO | None, errors: str) -> TextIO:
    stream = Forgiving(descriptor, "wb", closefd=False)
    encoding = "utf-8" if known is None else known.encoding
    buffer = io.BufferedWriter(stream)
    return io.TextIOWrapper(buffer, encoding, errors, line_buffering=stream.isatty())


def lost() -> OSError | None:
    """Why standard output did not take all of it, if it did not."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, Forgiving) else None


def pour(content: bytes) -> None:
    """Write a file to standard output.

    Raises:
        OutputError: O009 when it does not take all of it, unless its reader has seen enough.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
    if error := lost():
        raise OutputError("O009", "standard output", error.strerror or str(error))
