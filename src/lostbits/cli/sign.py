"""A sign of life while a command is imported, which takes seconds; it needs none of that itself."""

import sys

from lostbits.cli import spoken
from lostbits.language import say

_SHOWN: list[bool] = []  # whether it is on the screen
_SILENT = {"-q", "--quiet", "-h", "--help"}


def show_sign(arguments: list[str]) -> None:
    """Say at once that a command has begun: what it needs takes seconds to import."""
    if sys.stderr.isatty() and not _SILENT & set(arguments):
        sys.stderr.write(f"  {say('progress.loading').told(spoken.language.get())}")
        sys.stderr.flush()
        _SHOWN.append(True)


def clear_sign() -> None:
    """Take that line away, if it is there."""
    if _SHOWN:
        _SHOWN.clear()
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
