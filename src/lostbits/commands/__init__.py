"""The commands about files and runtimes, one module each; ``ALL`` is what the app registers."""

from collections.abc import Callable
from typing import Any

from lostbits.commands.export import export
from lostbits.commands.inspect import inspect
from lostbits.commands.verify import backends, verify

ALL: tuple[Callable[..., Any], ...] = (export, inspect, verify, backends)

__all__ = ["ALL", "backends", "export", "inspect", "verify"]
