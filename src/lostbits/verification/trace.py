"""Where a runtime leaves the simulation, and why.

Two differences are measured of every quantized activation, in codes. The *whole* one compares the
runtime with the simulation, each on its own way through the network. The *own* one gives the
simulated layer the very codes that the runtime fed to that layer: what is left is what this layer
does otherwise. A whole difference without an own one is the sum of single codes before it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.qdq_view import Operand, Tap, forced, given, operands, tapped, twins
from lostbits.graph.queries import LINEAR, node_name
from lostbits.language import Message, say
from lostbits.results.verification import Defect, Deviation, DeviationCause
from lostbits.runtime.session import Session
from lostbits.system.processor import has_vnni
from lostbits.verification.file_diff import SAME
from lostbits.verification.overflow import overflowing, saturates

Arrays = Mapping[str, NDArray[Any]]
ONE = (
    1.01  # codes; reals are made of codes by a division, which leaves a few units in the last place
)
SOME = 0.5  # codes: what is more is at least one
_SHARES = frozenset({"AveragePool", "Concat", "GlobalAveragePool", "MaxPool", "Resize"})


@final
@dataclass
class _Figures:
    codes: float = 0.0
    own: float = 0.0
    differing: int = 0
    own_differing: int = 0
    values: int = 0
    channels: frozenset[int] = frozenset()  # of axis 1, that are off by themselves

    def update(self, whole: NDArray[np.float64], own: NDArray[np.float64]) -> None:
        self.codes = max(self.codes, float(whole.max(initial=0)))
        self.own = max(self.own, float(own.max(initial=0)))
        if own.ndim > 1:
            self.channels |= set(np.nonzero(own > ONE)[1].tolist())
        self.differing += int((whole > SOME).sum())
        self.own_differing += int((own > SOME).sum())
        self.values += whole.size


@final
class Trace:
    """The activations of a runtime beside those of the simulation, batch by batch.

    Args:
        simulated: Q/DQ graph of the plan.
        file: Q/DQ graph that the runtime runs.
        known: Codes of the file that the runtime gives; None for all of them.
        rewrite: What the simulated graph becomes before it is run: another arithmetic.

    Attributes:
        taps: Pairs of the same tensor, simulated and in the file, in topological order.
        model: The file with its taps.
    """

    def __init__(
        self,
        simulated: ir.Model,
        file: ir.Model,
        known: Collection[str] | None = None,
        rewrite: Callable[[ir.Model], ir.Model] = lambda model: model,
    ) -> None:
        self.signed = frozenset[str]()  # tensors whose pairs the runtime is known to move
        pairs = twins(simulated.graph, file.graph)
        self.taps = [(a, b) for a, b in pairs if known is None or b.codes in known]
        self.simulated, self.file = simulated, file
        ours = [tap for tap, _ in self.taps]
        self._plain = Session(rewrite(tapped(simulated, ours)), optimise=False)
        self._forced = Session(rewrite(forced(simulated, ours)), optimise=False)
        self.model = tapped(file, [tap for _, tap in self.taps])
        self.figures = {tap.codes: _Figures() for tap in ours}

    def update(self, feeds: Arrays, found: Arrays) -> None:
        """Take in one batch: its inputs, and the codes that the runtime gave for them."""
        simulated = self._plain.run(feeds)
        reals = {ours.codes: theirs.real(found[theirs.codes]) for ours, theirs in self.taps}
        codes = {
            given(tap): _codes(tap, reals[tap.codes], simulated[tap.codes].dtype)
            for tap, _ in self.taps
        }
        own = self._forced.run({**feeds, **codes})
        for tap, _ in self.taps:
            real = reals[tap.codes]
            whole, alone = (
                np.abs(real - tap.real(v[tap.codes])) / tap.step(real.ndim)
                for v in (simulated, own)
            )
            self.figures[tap.codes].update(whole, alone)

    def rows(self) -> Iterator[tuple[Tap, _Figures]]:
        """Every tap with its figures."""
        return ((tap, self.figures[tap.codes]) for tap, _ in self.taps)


def _codes(tap: Tap, real: NDArray[np.float64], kind: np.dtype[Any]) -> NDArray[Any]:
    """Codes of the simulation's grid; those of the runtime's own, where the two are one."""
    info = np.iinfo(kind)
    steps = np.rint(real / tap.step(real.ndim) + tap.zero(real.ndim))
    return np.asarray(np.clip(steps, info.min, info.max), kind)


def first_deviation(
    trace: Trace,
    defects: Sequence[Defect],
    floats: frozenset[str],
    *,
    on_this_processor: bool,
    least: float = ONE,
) -> Deviation | None:
    """The first activation, in topological order, that is more than ``least`` codes off.

    Args:
        trace: With all batches.
        defects: What is wrong with the file.
        floats: Names of nodes that the runtime computes in float.
        on_this_processor: Whether its accumulator is that of this machine.
        least: Codes that are forgiven.
    """
    for tap, figures in trace.rows():
        if figures.codes > least:
            judge = _Judgement(trace, tap, figures, defects)
            return judge.deviation(floats, on_this_processor)
    return None


def own_deviation(
    trace: Trace, defects: Sequence[Defect], floats: frozenset[str], *, on_this_processor: bool
) -> Deviation | None:
    """The first layer that is more than one code off on the inputs that it was given."""
    for tap, figures in trace.rows():
        if figures.own > ONE:
            judge = _Judgement(trace, tap, figures, defects)
            return judge.deviation(floats, on_this_processor)
    return None


@final
@dataclass(frozen=True)
class _Judgement:
    """What explains the figures of one tap."""

    trace: Trace
    tap: Tap
    figures: _Figures
    defects: Sequence[Defect]

    def deviation(self, floats: frozenset[str], on_this_processor: bool) -> Deviation:
        cause, why = self._cause(floats, on_this_processor)
        figures, node = self.figures, self.tap.nodes[-1] if self.tap.nodes else ""
        share = figures.differing / max(figures.values, 1)
        tensor, words = self.tap.tensor, {"share": f"{share:.2%}"}
        words |= {"codes": f"{figures.codes:.0f}", "own": f"{figures.own:.0f}"}
        text = say("deviation.text", tensor=tensor, why=why, **words)
        return Deviation(tensor, node, figures.codes, share, figures.own, cause, text)

    def _cause(
        self, floats: frozenset[str], on_this_processor: bool
    ) -> tuple[DeviationCause, Message]:
        if (defect := self._defect()) is not None:
            text = say("deviation.parameters", tensor=defect.tensor, defect=defect.text)
            return "parameters", text
        if self.figures.own > ONE and self.trace.signed.intersection(self.tap.names):
            return "signed_factors", say("deviation.signed")
        in_float = [name for name in self.tap.nodes if name in floats]
        if in_float and self.figures.own > min(ONE, self.figures.codes - SOME):
            return "float", say("deviation.float", node=in_float[-1])
        if self.figures.own <= ONE:
            return "one_code", self._single_codes()
        return self._integer_cause(on_this_processor)

    def _single_codes(self) -> Message:
        """Whose they are: of layers before, of this one, or of both."""
        if self.figures.own <= SOME:
            return say("deviation.before")
        share = f"{self.figures.own_differing / max(self.figures.values, 1):.1e}"
        several = self.figures.codes > ONE
        return say("deviation.both" if several else "deviation.own", share=share)

    def _integer_cause(self, on_this_processor: bool) -> tuple[DeviationCause, Message]:
        """Of a layer that ran in integers, on the right constants."""
        if channels := self._overflowing():
            named = ", ".join(map(str, channels))
            return "saturation", say("deviation.overflow", channels=named)
        if self._shares_scale():
            return "shared_scale", say("deviation.shared_scale")
        if on_this_processor and not has_vnni() and self._may_saturate():
            return "saturation", say("deviation.saturation")
        return "arithmetic", say("deviation.arithmetic")

    def _defect(self) -> Defect | None:
        """That of this layer, else the first before it, which spoils everything behind it."""
        own = {self.tap.tensor, *self.tap.nodes}
        nodes = [node.name for node in self.trace.simulated.graph]
        here = nodes.index(self.tap.nodes[-1]) if self.tap.nodes else -1
        before = (d for d in self.defects if not d.node or nodes.index(d.node) < here)
        return next((d for d in self.defects if own & {d.tensor, d.node}), next(before, None))

    def _layer(self) -> ir.Node | None:
        name = self.tap.nodes[-1] if self.tap.nodes else ""
        return next((n for n in self.trace.simulated.graph if n.name == name), None)

    def _shares_scale(self) -> bool:
        node = self._layer()
        shares = node is not None and node.op_type in _SHARES
        scales = [tap.scale for tap in self._inputs()] if shares else []
        return any(not np.allclose(s, self.tap.scale, rtol=SAME) for s in scales)

    def _inputs(self) -> list[Tap]:
        """Quantized activations that the layer reads."""
        node = self._layer()
        names = set() if node is None else {v.name for v in node.inputs if v is not None}
        return [tap for tap, _ in self.trace.taps if names & set(tap.names)]

    def _constants(self) -> tuple[Operand | None, Operand | None]:
        """Weight and bias of a linear layer."""
        node = self._layer()
        if node is None or node.op_type not in LINEAR:
            return None, None
        known = operands(self.trace.simulated.graph)
        return known.get((node_name(node), 1)), known.get((node_name(node), 2))

    def _may_saturate(self) -> bool:
        weight, _ = self._constants()
        return weight is not None and saturates(weight)

    def _overflowing(self) -> list[int]:
        """Channels that overflow, if they explain every channel that is off."""
        weight, bias = self._constants()
        if weight is None:
            return []
        span = max((tap.span for tap in self._inputs()), default=self.tap.span)
        channels = set(overflowing(weight, bias, span).tolist())
        return sorted(self.figures.channels) if self.figures.channels <= channels else []
