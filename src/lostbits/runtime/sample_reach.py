"""How far samples reach in every tensor of the float network, in one streamed pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Self, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.data import Batch, Source
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import name_of
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.session import Session
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool

_BATCH = 8
Limits = Mapping[str, tuple[float, float]]


@final
@dataclass
class Reach:
    """What was seen of one tensor; parts of the data add up.

    Attributes:
        lo, hi: Extremes of the first and of the second half of the samples, shape (2,).
        total, square: Sums of the values and of their squares.
        size: How many values.
        below, above: Values beyond the limits that were given.
        means: Mean of every sample, where axis 0 counts samples.
        constant: Numbers of the samples whose values are all equal.
    """

    lo: NDArray[np.float64] = field(default_factory=lambda: np.full(2, np.inf))
    hi: NDArray[np.float64] = field(default_factory=lambda: np.full(2, -np.inf))
    total: float = 0.0
    square: float = 0.0
    size: int = 0
    below: int = 0
    above: int = 0
    means: list[float] = field(default_factory=list)
    constant: list[int] = field(default_factory=list)

    def merge(self, other: Self) -> Self:
        """Add what was seen elsewhere, after all that was seen here."""
        self.lo, self.hi = np.minimum(self.lo, other.lo), np.maximum(self.hi, other.hi)
        self.total += other.total
        self.square += other.square
        self.size += other.size
        self.below += other.below
        self.above += other.above
        self.means += other.means
        self.constant += other.constant
        return self

    @property
    def span(self) -> tuple[float, float]:
        """Extremes of all samples."""
        return float(self.lo.min()), float(self.hi.max())

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return float(np.sqrt(self.square / max(self.size, 1)))

    @property
    def mean(self) -> float:
        """Of all values."""
        return self.total / max(self.size, 1)

    @property
    def outside(self) -> float:
        """Part of the values beyond the limits."""
        return (self.below + self.above) / max(self.size, 1)

    @property
    def growth(self) -> float:
        """How much wider all samples reach than half of them, as the mean of both halves."""
        (lo, hi), halves = self.span, self.hi - self.lo
        if hi <= lo or not np.isfinite(halves).all():
            return 0.0
        return float(1 - np.mean(halves) / (hi - lo))


@final
@dataclass(frozen=True)
class _Looking:
    """The job: its items are chunks of samples."""

    model: ir.Model
    tensors: Sequence[str]
    limits: Limits
    source: Source

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], dict[str, Reach]]:
        inputs = {name_of(v) for v in self.model.graph.inputs}
        made = [name for name in self.tensors if name not in inputs]
        session = Session(with_outputs(self.model, made)) if made else None
        cursor, half = self.source.cursor(), len(self.source) / 2

        def look(chunk: range) -> dict[str, Reach]:
            found: dict[str, Reach] = {name: Reach() for name in self.tensors}
            for part in cursor.batches(chunk, _BATCH):
                ran = {} if session is None else session.run(part.feeds)
                values = trimmed({**part.feeds, **ran}, part)
                for name in self.tensors:
                    seen = _seen(values[name], part, half, self.limits.get(name))
                    found[name].merge(seen)
            return found

        return look


def _seen(x: NDArray[Any], part: Batch, half: float, limits: tuple[float, float] | None) -> Reach:
    if not x.size:
        return Reach()
    found, which = Reach(size=x.size), int(part.first >= half)
    found.lo[which], found.hi[which] = float(x.min()), float(x.max())
    flat = x.astype(np.float64, copy=False).ravel()
    with np.errstate(invalid="ignore"):  # infinities of a mask have no mean
        found.total, found.square = float(flat.sum()), float(flat @ flat)
    if limits is not None and found.lo[which] < limits[0]:
        found.below = int(np.count_nonzero(x < limits[0]))
    if limits is not None and found.hi[which] > limits[1]:
        found.above = int(np.count_nonzero(x > limits[1]))
    if x.ndim and x.shape[0] == part.size:
        rows = x.reshape(part.size, -1)
        with np.errstate(invalid="ignore"):
            found.means = [float(m) for m in rows.mean(1, dtype=np.float64)]
        still = np.flatnonzero(rows.min(1) == rows.max(1))
        found.constant = [] if rows.shape[1] < 2 else [part.first + int(i) for i in still]
    return found


def sample_reach(
    model: ir.Model,
    tensors: Sequence[str],
    source: Source,
    pool: Pool,
    limits: Limits | None = None,
) -> dict[str, Reach]:
    """What samples make of tensors of a float network.

    Args:
        model: The network.
        tensors: Names of inputs or inner tensors.
        source: Read once.
        pool: Who works.
        limits: Beyond which values are counted, by tensor.
    """
    looking = _Looking(model, tuple(tensors), limits or {}, source)
    parts = pool.map(looking, source.chunks(_BATCH, _BATCH))
    return reduce(_joined, parts, {name: Reach() for name in tensors})


def _joined(sums: dict[str, Reach], more: Mapping[str, Reach]) -> dict[str, Reach]:
    for name, one in more.items():
        sums[name].merge(one)
    return sums
