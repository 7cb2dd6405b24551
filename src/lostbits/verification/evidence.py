"""What is known of one tensor at which a device leaves the simulation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.given_values import given_linear, with_reals
from lostbits.graph.qdq_view import Operand, Tap, operands
from lostbits.graph.queries import LINEAR, name_of, node_name
from lostbits.runtime.session import Session
from lostbits.verification.dump_trace import Arrays, DumpTrace
from lostbits.verification.layouts import Reals

_NEAR = 1.01  # codes
_EXACT = 0.51
Edit = Callable[[ir.Graph], None]


@final
@dataclass(frozen=True)
class Run:
    """One run of the device.

    Attributes:
        feeds: Inputs of the network, and the device's own values for the inputs of its layers.
        found: The tensor on the device, in codes of the plan.
        planned: The simulation's codes for the values that the device had before it.
        inside: The same before rounding and clipping.
    """

    feeds: Arrays
    found: Reals
    planned: Reals
    inside: Reals


@final
@dataclass(frozen=True)
class Evidence:
    """The runs of a device at one tensor, and the layer that computes it.

    Attributes:
        trace: With all runs.
        tap: The tensor.
        runs: The runs that are kept.
        ends: Least and largest code of its type.
        native: Scale and zero point that the platform's own rules give; None where not known.
    """

    trace: DumpTrace
    tap: Tap
    runs: Sequence[Run]
    ends: tuple[float, float]
    native: tuple[float, float] | None = None

    @property
    def node(self) -> ir.Node | None:
        """The first node of the layer: that which multiplies, where there is one."""
        name = self.tap.nodes[-1] if self.tap.nodes else ""
        return next((n for n in self.trace.model.graph if n.name == name), None)

    @property
    def last(self) -> ir.Node | None:
        """The last node of the layer, an activation perhaps."""
        name = self.tap.nodes[0] if self.tap.nodes else ""
        return next((n for n in self.trace.model.graph if n.name == name), None)

    @property
    def found(self) -> Reals:
        """All values of the device, in a row."""
        return np.concatenate([run.found.ravel() for run in self.runs])

    @property
    def planned(self) -> Reals:
        """All codes of the simulation, in a row."""
        return np.concatenate([run.planned.ravel() for run in self.runs])

    @property
    def inside(self) -> Reals:
        """All values before rounding, in a row."""
        return np.concatenate([run.inside.ravel() for run in self.runs])

    @property
    def zero(self) -> float:
        """The code that stands for zero."""
        return float(self.tap.zero_point.ravel()[0])

    def rounded(self, inside: Reals) -> Reals:
        """Codes of values before rounding."""
        return np.clip(np.rint(inside), *self.ends)

    def explained(self, codes: Reals | Sequence[Reals]) -> float:
        """Part of the device's values that codes give, to the code."""
        return float((np.abs(self.found - _in_a_row(codes)) <= _EXACT).mean())

    def near(self, codes: Reals | Sequence[Reals]) -> float:
        """Part of the device's values that codes give within one code."""
        return float((np.abs(self.found - _in_a_row(codes)) <= _NEAR).mean())

    def operand(self, index: int) -> Operand | None:
        """A constant of the layer."""
        node = self.node
        if node is None or node.op_type not in LINEAR:
            return None
        return operands(self.trace.model.graph).get((node_name(node), index))

    def input_tap(self) -> Tap | None:
        """The quantized tensor that the layer multiplies."""
        node = self.node
        name = "" if node is None or node.inputs[0] is None else name_of(node.inputs[0])
        return next((tap for tap in self.trace.taps if name in tap.names), None)

    def channel_axis(self, rank: int) -> int:
        """Axis of the layer's output that its weight's channels are along."""
        node = self.node
        return rank - 1 if node is not None and node.op_type in {"Gemm", "MatMul"} else 1

    def values(self, names: Sequence[str], edit: Edit | None = None) -> list[Arrays]:
        """Tensors of the layer on the device's inputs, run by run."""
        return self._run(names, edit, (), [{} for _ in self.runs])

    def again(
        self,
        edit: Edit | None = None,
        given: Mapping[str, Sequence[NDArray[Any]]] | None = None,
        inputs: Mapping[str, Sequence[NDArray[Any]]] | None = None,
    ) -> list[Reals]:
        """Codes of the tensor if the layer were another one, or had other values inside.

        Args:
            edit: Changes the graph.
            given: By name of a float tensor inside of the layer, values of every run.
            inputs: By name of an input of the graph, other values of every run.
        """
        inside = given or {}
        extra = [
            {given_linear(name): each[i] for name, each in inside.items()}
            | {name: each[i] for name, each in (inputs or {}).items()}
            for i in range(len(self.runs))
        ]
        found = self._run([self.tap.codes], edit, list(inside), extra)
        return [np.asarray(v[self.tap.codes], np.float64) for v in found]

    def _run(
        self,
        names: Sequence[str],
        edit: Edit | None,
        given: Sequence[str],
        extra: Sequence[Arrays],
    ) -> list[Arrays]:
        model = with_reals(self.trace.model, self.trace.taps, names, given)
        if edit is not None:
            edit(model.graph)
        session, known = Session(model, optimise=False), {v.name for v in model.graph.inputs}
        return [
            session.run({k: v for k, v in {**run.feeds, **more}.items() if k in known})
            for run, more in zip(self.runs, extra, strict=True)
        ]


def _in_a_row(codes: Reals | Sequence[Reals]) -> Reals:
    if isinstance(codes, np.ndarray):
        return codes.ravel()
    return np.concatenate([each.ravel() for each in codes])


def gathered(
    trace: DumpTrace,
    taps: Sequence[Tap],
    feeds: Sequence[Arrays],
    numbers: Sequence[int],
    natives: Mapping[str, tuple[float, float]],
) -> list[Evidence]:
    """The evidence at several tensors.

    Args:
        trace: With all runs.
        taps: The tensors.
        feeds: Inputs of the runs.
        numbers: Of the samples that they are of.
        natives: Scale and zero point by the platform's own rules, by tensor.
    """
    names = [name for tap in taps for name in (tap.codes, trace.source[tap.codes])]
    session = Session(with_reals(trace.model, trace.taps, names), optimise=False)
    kept: dict[str, list[Run]] = {tap.codes: [] for tap in taps}
    kinds: dict[str, np.dtype[Any]] = {}
    for number, each in zip(numbers, feeds, strict=True):
        expected = trace.expected(each)
        found = trace.values(number, expected)
        given = {**each, **trace.reals(found, expected)}
        values = {**given, **session.run(given)}
        for tap in taps:
            if tap.codes in found:
                kinds[tap.codes] = values[tap.codes].dtype
                kept[tap.codes].append(_run_of(trace, tap, found[tap.codes], values, given))
    return [
        Evidence(trace, tap, kept[tap.codes], _ends(kinds[tap.codes]), natives.get(tap.tensor))
        for tap in taps
        if kept[tap.codes]
    ]


def _run_of(trace: DumpTrace, tap: Tap, found: Reals, values: Arrays, given: Arrays) -> Run:
    planned = np.asarray(values[tap.codes], np.float64)
    source = np.asarray(values[trace.source[tap.codes]], np.float64)
    inside = source / tap.step(source.ndim) + tap.zero(source.ndim)
    good = np.where(np.isfinite(found), found, planned)
    return Run(given, good, planned, inside)


def _ends(kind: np.dtype[Any]) -> tuple[float, float]:
    info = np.iinfo(kind)
    return float(info.min), float(info.max)
