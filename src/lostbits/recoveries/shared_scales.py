"""Cures for a part of the network that a shared scale leaves nothing of.

Boxes in pixels and scores below 1 in one Concat have one scale, of several pixels a code: every
score becomes zero. The error of the tensor hides it, because the boxes carry its power. Each
recovery is one way out, and none is tried where no part is dead.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, final

from lostbits.case import Case
from lostbits.diagnoses.scale_remedies import remedied, remedies
from lostbits.graph.scale_marks import Scaling
from lostbits.language import Message, say
from lostbits.plan.dead_channels import DeadPart, dead_parts
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage

_MOST = 30.0  # dB: more is predicted of nothing
_BIT = 6.02  # dB
# What costs least is tried first; each later one only where parts are dead still.
_ORDER = (Scaling.FLOAT, Scaling.OWN, Scaling.WIDE, Scaling.SPLIT)


@final
@dataclass(frozen=True)
class _Cure:
    """One way out for all dead parts that it is open to."""

    case: Case
    name: str
    scaling: Scaling

    @cached_property
    def parts(self) -> list[DeadPart]:
        """Those that the target can cure in this way."""
        return [p for p in dead_parts(self.case) if self.scaling in remedies(self.case, p)]

    def gain(self, diagnosed: Diagnosed) -> float:
        """The bits that a scale of its own gives the part, less for what costs more."""
        bits = max((part.lost_bits for part in self.parts), default=0.0)
        return min(_BIT * bits, _MOST) * (1 - 0.1 * _ORDER.index(self.scaling))

    def change(self) -> Change:
        """The network with its marks."""
        case, parts = self.case, self.parts
        if not parts:
            return Change(self.name, say("ledger.scales_none"))
        for part in parts:
            model = remedied(case, part, self.scaling)
            case = replace(case, model=model)
        return Change(self.name, self._summary(parts), model=case.model)

    def _summary(self, parts: list[DeadPart]) -> Message:
        tensors = ", ".join(part.tensor for part in parts)
        return say(f"ledger.scales_{self.scaling}", tensors=tensors)


@dataclass(frozen=True, kw_only=True)
class _OneWay(Rewriting):
    """A recovery that is one way out."""

    source: ClassVar[str] = "the target's own rules; measured"
    stage: ClassVar[Stage] = "scales"
    scaling: ClassVar[Scaling]

    @property
    def keeps_function(self) -> bool:
        """Scales are no part of the float network."""
        return True

    def consider(self, case: Case) -> _Cure:
        """What it would do about the parts that are dead in this case."""
        return _Cure(case, self.name, self.scaling)


@final
@dataclass(frozen=True, kw_only=True)
class FloatOutput(_OneWay):
    """Leaves the result of the Concat, or of the last layer, in float."""

    name: ClassVar[str] = "float_output"
    title: ClassVar[str] = "a tensor whose small parts its scale loses, left in float"
    scaling: ClassVar[Scaling] = Scaling.FLOAT


@final
@dataclass(frozen=True, kw_only=True)
class OwnScales(_OneWay):
    """Gives the operands of a Concat, and its output, a scale each."""

    name: ClassVar[str] = "own_scales"
    title: ClassVar[str] = "operands of a Concat with scales of their own"
    scaling: ClassVar[Scaling] = Scaling.OWN


@final
@dataclass(frozen=True, kw_only=True)
class WideScale(_OneWay):
    """Gives all that shares the scale the target's wide grid."""

    name: ClassVar[str] = "wide_scale"
    title: ClassVar[str] = "a shared scale that loses small parts, at 16 bits"
    scaling: ClassVar[Scaling] = Scaling.WIDE


@final
@dataclass(frozen=True, kw_only=True)
class SplitOutput(_OneWay):
    """Leaves the last Concat to the host: its operands are outputs, each with its own scale."""

    name: ClassVar[str] = "split_output"
    title: ClassVar[str] = "operands of the last Concat as outputs of their own"
    scaling: ClassVar[Scaling] = Scaling.SPLIT
