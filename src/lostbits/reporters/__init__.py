"""The reporters, by the names that users give to ``--format``."""

from lostbits.reporter import Reporter
from lostbits.reporters.console import Terminal
from lostbits.reporters.json import Json

ALL: tuple[Reporter, ...] = (Terminal(), Json())

__all__ = ["ALL", "Json", "Terminal"]
