"""Channels that a scale is too coarse for: what they share it with is so much larger.

A channel whose values all round to one code is constant afterwards, whatever it said. The error of
the whole tensor hides that, because the large channels carry its power.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.graph.queries import constant, name_of, node_name, reached
from lostbits.grid import Affine
from lostbits.statistics import Histogram

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_POOR = 4.0  # power over error of a channel that keeps one bit
_HALF = 0.5  # of the channels of an operand: with fewer it still says something
# From here on channels are lost because of their sizes, and not by rounding as such.
_UNLIKE = 16.0


@final
@dataclass(frozen=True)
class Rounded:
    """What one scale leaves of the channels of a tensor.

    Attributes:
        channels: Those that are not zero throughout.
        constant: Of these, those with a single code.
        poor: Those that keep less than a bit beside them.
        reach: Largest magnitude.
        power, error: Sums of squares, of the values and of their rounding.
    """

    channels: int
    constant: int
    poor: int
    reach: float
    power: float
    error: float

    def __add__(self, other: "Rounded") -> "Rounded":
        return Rounded(
            self.channels + other.channels,
            self.constant + other.constant,
            self.poor + other.poor,
            max(self.reach, other.reach),
            self.power + other.power,
            self.error + other.error,
        )

    @property
    def lost(self) -> bool:
        """Whether half of the channels say nothing any more."""
        return self.channels > 0 and self.constant + self.poor >= _HALF * self.channels

    @property
    def sqnr_db(self) -> float | None:
        """Of these channels alone; None where one of the sums is zero."""
        if not (self.power > 0 and self.error > 0):
            return None
        return float(10 * np.log10(self.power / self.error))


_NONE = Rounded(0, 0, 0, 0.0, 0.0, 0.0)


@final
@dataclass(frozen=True)
class DeadPart:
    """What a shared scale leaves nothing of: operands of a Concat, or channels of an end.

    Attributes:
        tensor: Whose scale it is.
        node: What makes the tensor; empty for an input of the network.
        operands: Those that are lost; none for channels of a tensor that no Concat makes.
        sources: Quantized tensors whose rounding it is.
        beside: The largest of what shares the scale.
        affine: The scale.
        rounded: What is left of the lost ones.
        widest: Reach of the largest.
    """

    tensor: str
    node: str
    operands: tuple[str, ...]
    sources: tuple[str, ...]
    beside: str
    affine: Affine
    rounded: Rounded
    widest: float

    @property
    def scale(self) -> float:
        """Real units per code."""
        return float(self.affine.scale.max())

    @property
    def lost_bits(self) -> float:
        """What a scale of its own would give the lost part in addition."""
        return float(np.log2(self.widest / self.rounded.reach))


def rounded(rows: Histogram, affine: Affine) -> Rounded:
    """What one grid for all leaves of the rows of a histogram."""
    live, constant, poor, power, error = _by_row(rows, affine)
    return Rounded(
        channels=int(live.sum()),
        constant=int(constant.sum()),
        poor=int(poor.sum()),
        reach=float(rows.absmax.max()),
        power=float(power.sum()),
        error=float(error.sum()),
    )


def _by_row(rows: Histogram, affine: Affine) -> tuple[Flags, Flags, Flags, Floats, Floats]:
    """Whether each row is not zero, has a single code, keeps less than a bit; power and error."""
    scale, zero = float(affine.scale.max()), float(np.ravel(affine.zero_point)[0])
    low, high = (
        np.clip(np.rint(end / scale) + zero, affine.grid.qmin, affine.grid.qmax)
        for end in (rows.lo, rows.hi)
    )
    live = rows.absmax > 0
    middles = (rows.edges[:, :-1] + rows.edges[:, 1:]) / 2
    power = (rows.live * middles**2).sum(1)
    ends = (np.broadcast_to(e.max(), live.shape) for e in (affine.lo, affine.hi, affine.scale))
    error = np.asarray(rows.distortion(*ends).total)
    constant = live & (low == high)
    return live, constant, live & ~constant & (power < _POOR * error), power, error


def dead_parts(case: Case) -> list[DeadPart]:
    """What a scale that is shared with something larger leaves nothing of, in graph order.

    Statistics of the case are those of calibration; nothing is run.
    """
    search = _Search(case)
    found = (search.of_concat(n) if n.op_type == "Concat" else None for n in case.model.graph)
    return [part for part in found if part is not None] + list(search.of_ends())


@final
class _Search:
    """What is known of the tensors of a case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.sites = {s.tensor: s for s in case.placed.sites if s.streams}

    def of_concat(self, node: ir.Node) -> DeadPart | None:
        """The operands that the scale of the output leaves nothing of."""
        output = name_of(node.outputs[0])
        affine = self._affine(output)
        operands = {name_of(v): v for v in node.inputs if v is not None and constant(v) is None}
        if affine is None or affine.axis is not None or len(operands) < 2:
            return None
        rows = self._rows_by_operand(node)
        parts = {
            name: rounded(rows[name], affine) if name in rows else self._rounded(value, affine)
            for name, value in operands.items()
        }
        beside = max(parts, key=lambda name: parts[name].reach)
        widest = parts[beside].reach
        dead = {
            name: part
            for name, part in parts.items()
            if part.lost and part.reach * _UNLIKE <= widest
        }
        if not dead:
            return None
        whole = reduce(Rounded.__add__, dead.values())
        sources = {source for name in dead for source in self._sources(operands[name])}
        group = self._group(output)
        mates = sorted(s for s in sources - {output} if self.sites[s].group == group)
        named = tuple(dead), (output, *mates)
        return DeadPart(output, node_name(node), *named, beside, affine, whole, widest)

    def of_ends(self) -> Iterator[DeadPart]:
        """Channels of inputs, and of outputs that no Concat makes."""
        graph = self.case.model.graph
        for value in (*graph.inputs, *graph.outputs):
            node, site = value.producer(), self.sites.get(name_of(value))
            made = node is not None and node.op_type == "Concat"
            affine = None if site is None else self.case.plan.get(site.key)
            if made or site is None or site.axis is None or affine is None:
                continue
            if affine.axis is None:
                yield from self._channels(name_of(value), affine, node)

    def _channels(self, tensor: str, affine: Affine, node: ir.Node | None) -> Iterator[DeadPart]:
        rows = self.case.seen[self.sites[tensor].key].channels
        widest = float(rows.absmax.max())
        _, constant, poor, *_ = _by_row(rows, affine)
        lost = (constant | poor) & (rows.absmax * _UNLIKE <= widest)
        if (lost & constant).any():
            part = rounded(_rows(rows, lost), affine)
            name = "" if node is None else node_name(node)
            yield DeadPart(tensor, name, (), (tensor,), tensor, affine, part, widest)

    def _rows_by_operand(self, node: ir.Node) -> dict[str, Histogram]:
        """Channels of the result, where it has statistics along the axis of the Concat."""
        site, sizes = self.sites.get(name_of(node.outputs[0])), _sizes(node)
        if site is None or sizes is None or site.axis != sizes.axis:
            return {}
        rows = self.case.seen[site.key].channels
        if sum(sizes.extents) != rows.absmax.size:
            return {}
        ends = np.cumsum([0, *sizes.extents])
        numbers = np.arange(rows.absmax.size)
        chosen = [(numbers >= a) & (numbers < b) for a, b in pairwise(ends)]
        names = [name_of(v) for v in node.inputs if v is not None]
        return {n: _rows(rows, part) for n, part in zip(names, chosen, strict=True)}

    def _group(self, tensor: str) -> str | None:
        """Of those that have the scale of a tensor."""
        site = self.sites.get(tensor)
        return self.case.placed.inherited.get(tensor) if site is None else site.group

    def _affine(self, tensor: str) -> Affine | None:
        site = self.sites.get(tensor)
        if site is not None:
            return self.case.plan.get(site.key)
        return self.case.placed.inherits(tensor, self.case.plan)

    def _rounded(self, value: ir.Value, affine: Affine) -> Rounded:
        """Of a tensor, or of those whose values it only moves."""
        seen = (self.case.seen.get(self.sites[name].key) for name in self._sources(value))
        return reduce(
            Rounded.__add__, (rounded(s.channels, affine) for s in seen if s is not None), _NONE
        )

    def _sources(self, value: ir.Value) -> Iterator[str]:
        """The quantized tensors that a tensor is, or has its values from."""
        found = (name_of(v) for v in reached([value], self._moved))
        return (name for name in found if name in self.sites)

    def _moved(self, value: ir.Value) -> list[ir.Value]:
        """What gives a tensor without a grid of its own its values."""
        node, moves = value.producer(), self.case.target.placement.passes_through
        if name_of(value) in self.sites or node is None or node.op_type not in moves | {"Concat"}:
            return []
        data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        return [v for v in data if v is not None and constant(v) is None]


@final
class _Sizes(NamedTuple):
    """Of the operands of a Concat, along its axis."""

    axis: int
    extents: list[int]


def _sizes(node: ir.Node) -> _Sizes | None:
    """None where they depend on the data, or an operand is there twice."""
    values = [v for v in node.inputs if v is not None]
    shapes = [tuple(v.shape) for v in values if v.shape is not None]
    if len(shapes) < len(values) or len(set(values)) < len(values):
        return None
    axis = node.attributes.get_int("axis", 0) % max(len(shapes[0]), 1)
    extents = [shape[axis] for shape in shapes]
    known = [extent for extent in extents if isinstance(extent, int)]
    return _Sizes(axis, known) if len(known) == len(extents) else None


def _rows(rows: Histogram, chosen: NDArray[np.bool_]) -> Histogram:
    """Some rows of a histogram."""
    part = Histogram(rows.lo[chosen], rows.hi[chosen], rows.bins, rows.axis)
    part.counts, part.zeros = rows.counts[chosen], rows.zeros[chosen]
    return part
