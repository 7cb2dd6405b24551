"""Explanations of a deviation that follow from the values of the tensor alone.

Each is a hypothesis that predicts the device's codes from the values before rounding; what it
predicts to the code, it explains.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.language import Message, say
from lostbits.results.dumps import Explanation
from lostbits.verification.evidence import Evidence
from lostbits.verification.layouts import Reals

_OFF_GRID = 0.02  # codes from the next one, from which a value is on no grid
_SAME_SCALE = 0.01  # relative difference of scales that are taken for equal
_TIE = 1e-3  # codes from a tie or an integer, where float arithmetic decides
_FEW = 16  # values that a line can be laid through
_BITS = (1, 4, 5, 6, 7, 8)  # of a multiplier that is so coarse that codes show it


@final
@dataclass(frozen=True)
class Hypothesis:
    """What may explain a deviation.

    Attributes:
        explanation: Its kind.
        explained: Part of the device's values that it gives to the code.
        near: Part that it gives within one code.
        text: In words.
    """

    explanation: Explanation
    explained: float
    near: float
    text: Message


def made(
    evidence: Evidence, kind: Explanation, codes: Reals | list[Reals], text: Message
) -> Hypothesis:
    """A hypothesis with what its codes explain."""
    return Hypothesis(kind, evidence.explained(codes), evidence.near(codes), text)


def in_float(evidence: Evidence) -> Iterator[Hypothesis]:
    """The layer ran in float: its values lie on no grid, and are those before rounding."""
    found, inside = evidence.found, evidence.inside
    off = np.abs(found - np.rint(found)) > _OFF_GRID
    if off.mean() > 0.1:
        close = np.abs(found - inside) <= np.maximum(_OFF_GRID, 1e-3 * np.abs(inside))
        share = float(close.mean())
        yield Hypothesis("float", share, share, say("dump.float"))


def other_ends(evidence: Evidence) -> Iterator[Hypothesis]:
    """Values are limited elsewhere: by an activation, a narrower grid or another zero point."""
    found, wide = evidence.found, np.rint(evidence.inside)
    lo, hi = float(found.min()), float(found.max())
    qmin, qmax = evidence.ends
    if lo > qmin + 0.5 or hi < qmax - 0.5 or lo < qmin - 0.5 or hi > qmax + 0.5:
        shift = lo - qmin if lo < qmin - 0.5 else hi - qmax if hi > qmax + 0.5 else 0.0
        if shift:
            codes = np.clip(wide, qmin + shift, qmax + shift)
            yield made(evidence, "zero_point", codes, _zero(evidence, evidence.zero - shift))
        codes = np.clip(evidence.planned, lo, hi)
        yield _limited(evidence, codes, lo, hi)


def _limited(evidence: Evidence, codes: Reals, lo: float, hi: float) -> Hypothesis:
    cut_low = bool((evidence.planned < lo - 0.5).any())
    cut_high = bool((evidence.planned > hi + 0.5).any())
    if cut_low and abs(lo - evidence.zero) <= 0.5:
        six = abs(hi - np.rint(evidence.zero + 6 / evidence.tap.scale.ravel()[0])) <= 0.5
        name = "Relu6" if six and cut_high else "Relu"
        return made(evidence, "activation", codes, say("dump.activation", name=name))
    text = say("dump.limited", low=f"{lo:g}", high=f"{hi:g}")
    return made(evidence, "saturation", codes, text)


def shifted(evidence: Evidence) -> Iterator[Hypothesis]:
    """All codes are off by the same number: the zero point is another one."""
    inner = _inner(evidence.found) & _inner(evidence.planned)
    if inner.sum() < _FEW:
        return
    shift = float(np.rint(np.median((evidence.found - evidence.planned)[inner])))
    if shift:
        codes = np.clip(np.rint(evidence.inside) + shift, *evidence.ends)
        yield made(evidence, "zero_point", codes, _zero(evidence, evidence.zero + shift))


def _zero(evidence: Evidence, found: float) -> Message:
    return say("dump.zero_point", found=f"{found:g}", planned=f"{evidence.zero:g}")


def _inner(values: Reals) -> NDArray[np.bool_]:
    """Values that are not at an end, where they may have been cut."""
    inner: NDArray[np.bool_] = (values > values.min() + 0.5) & (values < values.max() - 0.5)
    return inner


def rounding(evidence: Evidence) -> Iterator[Hypothesis]:
    """Another rule of rounding."""
    inside, zero = evidence.inside, evidence.zero
    safe = np.where(np.abs(inside - np.rint(inside)) < _TIE, np.rint(inside), inside)
    away = np.sign(inside - zero) * np.floor(np.abs(inside - zero) + 0.5 + _TIE) + zero
    rules = {
        "floor": np.floor(safe),
        "ceil": np.ceil(safe),
        "zero": np.trunc(safe - zero) + zero,
        "away": away,
        "up": np.floor(inside + 0.5 + _TIE),
    }
    for name, codes in rules.items():
        text = say("dump.rounding", rule=say(f"dump.rule_{name}"))
        yield made(evidence, "arithmetic", np.clip(codes, *evidence.ends), text)


def multiplier(evidence: Evidence) -> Iterator[Hypothesis]:
    """Requantization by a multiplier of few bits."""
    weight, source = evidence.operand(1), evidence.input_tap()
    if weight is None or source is None or weight.step is None:
        return
    steps = weight.step.ravel()
    exact = float(source.scale.ravel()[0]) * steps / float(evidence.tap.scale.ravel()[0])
    rank = evidence.runs[0].found.ndim
    axis = evidence.channel_axis(rank)
    for bits in _BITS:
        ratio = _of_bits(exact, bits) / exact
        shape = [1] * rank
        shape[axis] = ratio.size
        if ratio.size not in {1, evidence.runs[0].found.shape[axis]}:
            return
        turned = ratio.reshape(shape)
        codes = [
            evidence.rounded((run.inside - evidence.zero) * turned + evidence.zero)
            for run in evidence.runs
        ]
        yield made(evidence, "arithmetic", codes, say("dump.multiplier", bits=str(bits)))


def _of_bits(values: Reals, bits: int) -> Reals:
    """The nearest numbers of so many significant bits."""
    mantissa, exponent = np.frexp(values)
    rounded: Reals = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def other_scale(evidence: Evidence) -> Iterator[Hypothesis]:
    """Another scale, by the grid of reals or by the slope of codes."""
    for ratio, zero, codes in (*_by_grid(evidence), *_by_slope(evidence)):
        scale = float(evidence.tap.scale.ravel()[0]) * ratio
        words = {"found": f"{scale:.6g}", "ratio": f"{ratio:.4g}", "zero": f"{zero:g}"}
        if _is_native(evidence, scale):
            yield made(evidence, "override", codes, say("dump.override", **words))
        yield made(evidence, "scale", codes, say("dump.scale", **words))


def _is_native(evidence: Evidence, scale: float) -> bool:
    native = evidence.native
    return native is not None and abs(scale / native[0] - 1) <= _SAME_SCALE


def _by_grid(evidence: Evidence) -> Iterator[tuple[float, float, Reals]]:
    """Reals that are multiples of another scale: their distances tell it."""
    found, zero = evidence.found - evidence.zero, evidence.zero
    levels = np.unique(np.round(found, 3))
    gaps = np.diff(levels)
    gaps = gaps[gaps > _OFF_GRID]
    if levels.size < 4 or not gaps.size:
        return
    ratio = _refined(found, float(gaps.min()))
    steps = np.rint(found / ratio)
    if abs(ratio - 1) < 1e-3 or (np.abs(found - steps * ratio) > _OFF_GRID * 2).mean() > 0.01:
        return
    mine = np.rint((evidence.inside - zero) / ratio)
    codes = zero + ratio * np.clip(mine, steps.min(), steps.max())
    shift = evidence.ends[0] - steps.min() if steps.min() < -0.5 else evidence.ends[0]
    yield ratio, float(shift), codes


def _refined(values: Reals, step: float) -> float:
    """A step that small multiples have told, by ever larger ones."""
    most = 4.0
    while True:
        mine = values[np.abs(values) <= most * step]
        count = np.rint(mine / step)
        if (count**2).sum():
            step = float((count * mine).sum() / (count**2).sum())
        if most * step >= float(np.abs(values).max()):
            return step
        most *= 2


def _by_slope(evidence: Evidence) -> Iterator[tuple[float, float, Reals]]:
    """Codes that follow the values with another slope."""
    found, inside = evidence.found, evidence.inside
    inner = _inner(found)
    if inner.sum() < _FEW or np.ptp(inside[inner]) < 2:
        return
    slope, offset = _line(inside[inner], found[inner])
    if slope <= 0 or abs(slope - 1) < 2e-3:
        return
    zero = float(np.rint(slope * evidence.zero + offset))
    codes = evidence.rounded((inside - evidence.zero) * slope + zero)
    yield 1 / slope, zero, codes


def _line(x: Reals, y: Reals) -> tuple[float, float]:
    """A line through most of the points; those far from it are left out the next time."""
    kept = np.ones(x.size, bool)
    slope, offset = 1.0, 0.0
    for _ in range(4):
        slope, offset = (float(v) for v in np.polyfit(x[kept], y[kept], 1))
        rest = np.abs(slope * x + offset - y)
        near = rest <= max(1.0, 2 * float(np.median(rest[kept])))
        if near.sum() < _FEW:
            break
        kept = near
    return slope, offset
