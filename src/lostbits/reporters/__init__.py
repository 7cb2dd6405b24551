"""The reporters, by the names that users give to ``--format``."""

from lostbits.errors import TargetError
from lostbits.members import Members
from lostbits.reporter import Reporter
from lostbits.reporters.console import Terminal
from lostbits.reporters.json import Json
from lostbits.reporters.page import Html

ALL: tuple[Reporter, ...] = (Terminal(), Json(), Html())


def _unknown(name: str, advice: str) -> TargetError:
    return TargetError("T009", f"--format {name}", "no such format", advice=advice)


MEMBERS: Members[Reporter] = Members("lostbits.reporters", Reporter, ALL, _unknown)

__all__ = ["ALL", "MEMBERS", "Html", "Json", "Terminal"]
