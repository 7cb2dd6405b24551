"""Where values stop to mean anything, measured: the scores of masked rows, and what is added.

Masks decide ranges only where a row's largest score is known, so one pass over the data comes
before ranges are taken. Networks without masked scores need none.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from lostbits.data import Batch, Source
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import constant, name_of, opset
from lostbits.graph.saturation import (
    Ends,
    Saturation,
    finite_ends,
    masked_scores,
    saturations,
)
from lostbits.runtime.session import Session
from lostbits.statistic import Parts, RunningSum
from lostbits.workers.checkpoint import Folding
from lostbits.workers.handover import by_threads

# A row of n scores, of which all but one are so far below that one, is one to the last bit:
# n exp(-distance) <= 2**-24.
_LAST_BIT = 24 * math.log(2)
_CHUNK = 64  # samples between two hand-overs


def measured_saturations(
    model: ir.Model, source: Source, batch: int, folding: Folding
) -> dict[str, Saturation]:
    """By tensor, between which ends its values mean something.

    Args:
        model: The float reference.
        source: Read once where scores are masked, else not at all.
        batch: Samples a run.
        folding: Who works, and where sums are kept.
    """
    softmaxes = masked_scores(model.graph)
    scores = {name_of(v): _axes(node, model) for node in softmaxes if (v := node.inputs[0])}
    added: dict[str, Ends | None] = {}

    def asked(value: ir.Value) -> Ends | None:
        array = constant(value)
        if array is not None:
            return finite_ends(array)
        return added.setdefault(name_of(value), (-1.0, 1.0)) if scores else None

    found = saturations(model.graph, dict.fromkeys(scores, -1.0), asked)
    if not scores:
        return found
    reach = Reach.empty(scores, added)
    job = _Reaching(model, source, batch, scores, tuple(added))
    folding.run("masks", job, source.chunks(batch, _CHUNK), reach)
    added |= {name: reach.ends(name) for name in added}
    return saturations(model.graph, reach.floors(scores), asked)


def saturated(x: torch.Tensor, saturation: Saturation | None) -> torch.Tensor:
    """``x`` within its ends; beyond them there is no gradient."""
    if saturation is None:
        return x
    x = torch.nan_to_num(x, 0.0, math.inf, -math.inf) if saturation.guarded else x
    return torch.clamp(x, saturation.lo, saturation.hi) if saturation.bounded else x


def held(x: NDArray[Any], saturation: Saturation | None) -> NDArray[Any]:
    """The same of an array."""
    return x if saturation is None else saturation.held(x)


@dataclass(frozen=True)
class _Axes:
    """Over which axes a Softmax adds up: one, or before opset 13 all from one on."""

    first: int
    several: bool

    def of(self, rank: int) -> tuple[int, ...]:
        first = self.first % rank
        return tuple(range(first, rank)) if self.several else (first,)


def _axes(node: ir.Node, model: ir.Model) -> _Axes:
    several = opset(model) < 13
    return _Axes(node.attributes.get_int("axis", 1 if several else -1), several)


@final
@dataclass
class Reach(RunningSum[Parts]):
    """Least and largest of what was seen, by tensor.

    Of scores that of the largest value of each row, less what makes zero of a score. Rows of equal
    values, such as those of which all is masked, stay what they are wherever the end is.

    Attributes:
        names: Of the tensors.
        lo, hi: Shape ``(tensors,)``; infinite until something finite was seen.
    """

    names: tuple[str, ...]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
    form = Parts

    @classmethod
    def empty(cls, scores: Mapping[str, _Axes], added: Mapping[str, Any]) -> Self:
        """Nothing yet."""
        names = (*scores, *(f"{name}+" for name in added))
        return cls(names, np.full(len(names), np.inf), np.full(len(names), -np.inf))

    def include(self, name: str, ends: Ends | None) -> None:
        """Take in the ends of one batch."""
        if ends is not None:
            i = self.names.index(name)
            self.lo[i], self.hi[i] = min(self.lo[i], ends[0]), max(self.hi[i], ends[1])

    def ends(self, name: str) -> Ends | None:
        """Of what is added; None where nothing was seen."""
        i = self.names.index(f"{name}+")
        return (float(self.lo[i]), float(self.hi[i])) if self.lo[i] <= self.hi[i] else None

    def floors(self, scores: Mapping[str, _Axes]) -> dict[str, float]:
        """By scores, the end below which nothing counts in any row."""
        least = {name: float(self.lo[self.names.index(name)]) for name in scores}
        return {name: floor for name, floor in least.items() if math.isfinite(floor)}

    def merge(self, other: Self) -> Self:
        """Take in what ``other`` has seen."""
        self.lo, self.hi = np.minimum(self.lo, other.lo), np.maximum(self.hi, other.hi)
        return self

    def state(self) -> Parts:
        """The two arrays."""
        return {"lo": self.lo, "hi": self.hi}

    def restore(self, state: Parts) -> Self:
        """Those of a state."""
        lo, hi = (state[name].astype(np.float64) for name in ("lo", "hi"))
        if (lo.shape, hi.shape) != (self.lo.shape, self.hi.shape):
            raise ValueError(f"ends of shapes {lo.shape} and {hi.shape}")
        self.lo, self.hi = lo, hi
        return self


@final
@dataclass(frozen=True)
class _Reaching:
    """The pass."""

    model: ir.Model
    source: Source
    batch: int
    scores: Mapping[str, _Axes]
    added: Sequence[str]

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], Reach]:
        session = Session(with_outputs(self.model, [*self.scores, *self.added]))
        cursor = self.source.cursor()

        def work(chunk: range) -> Reach:
            reach = Reach.empty(self.scores, dict.fromkeys(self.added))
            for part in cursor.batches(chunk, self.batch):
                self._include(reach, {**part.feeds, **session.run(part.feeds)}, part)
            return reach

        return work

    def _include(self, reach: Reach, values: Mapping[str, NDArray[Any]], part: Batch) -> None:
        for name, axes in self.scores.items():
            reach.include(name, _floor(part.real(values[name]), axes))
        for name in self.added:
            reach.include(f"{name}+", finite_ends(part.real(values[name])))


def _floor(x: NDArray[Any], axes: _Axes) -> Ends | None:
    if not x.ndim or not x.size:
        return None
    over = axes.of(x.ndim)
    highest, lowest = x.max(axis=over), x.min(axis=over)
    rows = highest[np.isfinite(highest) & (highest > lowest)].astype(np.float64)
    size = math.prod(x.shape[axis] for axis in over)
    distance = _LAST_BIT + math.log(size)
    return (float(rows.min()) - distance, float(rows.max())) if rows.size else None
