"""Parameters and constants of a file that are not those of the plan it should hold."""

from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.taps import Operand, Tap, operands, twins

SAME = 1e-5  # relative difference of two scales that are taken for equal


@final
@dataclass(frozen=True)
class Defect:
    """A parameter or constant of a file that is not the planned one."""

    tensor: str
    node: str
    text: str


def defects_of(simulated: ir.Model, file: ir.Model) -> list[Defect]:
    """Scales, zero points and constants of ``file`` that differ from those simulated."""
    found = [
        Defect(ours.tensor, ours.nodes[-1] if ours.nodes else "", text)
        for ours, theirs in twins(simulated.graph, file.graph)
        if (text := _other_parameters(ours, theirs))
    ]
    theirs = operands(file.graph)
    for key, ours in operands(simulated.graph).items():
        if key in theirs and (text := other_values(ours, theirs[key])):
            found.append(Defect(theirs[key].tensor, key[0], text))
    order = {node.name: number for number, node in enumerate(simulated.graph)}
    return sorted(found, key=lambda d: order.get(d.node, -1))


def _other_parameters(ours: Tap, theirs: Tap) -> str:
    if ours.axis != theirs.axis or ours.scale.shape != theirs.scale.shape:
        return f"its scales lie on axis {theirs.axis}, not {ours.axis}"
    if not np.allclose(ours.scale, theirs.scale, rtol=SAME, atol=0):
        ratio = float((theirs.scale / ours.scale).max())
        return f"its scale is {ratio:.4g} times the planned one"
    if not np.array_equal(ours.zero_point, theirs.zero_point):
        return f"its zero point is {theirs.zero_point}, not {ours.zero_point}"
    return ""


def other_values(ours: Operand, theirs: Operand) -> str:
    """What makes a constant another one than was planned; empty where half a code explains it."""
    if ours.values.shape != theirs.values.shape:
        return f"its shape is {theirs.values.shape}, not {ours.values.shape}"
    float_step = 1e-6 * float(np.abs(ours.values).max(initial=0))
    step = np.broadcast_to(float_step if ours.step is None else ours.step, ours.values.shape)
    wrong = np.abs(theirs.values - ours.values) > 0.51 * step
    if not wrong.any():
        return ""
    count = f"{int(wrong.sum())} of {wrong.size} values are not the planned ones"
    if ours.step is not None and theirs.step is not None and ours.axis != theirs.axis:
        return f"its scales lie on axis {theirs.axis}, not {ours.axis}; {count}"
    if np.allclose(np.sort(theirs.values.ravel()), np.sort(ours.values.ravel()), atol=float_step):
        return f"the same values stand in another order; {count}"
    ratio = _ratio(ours.values, theirs.values)
    return f"its scale is {ratio:.4g} times the planned one" if ratio else count


def _ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    """The one factor between two arrays, if there is one."""
    live = ours != 0
    if not live.any() or (theirs[~live] != 0).any():
        return None
    ratios = theirs[live] / ours[live]
    first = float(ratios.flat[0])
    return first if np.allclose(ratios, first, rtol=SAME) else None
