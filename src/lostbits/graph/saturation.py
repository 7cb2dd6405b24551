"""Between which ends the values of a tensor mean something, by the ops that read it.

A Softmax makes zero of what lies far enough below the largest value of its row: masks of -1e4, of
the lowest float or of -infinity all say the same. Sigmoid, Tanh, Erf, HardSigmoid and Clip do not
tell apart what lies beyond their ends. Ends go from an op back to the tensors that only such ops
read, through ops that move, choose, shift or scale values.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant, is_float, name_of, reached
from lostbits.grid import Array

# Beyond these the function is within half a last bit of its limit, of one, in float32.
_LIMITS = {"Sigmoid": 17.33, "Tanh": 9.02, "Erf": 3.93}
_ADDING = frozenset({"Add", "Sub", "Max", "Min"})
_LAYOUT = frozenset(
    {
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
_HANDED = frozenset({"Cast", "Concat"})
# A factor beyond it makes a mask of a condition, 0 or 1, which is the better tensor to quantize.
_FACTOR = 1e3
_FAR = -20.0  # a constant so low, added to scores, is a mask
_UNBOUNDED = (-math.inf, math.inf)
Ends = tuple[float, float]
Known = Callable[[ir.Value], Ends | None]


@final
@dataclass(frozen=True)
class Saturation:
    """Ends beyond which all values of a tensor mean the same as the end.

    Attributes:
        lo, hi: Infinite where there is none.
        mask: Whether a Softmax decides it.
        guarded: Whether what is not a number is read as zero: behind the Softmax of a row of which
            all is masked, exporters write ``Where(IsNaN(p), 0, p)``.
    """

    lo: float = -math.inf
    hi: float = math.inf
    mask: bool = False
    guarded: bool = False

    def held(self, x: Array) -> Array:
        """``x`` within the ends, in its type."""
        x = np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf) if self.guarded else x
        if not self.bounded:
            return x
        return np.clip(x, np.asarray(self.lo, x.dtype), np.asarray(self.hi, x.dtype))

    @property
    def bounded(self) -> bool:
        """Whether there is an end."""
        return (self.lo, self.hi) != _UNBOUNDED


Saturations = Mapping[str, Saturation]  # by tensor


def masked_scores(graph: ir.Graph) -> list[ir.Node]:
    """The Softmaxes whose scores are masked: something that no linear layer made is added."""
    return [node for node in graph if node.op_type == "Softmax" and _masked(node.inputs[0])]


def _masked(value: ir.Value | None) -> bool:
    first = [] if value is None else [value]
    return any(_is_masked(v) for v in reached(first, _scores_before))


def _is_masked(value: ir.Value) -> bool:
    node = value.producer()
    if node is None:
        return value.is_graph_input()
    arrays = [constant(v) for v in node.inputs] if node.op_type in _ADDING else [np.zeros(1)]
    far = any(a is not None and a.min() < _FAR for a in arrays)
    return node.op_type == "Where" or far or all(a is None for a in arrays)


def _scores_before(value: ir.Value) -> list[ir.Value]:
    """What is no constant, before sums and what only moves or scales."""
    node = value.producer()
    if node is None:
        return []
    through = node.op_type in _LAYOUT | {"Cast", "Div", "Mul", "Neg"}
    read = node.inputs if node.op_type in _ADDING else node.inputs[:1] if through else ()
    known = {v for v in read if node.op_type in _ADDING and constant(v) is not None}
    return [v for v in read if v is not None and v not in known]


def saturations(
    graph: ir.Graph, floors: Mapping[str, float], known: Known
) -> dict[str, Saturation]:
    """By tensor, where one saturates.

    Args:
        graph: Normalised.
        floors: By the input of a Softmax: what is not above has no part in any row.
        known: Least and largest value of a tensor, of those that are finite; None where that is
            not known. Asked for what is added to a tensor that saturates.
    """
    walk = _Backwards(graph, floors, known)
    return walk.found()


def mask_tensors(graph: ir.Graph) -> frozenset[str]:
    """What only masked Softmaxes read, whatever values it holds."""
    scores = [name_of(v) for node in masked_scores(graph) if (v := node.inputs[0]) is not None]
    if not scores:
        return frozenset()
    found = saturations(graph, dict.fromkeys(scores, -1.0), lambda _: (-1.0, 1.0))
    return frozenset(name for name, each in found.items() if each.mask and each.lo > -math.inf)


@final
class _Backwards:
    """Ends of all tensors, the readers' before those of what they read."""

    def __init__(self, graph: ir.Graph, floors: Mapping[str, float], known: Known) -> None:
        self.graph, self.floors, self.known = graph, floors, known
        self.ends: dict[ir.Value, Ends] = {}
        self.masks: set[ir.Value] = set()

    def found(self) -> dict[str, Saturation]:
        for value in self._values():
            if is_float(value) and value.uses() and not value.is_graph_output():
                self._visit(value)
        return {name_of(v): made for v in self.ends if (made := self._made(v)) is not None}

    def _values(self) -> Iterator[ir.Value]:
        for node in reversed(list(self.graph)):
            yield from (o for o in node.outputs if o.name)
        yield from self.graph.inputs
        yield from self.graph.initializers.values()

    def _visit(self, value: ir.Value) -> None:
        each = [self._of_use(value, use.node, use.idx) for use in value.uses()]
        lo, hi = min(e[0] for e in each), max(e[1] for e in each)
        self.ends[value] = (lo, hi) if lo < hi else _UNBOUNDED

    def _made(self, value: ir.Value) -> Saturation | None:
        (lo, hi), guarded = self.ends[value], _guarded(value)
        if (lo, hi) == _UNBOUNDED and not guarded:
            return None
        return Saturation(lo, hi, value in self.masks, guarded)

    def _of_use(self, value: ir.Value, node: ir.Node, index: int) -> Ends:
        """Ends of an input of a node."""
        if node.domain not in ("", "ai.onnx"):
            return _UNBOUNDED
        match node.op_type:
            case "Softmax":
                return self._scores(value)
            case op if op in _LIMITS:
                return -_LIMITS[op], _LIMITS[op]
            case "HardSigmoid":
                return _hard_sigmoid(node)
            case "Clip":
                return _clip(node) if index == 0 else _UNBOUNDED
        return self._through(node, index)

    def _scores(self, value: ir.Value) -> Ends:
        floor = self.floors.get(name_of(value))
        if floor is None:
            return _UNBOUNDED
        self.masks.add(value)
        return floor, math.inf

    def _through(self, node: ir.Node, index: int) -> Ends:
        """Ends of an input, by those of what the node makes."""
        outputs = [self.ends.get(o, _UNBOUNDED) for o in node.outputs if o.name]
        out = (min(e[0] for e in outputs), max(e[1] for e in outputs)) if outputs else _UNBOUNDED
        if out == _UNBOUNDED:
            return _UNBOUNDED
        ends = self._before(node, index, out)
        value = node.inputs[index]
        if ends != _UNBOUNDED and value is not None and any(o in self.masks for o in node.outputs):
            self.masks.add(value)
        return ends

    def _before(self, node: ir.Node, index: int, out: Ends) -> Ends:
        op = node.op_type
        moved = {"Max": self._limited, "Min": self._limited, "Add": self._shifted}
        moved |= {"Sub": self._shifted, "Mul": self._scaled, "Div": self._scaled}
        if op in moved:
            return moved[op](node, index, out)
        if op == "Neg":
            return -out[1], -out[0]
        handed = op in _HANDED or (op in _LAYOUT and index == 0) or (op == "Where" and index > 0)
        return out if handed else _UNBOUNDED

    def _limited(self, node: ir.Node, index: int, out: Ends) -> Ends:
        """What is below a constant is not told apart, either."""
        others = [constant(v) for i, v in enumerate(node.inputs) if i != index]
        if len(others) != 1 or others[0] is None or not others[0].size:
            return out
        lo, hi = float(others[0].min()), float(others[0].max())
        return (max(out[0], lo), out[1]) if node.op_type == "Max" else (out[0], min(out[1], hi))

    def _shifted(self, node: ir.Node, index: int, out: Ends) -> Ends:
        """So low that the sum is beyond the end whatever else is added."""
        other = node.inputs[1 - index]
        ends = None if other is None else self.known(other)
        if ends is None or not all(map(math.isfinite, ends)):
            return _UNBOUNDED
        lo, hi = ends
        if node.op_type == "Add":
            return out[0] - hi, out[1] - lo
        return (out[0] + lo, out[1] + hi) if index == 0 else (lo - out[1], hi - out[0])

    def _scaled(self, node: ir.Node, index: int, out: Ends) -> Ends:
        factor = constant(node.inputs[1 - index])
        if factor is None or not factor.size or (node.op_type == "Div" and index == 1):
            return _UNBOUNDED
        factors = np.asarray(factor, np.float64)
        if not (np.abs(factors) <= _FACTOR).all() or not (np.abs(factors) >= 1 / _FACTOR).all():
            return _UNBOUNDED
        if (factors > 0).any() and (factors < 0).any():
            return _UNBOUNDED
        factors = factors if node.op_type == "Div" else 1 / factors
        ends = np.multiply.outer(np.array(out), [factors.min(), factors.max()])
        ends = ends if factors.max() > 0 else ends[::-1]
        return float(ends[0].min()), float(ends[1].max())


