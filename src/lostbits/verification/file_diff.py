"""Parameters and constants of a file that are not those of the plan it should hold."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.qdq_view import Operand, Tap, operands, taps_of, twins
from lostbits.language import Message, say
from lostbits.results.verification import Defect, Parameter

SAME = 1e-5  # relative difference of two scales that are taken for equal


_Wrong = tuple[Parameter, str, str, Message]
_Reals = NDArray[np.float64]


def defects_of(simulated: ir.Model, file: ir.Model) -> list[Defect]:
    """What of ``file`` differs from what is simulated, in the order of the network."""
    pairs, theirs = twins(simulated.graph, file.graph), operands(file.graph)
    found = [
        Defect(ours.tensor, _node(ours), *wrong)
        for ours, other in pairs
        if (wrong := next(_wrong_activation(ours, other), None))
    ]
    for key, constant in operands(simulated.graph).items():
        if key in theirs and (wrong := next(_wrong_constant(constant, theirs[key]), None)):
            found.append(Defect(theirs[key].tensor, key[0], *wrong))
    found += _unquantized(simulated, {ours.codes for ours, _ in pairs})
    order = {node.name: number for number, node in enumerate(simulated.graph)}
    return sorted(found, key=lambda d: order.get(d.node, -1))


def _node(tap: Tap) -> str:
    return tap.nodes[-1] if tap.nodes else ""


def _unquantized(simulated: ir.Model, matched: set[str]) -> list[Defect]:
    """Activations that the plan rounds and the file does not."""
    return [
        Defect(tap.tensor, _node(tap), "quantizer", "1", "0", say("defect.unquantized"))
        for tap in taps_of(simulated.graph)
        if tap.codes not in matched
    ]


def _wrong_activation(ours: Tap, theirs: Tap) -> Iterator[_Wrong]:
    """What is wrong with a quantizer, the gravest first."""
    yield from _wrong_axis(ours.axis, theirs.axis)
    if ours.scale.shape != theirs.scale.shape:
        yield _shape(ours.scale, theirs.scale)
        return
    yield from _wrong_scale(ours.scale, theirs.scale)
    yield from _wrong_zero(ours.zero_point, theirs.zero_point)


def _wrong_zero(ours: _Reals, theirs: _Reals) -> Iterator[_Wrong]:
    both = np.broadcast_arrays(ours, theirs)
    for here, there in _differing(both[0], both[1], 0):
        figures = f"{here:g}", f"{there:g}"
        yield "zero_point", *figures, say("defect.zero_point", found=figures[1], planned=figures[0])


def _wrong_axis(ours: int | None, theirs: int | None) -> Iterator[_Wrong]:
    if ours != theirs:
        words = {"found": _where(theirs), "planned": _where(ours)}
        yield "axis", str(ours), str(theirs), say("defect.axis", **words)


def _where(axis: int | None) -> Message:
    return say("defect.whole") if axis is None else say("defect.along", axis=str(axis))


def _shape(ours: _Reals, theirs: _Reals) -> _Wrong:
    figures = str(ours.shape), str(theirs.shape)
    return "shape", *figures, say("defect.shape", found=figures[1], planned=figures[0])


def _wrong_scale(ours: _Reals, theirs: _Reals) -> Iterator[_Wrong]:
    """The one that is farthest off, of several."""
    ratios = theirs.ravel() / ours.ravel()
    worst = int(np.abs(np.log(np.maximum(ratios, np.finfo(float).tiny))).argmax())
    if not np.allclose(ratios, 1, rtol=SAME, atol=0):
        figures = f"{ours.ravel()[worst]:.7g}", f"{theirs.ravel()[worst]:.7g}"
        words = {"found": figures[1], "planned": figures[0], "ratio": f"{ratios[worst]:.4g}"}
        yield "scale", *figures, say("defect.scale", **words)


def _differing(ours: _Reals, theirs: _Reals, atol: float | _Reals) -> Iterator[tuple[float, float]]:
    """The first pair that is not equal, if there is one."""
    apart = _distance(ours, theirs).ravel() > atol
    if apart.any():
        first = int(apart.argmax())
        yield float(ours.ravel()[first]), float(theirs.ravel()[first])


def _wrong_constant(ours: Operand, theirs: Operand) -> Iterator[_Wrong]:
    """What is wrong with a constant; what half a code explains is nothing."""
    if ours.values.shape != theirs.values.shape:
        yield _shape(ours.values, theirs.values)
        return
    if ours.step is not None and theirs.step is not None:
        yield from _wrong_axis(ours.axis, theirs.axis)
        yield from _wrong_scale(*np.broadcast_arrays(ours.step, theirs.step))
        if ours.zero is not None and theirs.zero is not None:
            yield from _wrong_zero(ours.zero, theirs.zero)
        yield from _wrong_codes(ours, theirs, ours.step)
    yield from _wrong_values(ours, theirs)


def _wrong_codes(ours: Operand, theirs: Operand, step: _Reals) -> Iterator[_Wrong]:
    """Other codes on the planned grid, counted from its zero."""
    here, there = (np.rint(operand.values / step) for operand in (ours, theirs))
    apart = np.abs(here - there)
    for expected, found in _differing(here, there, 0):
        words = {
            "count": f"{int((apart > 0).sum())}",
            "all": str(apart.size),
            "most": f"{apart.max():g}",
            "place": str([int(i) for i in np.argwhere(apart > 0)[0]]),
        }
        figures = f"{expected:g}", f"{found:g}"
        words |= {"planned": figures[0], "found": figures[1]}
        code = "defect.order" if _same_values(here, there) else "defect.rounding"
        yield "rounding", *figures, say(code, **words)


def _distance(ours: _Reals, theirs: _Reals) -> _Reals:
    """Magnitude of the difference; none between equal infinities, which masks hold."""
    same = ours == theirs
    apart: _Reals = np.abs(np.where(same, 0.0, ours) - np.where(same, 0.0, theirs))
    return apart


def _same_values(ours: _Reals, theirs: _Reals) -> bool:
    return np.array_equal(np.sort(ours.ravel()), np.sort(theirs.ravel()))


def _wrong_values(ours: Operand, theirs: Operand) -> Iterator[_Wrong]:
    """Of a constant that one of the two has in float."""
    finite = np.where(np.isfinite(ours.values), ours.values, 0)
    least = 1e-6 * float(np.abs(finite).max(initial=0))
    steps = [step for step in (ours.step, theirs.step) if step is not None]
    half = np.broadcast_to(0.51 * steps[0] if steps else np.asarray(least), ours.values.shape)
    wrong = _distance(ours.values, theirs.values) > half
    for expected, found in _differing(ours.values, theirs.values, half.ravel()):
        words = {"count": str(int(wrong.sum())), "all": str(wrong.size)}
        figures = f"{expected:.7g}", f"{found:.7g}"
        words |= {"planned": figures[0], "found": figures[1]}
        yield "values", *figures, say("defect.values", **words)
