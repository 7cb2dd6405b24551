"""The commands about files and runtimes, one module each; ``ALL`` is what the app registers."""

from collections.abc import Callable
from typing import Any

from lostbits.commands.export import export

ALL: tuple[Callable[..., Any], ...] = (export,)

__all__ = ["ALL", "export"]
