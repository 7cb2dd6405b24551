"""lostbits: finds the bits that quantization lost."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from lostbits.api import Settings, diagnose
    from lostbits.errors import LostbitsError
    from lostbits.override import Override
    from lostbits.results import write
    from lostbits.target import Target
    from lostbits.targets import target as find_target

__all__ = ["LostbitsError", "Override", "Settings", "Target", "diagnose", "find_target", "write"]

# Imported when they are first asked for (PEP 562): torch alone costs more than a second, which
# `lostbits --help` and a program that only catches LostbitsError need not wait for.
_HOMES = {
    "LostbitsError": "errors:LostbitsError",
    "Override": "case:Override",
    "Settings": "api:Settings",
    "Target": "target:Target",
    "diagnose": "api:diagnose",
    "find_target": "targets:target",
    "write": "results:write",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
