"""lostbits: finds the bits that quantization lost, and wins them back."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from lostbits.case import Case
    from lostbits.errors import LostbitsError
    from lostbits.estimators import (
        AciqGauss,
        AciqLaplace,
        Entropy,
        MeanSquaredError,
        MinMax,
        Percentile,
        SnpeEnhanced,
    )
    from lostbits.plan.tensor_settings import Override
    from lostbits.recoveries import (
        Absorption,
        AdaRound,
        AnalyticBias,
        BiasCorrection,
        BlockReconstruction,
        Equalization,
        FloatOps,
        FloatOutput,
        InputScaling,
        Migration,
        OwnScales,
        Precision,
        Ranges,
        SecondOrder,
        SplitOutput,
        Splitting,
        WideScale,
    )
    from lostbits.results.comparison import Comparison
    from lostbits.results.diagnosis import Diagnosis, Recovery
    from lostbits.results.verification import Verification
    from lostbits.target import Target
    from lostbits.targets import target as find_target
    from lostbits.verbs.compare import compare
    from lostbits.verbs.diagnose import diagnose
    from lostbits.verbs.export import Exported, export
    from lostbits.verbs.inspect import Inspection, inspect
    from lostbits.verbs.load import load
    from lostbits.verbs.recover import recover
    from lostbits.verbs.result_files import read, write
    from lostbits.verbs.verify import verify

__all__ = [
    "Absorption",
    "AciqGauss",
    "AciqLaplace",
    "AdaRound",
    "AnalyticBias",
    "BiasCorrection",
    "BlockReconstruction",
    "Case",
    "Comparison",
    "Diagnosis",
    "Entropy",
    "Equalization",
    "Exported",
    "FloatOps",
    "FloatOutput",
    "InputScaling",
    "Inspection",
    "LostbitsError",
    "MeanSquaredError",
    "Migration",
    "MinMax",
    "Override",
    "OwnScales",
    "Percentile",
    "Precision",
    "Ranges",
    "Recovery",
    "SecondOrder",
    "SnpeEnhanced",
    "SplitOutput",
    "Splitting",
    "Target",
    "Verification",
    "WideScale",
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
    "Comparison": "results.comparison",
    "Diagnosis": "results.diagnosis",
    "Exported": "verbs.export",
    "Inspection": "verbs.inspect",
    "LostbitsError": "errors",
    "Override": "plan.tensor_settings",
    "Recovery": "results.diagnosis",
    "Target": "target",
    "Verification": "results.verification",
    "compare": "verbs.compare",
    "diagnose": "verbs.diagnose",
    "export": "verbs.export",
    "find_target": "targets:target",
    "inspect": "verbs.inspect",
    "load": "verbs.load",
    "read": "verbs.result_files",
    "recover": "verbs.recover",
    "verify": "verbs.verify",
    "write": "verbs.result_files",
    **dict.fromkeys(
        (
            "AciqGauss",
            "AciqLaplace",
            "Entropy",
            "MeanSquaredError",
            "MinMax",
            "Percentile",
            "SnpeEnhanced",
        ),
        "estimators",
    ),
    **dict.fromkeys(
        (
            "Absorption",
            "AdaRound",
            "AnalyticBias",
            "BiasCorrection",
            "BlockReconstruction",
            "Equalization",
            "FloatOps",
            "FloatOutput",
            "InputScaling",
            "Migration",
            "OwnScales",
            "Precision",
            "Ranges",
            "SecondOrder",
            "SplitOutput",
            "Splitting",
            "WideScale",
        ),
        "recoveries",
    ),
}
# A function hides the module of its name, which is imported by ``import lostbits.recover`` alone.


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")  # without one, the name is the same there
    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