def _guarded(value: ir.Value) -> bool:
    """Whether all readers are those of ``Where(IsNaN(x), constant, x)``."""
    node = value.producer()
    if node is None or node.op_type != "Softmax" or value.is_graph_output():
        return False
    tests = [use.node for use in value.uses() if use.node.op_type == "IsNaN"]
    results = {test.outputs[0] for test in tests}
    chosen = [use for use in value.uses() if use.node.op_type != "IsNaN"]
    return bool(tests) and all(
        use.node.op_type == "Where" and use.idx == 2 and use.node.inputs[0] in results
        for use in chosen
    )


def _hard_sigmoid(node: ir.Node) -> Ends:
    alpha = node.attributes.get_float("alpha", 0.2)
    beta = node.attributes.get_float("beta", 0.5)
    return (-beta / alpha, (1 - beta) / alpha) if alpha > 0 else _UNBOUNDED


def _clip(node: ir.Node) -> Ends:
    """Constant bounds; a missing one is none."""
    lo, hi = (_bound(node, index) for index in (1, 2))
    known_lo = -math.inf if lo is None else lo
    return known_lo, math.inf if hi is None else hi


def _bound(node: ir.Node, index: int) -> float | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    array = constant(value)
    return float(array.ravel()[0]) if array is not None and array.size == 1 else None


def finite_ends(x: NDArray[np.generic]) -> Ends | None:
    """Least and largest of the values that are finite; None where there is none."""
    values = np.asarray(x)[np.isfinite(x)]
    return (float(values.min()), float(values.max())) if values.size else None
