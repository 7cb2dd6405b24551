"""What a recovery should reach, as the user writes it: ``sqnr_db>=20``."""

import math
import operator
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import final

from lostbits.errors import TargetError, close_match
from lostbits.runtime.metrics import Baseline

SIGNS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}
FIGURES = {
    "sqnr_db": "signal to quantization noise of the outputs, dB",
    "agreement": "share of samples whose largest output stays the same",
    "accuracy": "share of right answers of the quantized network (needs labels)",
    "accuracy_drop": "accuracy of the float network minus that of the quantized one",
    "metric": "the figure of --metric",
    "kl": "Kullback-Leibler divergence from the float network, nats a sample",
}


@final
@dataclass(frozen=True)
class Goal:
    """A bound on one figure of the held-out samples.

    Attributes:
        name: ``sqnr_db``, ``agreement``, ``accuracy``, ``accuracy_drop``, ``metric`` or ``kl``.
        sign: ``>=`` or ``<=``.
        bound: In the unit of the figure.
    """

    name: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Read ``NAME>=NUMBER`` or ``NAME<=NUMBER``.

        >>> Goal.parse("sqnr_db >= 20")
        Goal(name='sqnr_db', sign='>=', bound=20.0)

        Raises:
            TargetError: T012.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=)\s*([-+.\deE]+)\s*", text)
        if match is None or match[1] not in FIGURES:
            name = match[1] if match else re.split(r"[<>=]", text)[0].strip()
            raise TargetError(
                "T012.form",
                f"--goal {text}",
                "no such figure" if match else "another form",
                advice=close_match(name, FIGURES),
            )
        return cls(match[1], match[2], _finite(text, match[3]))

    def figure(self, found: Baseline) -> float | None:
        """The figure that is bounded; None where it does not apply to the network."""
        match self.name:
            case "accuracy":
                return found.accuracy_quantized
            case "accuracy_drop":
                if found.accuracy_float is None or found.accuracy_quantized is None:
                    return None
                return found.accuracy_float - found.accuracy_quantized
            case "metric":
                if found.metric is None:
                    return None
                figure = found.metric.quantized
                return math.inf if figure is None else figure
            case name:
                value: float | None = getattr(found, name)
                # No error at all is an infinite ratio, which decibels cannot say.
                return float("inf") if name == "sqnr_db" and value is None else value

    def met(self, found: Baseline) -> bool:
        """Whether the figures keep the bound.

        Raises:
            TargetError: T013, when the figure does not apply.
        """
        value = self.figure(found)
        if value is None:
            raise TargetError("T013", f"--goal {self.name}", "not measured: " + FIGURES[self.name])
        return SIGNS[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:g}"


def _finite(text: str, number: str) -> float:
    """The bound; 1e400 is read as infinite, which is none."""
    with suppress(ValueError):
        if math.isfinite(bound := float(number)):
            return bound
    raise TargetError("T012.number", f"--goal {text}", number)


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Read a time: ``90s``, ``10m``, ``1.5h``, or plain seconds.

    >>> seconds("10m")
    600.0

    Raises:
        TargetError: T014.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    found = float(match[1]) * _UNITS[match[2]] if match else math.inf
    if not math.isfinite(found):
        raise TargetError("T014", f"--budget {text}", "another form")
    return found
