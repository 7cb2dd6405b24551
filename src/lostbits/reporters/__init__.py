"""The reporters, by the names that users give to ``--format``."""

from lostbits.reporter import Reporter
from lostbits.reporters.console import Terminal
from lostbits.reporters.json import Json
from lostbits.reporters.page import Html

ALL: tuple[Reporter, ...] = (Terminal(), Json(), Html())

__all__ = ["ALL", "Html", "Json", "Terminal"]
