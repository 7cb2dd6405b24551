"""Whether normalising has kept the network: its outputs beside those of the file as it came."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.data import Batch, Source
from lostbits.errors import LostbitsError, ModelError
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import constant, name_of, values_by_name
from lostbits.graph.selection import candidates, chosen
from lostbits.graph.shown_sizes import keep_sizes
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.decibels import decibels
from lostbits.runtime.float_reference import Reference
from lostbits.runtime.session import Session

TOLERANCE = 1e-5
_NOISE = 4  # how far above what float32 itself moves a difference may be
_IDLE = frozenset({"Identity", "Dropout"})
# They hand on what they read, or saturate: of a probability near zero float32 computes the last few
# bits only, so that sums of the same products in another order move it by half.
_FOLLOWED = _IDLE | {
    *("Sigmoid", "HardSigmoid", "Softmax", "LogSoftmax", "Tanh", "Exp", "Softplus"),
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Mul"),
}
_SEVERAL = frozenset({"Concat", "Mul"})  # of whose inputs each is followed
Arrays = Mapping[str, NDArray[Any]]


def check_equal(reference: Reference, source: Source, batch: int) -> float:
    """Largest relative error of the normalised network on the first batch.

    The graph keeps the sizes of inputs and outputs; see ``keep_sizes``.

    An output counts as equal if it is, or if what it is computed from by saturating functions is,
    or if the difference is no more than ONNX Runtime's own rewriting makes.

    Raises:
        ModelError: M010 where it is none of these: normalising changed the network.
    """
    graph = reference.model.graph
    part, reference = next(iter(source.batches(batch))), _before_choices(reference)
    # Unoptimised: what ONNX Runtime's own rewriting moves (2e-5 on a text recogniser) is not ours.
    before, after = (
        trimmed({**part.feeds, **Session(m, optimise=False).run(part.feeds)}, part)
        for m in (reference.plain, reference.model)
    )
    keep_sizes(graph, after)
    worst, closer = 0.0, _Closer(reference, part)
    for name in dict.fromkeys(map(name_of, reference.model.graph.outputs)):
        error = relative_error(after[name], before[name])
        if not error < TOLERANCE:
            error = closer.error(name, error)
        worst = max(worst, error)
    return worst


def _before_choices(reference: Reference) -> Reference:
    """Networks that end before what they choose: the last bit may let them choose otherwise."""
    plain, graph = reference.plain, reference.model.graph
    behind = chosen(graph)
    names = [name_of(v) for v in graph.outputs if v not in behind]
    names += [name_of(each.value) for each in candidates(graph)] if behind else []
    if not behind or not names or not set(names) <= values_by_name(plain.graph).keys():
        return reference
    ends = (with_outputs(model, names) for model in (plain, reference.model))
    return replace(reference, plain=next(ends), model=next(ends))


def rounding_db(reference: Reference, source: Source, batch: int) -> float | None:
    """SQNR of the file in its own floats against float32, on the first batch; its worst output.

    None where the file is in float32, both are equal, or no runtime here computes in its floats.
    """
    narrow = reference.narrow
    if narrow is None:
        return None
    part = next(iter(source.batches(batch)))
    kinds = {name_of(v): v.dtype.numpy() for v in narrow.graph.inputs if v.dtype is not None}
    feeds = {name: x.astype(kinds[name]) for name, x in part.feeds.items()}
    try:
        own = Session(narrow, optimise=False).run(feeds)
    except LostbitsError:
        return None
    wide = Session(reference.plain, optimise=False).run(part.feeds)
    worst = max(relative_error(own[name].astype(wide[name].dtype), wide[name]) for name in wide)
    return decibels(1, worst**2)


@final
@dataclass(frozen=True)
class _Closer:
    """A closer look at outputs that differ, which costs three more runs."""

    reference: Reference
    part: Batch

    def error(self, output: str, error: float) -> float:
        """Relative error of the output or of what it is computed from, if that explains it."""
        found = self._error([output], [output])
        logits = self._logits(output)
        if logits is not None:
            found = min(found, self._error(*logits))
        if not found < TOLERANCE:
            raise ModelError(
                "M010",
                f"output {output!r}",
                f"{error:.1e} on the first {self.part.size} samples, which is "
                f"{found / TOLERANCE:.1f} times what float32 itself may move",
                tolerance=TOLERANCE,
            )
        return found

    def _error(self, plain: Iterable[str], normalised: Iterable[str]) -> float:
        """The largest of some tensors, in units in which the tolerance is what float32 moves."""
        worst = 0.0
        before, again, after = self._values
        for old, new in zip(plain, normalised, strict=True):
            error = relative_error(after[new], before[old])
            noise = _NOISE * relative_error(again[old], before[old])
            worst = max(worst, error * TOLERANCE / max(noise, TOLERANCE))
        return worst

    @cached_property
    def _values(self) -> tuple[Arrays, Arrays, Arrays]:
        """Outputs and logits: of the file, of the file as ONNX Runtime rewrites it, and ours."""
        plain, model = self.reference.plain, self.reference.model
        pairs = [self._logits(name_of(v)) or ([], []) for v in model.graph.outputs]
        old, new = ([n for names in side for n in names] for side in zip(*pairs, strict=True))
        feeds, part = self.part.feeds, self.part
        runs = (_with(plain, old), False), (_with(plain, old), True), (_with(model, new), False)
        before, again, after = (
            trimmed({**feeds, **Session(m, optimise=o).run(feeds)}, part) for m, o in runs
        )
        return before, again, after

    def _logits(self, output: str) -> tuple[list[str], list[str]] | None:
        """What the output is computed from by the same nodes in both networks; None if not."""
        plain, model = self.reference.plain, self.reference.model
        old, new = (_Origins.of(values_by_name(m.graph)[output]) for m in (plain, model))
        same = old.steps == new.steps and len(old.tensors) == len(new.tensors)
        return (old.tensors, new.tensors) if same and old.steps else None


@final
@dataclass(frozen=True)
class _Origins:
    """Where a value comes from.

    Attributes:
        steps: The nodes that are followed back, with their attributes and constants.
        tensors: What the first of them read.
    """

    steps: list[str]
    tensors: list[str]

    @classmethod
    def of(cls, value: ir.Value) -> "_Origins":
        """Each value is looked at once, however many ways lead to it."""
        found, waiting, seen = cls([], []), [value], set[ir.Value]()
        while waiting:
            value = waiting.pop()
            node = value.producer()
            if value in seen:
                continue
            seen.add(value)
            if node is not None and node.op_type in _FOLLOWED:
                found._step(node)
                several = node.op_type in _SEVERAL
                waiting += [v for v in node.inputs[: None if several else 1] if v is not None]
            elif constant(value) is not None:
                found.steps.append(f"constant {name_of(value)}")
            else:
                found.tensors.append(name_of(value))
        return found

    def _step(self, node: ir.Node) -> None:
        if node.op_type not in _IDLE:
            attributes = sorted(map(str, ir.to_proto(node).attribute))
            self.steps.append(f"{node.op_type} {attributes}")


def _with(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """A copy that gives these tensors as well as its own outputs."""
    copy = model.clone()
    values = values_by_name(copy.graph)
    known = [name_of(v) for v in (*copy.graph.outputs, *copy.graph.inputs)]
    for name in dict.fromkeys(names):
        if name not in known:
            copy.graph.outputs.append(values[name])
    return copy


def relative_error(a: NDArray[Any], b: NDArray[Any]) -> float:
    """``|a - b| / |b|``; 0 for equal arrays, also where both are empty, infinite or zero.

    NaN where they differ and both hold infinities.
    """
    if a.shape != b.shape:
        return float("inf")
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return float(np.linalg.norm(x - y) / max(float(np.linalg.norm(y)), 1e-30))
