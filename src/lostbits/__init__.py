"""lostbits: finds the bits that quantization lost, and wins them back."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from lostbits.arithmetics import arithmetic as find_arithmetic
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
        FewerBits,
        FloatOps,
        FloatOutput,
        HalfStep,
        InputScaling,
        JointFactors,
        Migration,
        NamedRanges,
        OwnScales,
        Precision,
        Ranges,
        SecondOrder,
        SplitOutput,
        Splitting,
        UnsignedWeights,
        WideScale,
    )
    from lostbits.results.comparison import Comparison
    from lostbits.results.diagnosis import Diagnosis, Recovery
    from lostbits.results.dumps import DumpVerification
    from lostbits.results.verification import Verification
    from lostbits.target import Arithmetic, Target
    from lostbits.targets import target as find_target
    from lostbits.verbs.compare import compare
    from lostbits.verbs.diagnose import diagnose
    from lostbits.verbs.export import Exported, export
    from lostbits.verbs.inspect import Inspection, inspect
    from lostbits.verbs.load import load
    from lostbits.verbs.overlay import overlay
    from lostbits.verbs.recover import recover
    from lostbits.verbs.result_files import read, write
    from lostbits.verbs.verify import verify

__all__ = [
    "Absorption",
    "AciqGauss",
    "AciqLaplace",
    "AdaRound",
    "AnalyticBias",
    "Arithmetic",
    "BiasCorrection",
    "BlockReconstruction",
    "Case",
    "Comparison",
    "Diagnosis",
    "DumpVerification",
    "Entropy",
    "Equalization",
    "Exported",
    "FewerBits",
    "FloatOps",
    "FloatOutput",
    "HalfStep",
    "InputScaling",
    "Inspection",
    "JointFactors",
    "LostbitsError",
    "MeanSquaredError",
    "Migration",
    "MinMax",
    "NamedRanges",
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
    "UnsignedWeights",
    "Verification",
    "WideScale",
    "__version__",
    "compare",
    "diagnose",
    "export",
    "find_arithmetic",
    "find_target",
    "inspect",
    "load",
    "overlay",
    "read",
    "recover",
    "verify",
    "write",
]

# Imported when they are first asked for (PEP 562): torch alone costs more than a second, which
# `lostbits --help` and a program that only catches LostbitsError need not wait for.
_HOMES = {
    "Arithmetic": "target",
    "Case": "case",
    "Comparison": "results.comparison",
    "Diagnosis": "results.diagnosis",
    "DumpVerification": "results.dumps",
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
    "find_arithmetic": "arithmetics:arithmetic",
    "find_target": "targets:target",
    "inspect": "verbs.inspect",
    "load": "verbs.load",
    "overlay": "verbs.overlay",
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
            "FewerBits",
            "FloatOps",
            "FloatOutput",
            "HalfStep",
            "InputScaling",
            "JointFactors",
            "Migration",
            "NamedRanges",
            "OwnScales",
            "Precision",
            "Ranges",
            "SecondOrder",
            "SplitOutput",
            "Splitting",
            "UnsignedWeights",
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
