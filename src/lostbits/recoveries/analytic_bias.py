"""Analytic bias correction: what rounded weights add to every output's mean, without running them.

``E[Q(W) x] - E[W x] = (Q(W) - W) E[x]`` follows from the mean of every input channel. Nagel et al.
take it from the BatchNorm before the layer and the shape of a clipped normal distribution; here it
is the mean that calibration has seen, so that networks whose BatchNorm is folded, or that never had
one, are corrected alike. What quantized activations add to the mean is not seen, and taps that a
border of zeros silences are counted as if they were there: the empirical form sees both.

References:
    Nagel et al., Data-Free Quantization, 2019, arXiv:1906.04721, section 4.2.
"""

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, constant_of
from lostbits.channels.linear import Doubles, Linear, linear_of
from lostbits.graph.queries import LINEAR, node_name
from lostbits.graph.site import Site
from lostbits.language import Message, say
from lostbits.recovery import Change, Diagnosed, Rewriting, Stage, left


@final
@dataclass(frozen=True, kw_only=True)
class AnalyticBias(Rewriting):
    """Subtracts the mean that the rounding of the weights adds; costs no pass over the data."""

    name: ClassVar[str] = "analytic_bias"
    title: ClassVar[str] = (
        "biases take up the mean that rounded weights add, from the means of the inputs"
    )
    source: ClassVar[str] = "Nagel et al. 2019, arXiv:1906.04721"
    stage: ClassVar[Stage] = "weights"

    def consider(self, case: Case) -> "_Correction":
        """A bias for every layer whose inputs are known channel by channel."""
        return _Correction(case)


@final
@dataclass(frozen=True)
class _Correction:
    """Answers for one case."""

    case: Case

    def gain(self, diagnosed: Diagnosed) -> float:
        """The part of the layers' constant error that weights are to blame for."""
        return left(1 - diagnosed.constant_share * min(diagnosed.share("weight"), 1.0))

    def change(self) -> Change:
        """The corrected biases."""
        found = _Corrected(self.case)
        for node in self.case.model.graph:
            if node.op_type in LINEAR:
                found.correct(node)
        summary = say(
            "ledger.analytic_bias", count=str(len(found.biases)), most=f"{found.largest:.2g}"
        )
        return Change(AnalyticBias.name, summary, found.biases, skipped=found.skipped)


@final
@dataclass
class _Corrected:
    """The biases so far."""

    case: Case
    biases: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    skipped: dict[str, Message] = field(default_factory=dict)
    largest: float = 0.0

    def __post_init__(self) -> None:
        case = self.case
        self.readers = {(u.node, u.index): s for s in case.sites for u in s.uses}
        self.known = {s.scales[1]: s for s in case.placed.biases if s.scales is not None}

    def correct(self, node: ir.Node) -> None:
        """One layer, if it has what it takes."""
        weight = self.readers.get((node_name(node), 1))
        if weight is None or weight.role != "weight":
            return
        bias, layer = self.known.get(weight.key), linear_of(node)
        if bias is None:
            self.skipped[weight.tensor] = say("skipped.no_bias")
        elif isinstance(layer, Message):
            self.skipped[weight.tensor] = layer
        elif (means := self._means(node, layer)) is None:
            self.skipped[weight.tensor] = say("skipped.no_means")
        else:
            self._write(bias, self._shift(weight, layer, means))

    def _means(self, node: ir.Node, layer: Linear) -> Doubles | None:
        site = self.readers.get((node_name(node), 0))
        seen = None if site is None else self.case.seen.get(site.key)
        if seen is None or seen.channels.absmax.size != layer.columns:
            return None
        return seen.channels.means

    def _shift(self, weight: Site, layer: Linear, means: Doubles) -> Doubles:
        """``(Q(W) - W) E[x]``, shape (outputs,)."""
        rounded, exact = self.case.quantized_constant(weight), constant_of(self.case.model, weight)
        error = layer.split(rounded).sum(axis=-1) - layer.split(exact).sum(axis=-1)
        parts: Doubles = np.einsum("goi,gi->go", error, means.reshape(layer.groups, -1))
        return parts.ravel()

    def _write(self, bias: Site, shift: Doubles) -> None:
        floats = constant_of(self.case.model, bias)
        self.largest = max(self.largest, float(np.abs(shift).max()))
        self.biases[bias.tensor] = (floats - shift.reshape(floats.shape)).astype(np.float32)
