"""Chords in the place of functions, where these have no finite slope.

What was quantized to zero has come to a point at which a root is infinitely steep, and a logarithm
or a quotient has no value at all. No rule of integration gets over such a point, and a last bit
leads beyond it, where a root is not a number. So an element that comes near one follows the chord
from the function's value in the float network to that in the quantized one. Both ends stay what
they are, so that attributions add up as before, and the slope is finite everywhere between them.
All other elements keep their function.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch

from lostbits.runtime.executor import Executor, Step

_REACH = 2.0  # of a way, by the longest distance of an element's ends
_TINY = float(torch.finfo(torch.float32).tiny)
_LAST_BIT = 1e-7
Inputs = Sequence[torch.Tensor | None]


class _Domain(NamedTuple):
    """Where a function of one of a node's inputs is smooth.

    Attributes:
        least, most: Its borders.
        pole: Whether it has one at zero.
        operand: Which input that is.
    """

    least: float = -math.inf
    most: float = math.inf
    pole: bool = False
    operand: int = 0

    @property
    def points(self) -> list[float]:
        """Where the slope, or the value, is infinite."""
        return [p for p in (self.least, self.most) if math.isfinite(p)] + [0.0] * self.pole

    def closed(self, x: torch.Tensor) -> torch.Tensor:
        """``x``, moved to the border where it is beyond."""
        return torch.clamp(x, self.least, self.most) if self.points else x

    def open(self, x: torch.Tensor) -> torch.Tensor:
        """``x``, moved to a last bit beside the border where it is on it, or beyond."""
        if self.pole or not self.points:
            return x
        return torch.clamp(x, self.least + _beside(self.least), self.most - _beside(self.most))


def _beside(border: float) -> float:
    """The least step away from a border that changes it; none from infinity."""
    return max(_LAST_BIT * abs(border), _TINY) if math.isfinite(border) else 0.0


_ANY, _POSITIVE, _POLE, _UNIT = _Domain(), _Domain(0.0), _Domain(pole=True), _Domain(-1.0, 1.0)
_DOMAINS = {
    "Acos": _UNIT,
    "Acosh": _Domain(1.0),
    "Asin": _UNIT,
    "Atanh": _UNIT,
    "Cosh": _ANY,  # smooth, but float32 ends soon
    "Div": _Domain(pole=True, operand=1),
    "Exp": _ANY,
    "Log": _POSITIVE,
    "Pow": _POSITIVE,  # or less narrow; see ``_of_power``
    "Reciprocal": _POLE,
    "Sinh": _ANY,
    "Sqrt": _POSITIVE,
}


@final
@dataclass(frozen=True)
class Chord:
    """A node of one batch whose function is replaced where it comes near a point.

    Attributes:
        domain: Of the function.
        near: Which elements of the input; None for none of them.
        start, end: The input in the float and in the quantized network.
        stand_in: Input whose value stands for that of ``end``: another where that is infinite.
        same: Further inputs that are the same in both networks, and need no slope.
    """

    domain: _Domain
    near: torch.Tensor | None
    start: torch.Tensor
    end: torch.Tensor
    stand_in: torch.Tensor
    same: frozenset[int] = frozenset()

    def evaluate(self, executor: Executor, step: Step, inputs: Inputs) -> tuple[torch.Tensor, ...]:
        """Outputs of the node, anywhere between the two networks."""
        index = self.domain.operand
        inputs = [
            x.detach() if x is not None and i in self.same else x for i, x in enumerate(inputs)
        ]
        x = inputs[index]
        assert x is not None
        inside = self.domain.open(x)
        if self.near is None:
            return executor.evaluate(step, _with(inputs, index, inside))
        first, last = (
            executor.evaluate(step, _with(inputs, index, torch.where(self.near, end, inside)))[0]
            for end in (self.start, self.stand_in)
        )
        return (torch.lerp(first, last, torch.where(self.near, self._part(x), 0.0)),)

    def _part(self, x: torch.Tensor) -> torch.Tensor:
        """Of the way from start to end; what moves away from both of them stays where it is."""
        way = self.end - self.start
        part = (x - self.start) / torch.where(way == 0, 1.0, way)
        return torch.where(way == 0, 0.0, part).clamp(0, 1)


Chords = Mapping[str, Chord]


def evaluated(
    executor: Executor, chords: Chords, step: Step, inputs: Inputs
) -> tuple[torch.Tensor, ...]:
    """Outputs of a node, along its chord where it has one."""
    chord = chords.get(step.name)
    if chord is None:
        return executor.evaluate(step, inputs)
    return chord.evaluate(executor, step, inputs)


def pointed(executor: Executor) -> bool:
    """Whether a node can come near a point without slope, or leave the numbers of float32."""
    return any(_can(executor, step) for step in executor.steps)


def _can(executor: Executor, step: Step) -> bool:
    domain = _DOMAINS.get(step.operator.op_type)
    if domain is None or step.node.domain not in ("", "ai.onnx"):
        return False
    if step.operator.op_type == "Pow" and executor.reader_site(step.name, 1) is None:
        exponent = executor.constants.get(step.inputs[1] or "")
        if exponent is not None and _of_power([exponent]) == _ANY:
            return False
    return step.inputs[domain.operand] not in executor.constants


def chord(executor: Executor, step: Step, plain: Inputs, quantized: Inputs) -> Chord | None:
    """The chord of a node, from what it reads in both networks; None for one that needs none."""
    if not _can(executor, step):
        return None
    domain, same = _DOMAINS[step.operator.op_type], frozenset[int]()
    if step.operator.op_type == "Pow":
        exponents = [e for e in (plain[1], quantized[1]) if e is not None]
        domain = _of_power(exponents)
        same = frozenset({1} if torch.equal(*exponents) else ())
    start, end = plain[domain.operand], quantized[domain.operand]
    if start is None or end is None or not start.is_floating_point() or not start.numel():
        return None
    end = domain.closed(end)
    first, last = (
        _alone(executor, step, domain, i, x) for i, x in ((plain, start), (quantized, end))
    )
    start, end = start.expand_as(first), end.expand_as(last)
    near = _near(domain, start, end) | ~torch.isfinite(last)
    if not near.any():
        return Chord(domain, None, start, end, end, same)
    return Chord(domain, near, start, end, _stand_in(start, first, end, last), same)


def _of_power(exponents: Sequence[torch.Tensor]) -> _Domain:
    """Whole exponents take any base, but for zero where they are negative."""
    if any((e != e.round()).any() for e in exponents):
        return _POSITIVE
    return _POLE if any((e < 0).any() for e in exponents) else _ANY


def _alone(
    executor: Executor, step: Step, domain: _Domain, inputs: Inputs, x: torch.Tensor
) -> torch.Tensor:
    """What the function makes of ``x``; of a quotient, what it makes of one."""
    if step.operator.op_type == "Div":
        return x.reciprocal()
    return executor.evaluate(step, _with(inputs, domain.operand, x))[0]


def _near(domain: _Domain, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """What one of the points is not out of reach for, on the way from start to end.

    A way need not be straight: where terms cancel, it leads as far off as errors are large.
    """
    reach = _REACH * (end - start).abs().max()
    near = torch.zeros_like(start, dtype=torch.bool)
    for point in domain.points:
        a, b = start - point, end - point
        near |= (torch.sign(a) != torch.sign(b)) | (torch.minimum(a.abs(), b.abs()) <= reach)
    return near


def _stand_in(
    start: torch.Tensor, first: torch.Tensor, end: torch.Tensor, last: torch.Tensor
) -> torch.Tensor:
    """``end``; where its value is infinite, the float input whose value comes nearest to that.

    A quantizer behind limits it to the end of its range, which stems from such values.
    """
    highest, lowest = (start.reshape(-1)[i(first)] for i in (torch.argmax, torch.argmin))
    end = torch.where(last == math.inf, highest, end)
    return torch.where(last == -math.inf, lowest, end)


def _with(inputs: Inputs, index: int, x: torch.Tensor) -> list[torch.Tensor | None]:
    return [*inputs[:index], x, *inputs[index + 1 :]]
