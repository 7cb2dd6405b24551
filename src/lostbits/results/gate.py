"""What a comparison must keep, as the user writes it: ``sqnr_db>=-0.5``.

=========================== ==============================================================
``sqnr_db>=-0.5``           the new figure less the old one
``new.agreement>=0.99``     the new figure by itself, which needs no old one
``codes<=0.5``, ``0.5``     how far the ends of ranges moved, which needs no data
=========================== ==============================================================
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from lostbits.errors import TargetError, close_match
from lostbits.language import say
from lostbits.results.checks import Check
from lostbits.runtime.goal import FIGURES, SIGNS, Goal
from lostbits.runtime.metrics import Baseline

CODES = "codes"
_NEW = "new."
_FORM = re.compile(r"\s*((?:new\.)?\w+)\s*(>=|<=)\s*([-+.\deE]+)\s*")


@final
@dataclass(frozen=True)
class Gate:
    """A bound on the change of a figure, or on the figure of the new side.

    Attributes:
        goal: Figure, sign and bound.
        absolute: Whether it bounds the new figure, and not its change.
    """

    goal: Goal
    absolute: bool = False

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """Read one of the forms of the module's table.

        >>> Gate.parse("sqnr_db>=-0.5")
        Gate(goal=Goal(name='sqnr_db', sign='>=', bound=-0.5), absolute=False)

        Raises:
            TargetError: T030.
        """
        whole = text if _number(text) is None else f"{CODES}<={text}"
        match = _FORM.fullmatch(whole)
        name = (match[1] if match else re.split(r"[<>=]", text)[0].strip()).removeprefix(_NEW)
        if match is None or name not in (*FIGURES, CODES):
            found = "no such figure" if match else "another form"
            advice = close_match(name, [*FIGURES, CODES])
            raise TargetError("T030.form", f"--gate {text}", found, advice=advice)
        if (bound := _number(match[3])) is None:
            raise TargetError("T030.number", f"--gate {text}", match[3])
        return cls(Goal(name, match[2], bound), match[1] != name)

    @property
    def measured(self) -> bool:
        """Whether it takes figures of outputs."""
        return self.goal.name != CODES

    def check(self, old: Baseline | None, new: Baseline | None, codes: float) -> Check:
        """Whether the bound is kept.

        Raises:
            TargetError: T031 where a side was not measured, or not this figure of it.
        """
        value = self._value(old, new) if self.measured else codes
        return check_of(str(self), self.goal, value)

    def _value(self, old: Baseline | None, new: Baseline | None) -> float:
        """The figure, or its change; of two that are infinite there is none."""
        after = self._figure(new, "new")
        if self.absolute:
            return after
        before = self._figure(old, "old")
        return 0.0 if after == before else after - before

    def _figure(self, side: Baseline | None, name: str) -> float:
        if side is None:
            raise TargetError("T031.side", f"--gate {self}", f"no figures of the {name} side")
        if (value := self.goal.figure(side)) is None:
            found = f"not measured of the {name} side: {FIGURES[self.goal.name]}"
            raise TargetError("T031.figure", f"--gate {self}", found)
        return value

    def __str__(self) -> str:
        return f"{_NEW if self.absolute else ''}{self.goal}"


def check_of(bound: str, goal: Goal, value: float) -> Check:
    """A figure held against a bound."""
    met = SIGNS[goal.sign](value, goal.bound)
    code = "check.met" if met else "check.missed"
    return Check(bound, value, met, say(code, bound=bound, value=f"{value:.6g}"))


def checked_goal(goal: Goal, found: Baseline) -> Check:
    """A goal held against the figures.

    Raises:
        TargetError: T013, when the figure does not apply.
    """
    goal.met(found)
    value = goal.figure(found)
    assert value is not None
    return check_of(str(goal), goal, value)


def checks_of(
    gates: Sequence[Gate], old: Baseline | None, new: Baseline | None, codes: float
) -> list[Check]:
    """Every gate, in order; see ``Gate.check``."""
    return [gate.check(old, new, codes) for gate in gates]


def _number(text: str) -> float | None:
    """A finite number; None for anything else."""
    try:
        return number if math.isfinite(number := float(text)) else None
    except ValueError:
        return None
