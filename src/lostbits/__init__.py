"""lostbits: finds the bits that quantization lost, and wins them back."""

import importlib
import typing

from lostbits import environment as environment  # first: read when others are imported

if typing.TYPE_CHECKING:
    from lostbits.case import Case
    from lostbits.diagnosis import Diagnosis, Recovery, Verification
    from lostbits.errors import LostbitsError
    from lostbits.override import Override
    from lostbits.results import read, write
    from lostbits.target import Target
    from lostbits.targets import target as find_target
    from lostbits.verbs.compare import Comparison, compare
    from lostbits.verbs.diagnose import diagnose
    from lostbits.verbs.export import Exported, export
    from lostbits.verbs.inspect import Inspection, inspect
    from lostbits.verbs.load import load
    from lostbits.verbs.recover import recover
    from lostbits.verbs.verify import verify

__all__ = [
    "Case",
    "Comparison",
    "Diagnosis",
    "Exported",
    "Inspection",
    "LostbitsError",
    "Override",
    "Recovery",
    "Target",
    "Verification",
    "__version__",
    "compare",
    "diagnose",
    "export",
    "find_target",
    "inspect",
    "load",
    "read",
    "recover",
    "verify",
    "write",
]

# Imported when they are first asked for (PEP 562): torch alone costs more than a second, which
# `lostbits --help` and a program that only catches LostbitsError need not wait for.
_HOMES = {
    "Case": "case",
    "Comparison": "verbs.compare",
    "Diagnosis": "diagnosis",
    "Exported": "verbs.export",
    "Inspection": "verbs.inspect",
    "LostbitsError": "errors",
    "Override": "override",
    "Recovery": "diagnosis",
    "Target": "target",
    "Verification": "diagnosis",
    "compare": "verbs.compare",
    "diagnose": "verbs.diagnose",
    "export": "verbs.export",
    "find_target": "targets:target",
    "inspect": "verbs.inspect",
    "load": "verbs.load",
    "read": "results",
    "recover": "verbs.recover",
    "verify": "verbs.verify",
    "write": "results",
}
# A function hides the module of its name, which is imported by ``import lostbits.recover`` alone.


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
