"""Sums that leave the range of an accumulator, counted while the data stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.graph.integer_layers import integer_layers
from lostbits.graph.queries import node_name
from lostbits.kernels.reaches import LayerReach, layer_reaches
from lostbits.language import verbatim
from lostbits.results.arithmetic import ArithmeticReport, LayerSums
from lostbits.runtime.simulation import Left, quantized_model
from lostbits.statistic import RecordSum


@final
@dataclass
class LeftSum(RecordSum):
    """Of one layer.

    Attributes:
        left: How many left their range, a channel.
        count: Of how many, all channels together.
        most: The largest size of an exact sum.
    """

    left: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    count: int = 0
    most: int = 0

    def merge(self, other: Self) -> Self:
        """Add those of other samples."""
        if other.left.size:  # nothing where no sample was seen
            self.left = self.left + other.left if self.left.size else other.left.copy()
        self.count += other.count
        self.most = max(self.most, other.most)
        return self

    def include(self, seen: Left) -> None:
        """Add those of a batch."""
        self.merge(type(self)(seen.left, seen.sums, seen.most))


def left_out(case: Case, sums: Mapping[str, LeftSum]) -> list[str]:
    """Names of integer layers whose sums are not simulated although others' are."""
    if case.target.arithmetic is None or case.target.arithmetic.fitted is not None:
        return []
    names = [node_name(node) for node in integer_layers(case.model.graph, case.sites)]
    return [name for name in names if name not in sums]


def arithmetic_report(case: Case, sums: Mapping[str, LeftSum]) -> ArithmeticReport | None:
    """What the arithmetic of the target did; None where sums are ideal."""
    own = case.target.arithmetic
    if own is None:
        return None
    left = {name: one for name, one in sums.items() if one.left.any()}
    layers = layer_reaches(quantized_model(case), own) if left else {}
    found = [_report(layers[name], one) for name, one in left.items() if name in layers]
    found.sort(key=lambda each: -each.share)
    return ArithmeticReport(own.name, verbatim(own.title), found)


def _report(layer: LayerReach, one: LeftSum) -> LayerSums:
    each = one.count / max(one.left.size, 1)
    return LayerSums(
        node=layer.node,
        weight=layer.weight,
        kind=layer.kind,
        share=float(one.left.sum()) / max(one.count, 1),
        channels=[float(v) / max(each, 1) for v in one.left],
        reach=layer.reach.packed,
        reach_written=layer.reach.written,
        limit=layer.reach.limit,
        seen=one.most,
    )
