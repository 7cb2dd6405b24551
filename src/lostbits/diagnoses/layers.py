"""Per layer: the exact identity of the output error, term by term.

``Y^ - Y = dW X + W dX + dW dX + dBias + dAccumulate + dOutput``, a vector identity. A fused
activation is crossed by its secant slope ``(act(Y^) - act(Y)) / (Y^ - Y)``, which keeps it exact.
The share ``<e_i, E>/|E|^2`` of a term is also its Shapley value under ``v(S) = |sum_S e_i|^2``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.diagnoses.finite import not_finite
from lostbits.graph.lineage import sources
from lostbits.graph.queries import LINEAR, node_name
from lostbits.graph.site import Site
from lostbits.results.diagnosis import LayerReport
from lostbits.runtime.compare_networks import Pair
from lostbits.runtime.executor import Executor, Step
from lostbits.runtime.memory_layout import dot
from lostbits.runtime.simulation import Frozen
from lostbits.statistic import RecordSum

TERMS = ("weight", "activation", "interaction", "bias", "accumulate", "output")


@final
@dataclass
class LayerSum(RecordSum):
    """Inner products of the terms, and the error per channel.

    Attributes:
        tensor: What the layer gives to others.
        with_error: ``<e_i, E>`` of each term.
        own_energy: ``|e_i|^2`` of each term.
        local: ``|E - W dX - dW dX|^2``: what is there even when the inputs are exact.
        power: ``|Y|^2``.
        shift: Sum of the error per channel.
        count: Values per channel.
    """

    tensor: str = ""
    with_error: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(TERMS)))
    own_energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(TERMS)))
    local: float = 0.0
    power: float = 0.0
    shift: NDArray[np.float64] | None = None
    count: int = 0

    def merge(self, other: Self) -> Self:
        """Add those of other samples."""
        self.with_error += other.with_error
        self.own_energy += other.own_energy
        self.local += other.local
        self.power += other.power
        if other.shift is not None:
            self.shift = _joined(self.shift, other.shift)
        self.count += other.count
        return self


def _joined(one: NDArray[np.float64] | None, other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum; where axis 1 counts tokens, of sentences that may be of different length."""
    if one is None or one.shape == other.shape:
        return other if one is None else one + other
    longer, shorter = (one, other) if one.size > other.size else (other, one)
    found = longer.copy()
    found[: shorter.size] += shorter
    return found


LayerSums = dict[str, LayerSum]  # by the name of the node


@dataclass
class _Open:
    """A linear node whose fused activation is still to come.

    Attributes:
        step: The node.
        terms: What they add up to is the error so far.
    """

    step: Step
    terms: dict[str, torch.Tensor]


@final
class LayerErrors:
    """Accumulates the identity of every layer, batch by batch.

    Attributes:
        sums: What was measured.
    """

    def __init__(self, case: Case, executor: Executor) -> None:
        self.case, self.executor = case, executor
        self.sums: LayerSums = {}
        self._open: dict[str, _Open] = {}
        self._fused = case.placed.fused

    def at_site(self, site: Site, x: torch.Tensor, part: Batch) -> None:
        """Sites do not matter here."""

    def at_node(self, pair: Pair, frozen: Frozen) -> None:
        """Take in a node of both networks; close the layer unless an activation follows."""
        if not pair.outputs or not pair.outputs[0].is_floating_point():
            return
        head = next((n for n in pair.step.inputs if n in self._open), None)
        if head is not None:
            layer = _through(self._open.pop(head), pair)
        elif (
            pair.step.operator.op_type in LINEAR and pair.step.inputs[1] in self.executor.constants
        ):
            layer = _Open(pair.step, {**self._linear(pair), **self._summed(pair, frozen)})
        elif self.executor.by_tensor.get(pair.step.outputs[0]):
            layer = _Open(pair.step, {"activation": pair.error})
        else:
            return
        if pair.step.outputs[0] in self._fused:
            self._open[pair.step.outputs[0]] = layer
        else:
            self._close(layer, pair, frozen)

    def _linear(self, pair: Pair) -> dict[str, torch.Tensor]:
        """The terms before any activation; an unquantized weight or bias contributes none.

        ``dW X`` and ``W dX`` are computed; ``dW dX`` is what the whole leaves, so the accumulator
        of both networks here, which is float32, counts as exact. What the target's own arithmetic
        adds is known from its simulation.
        """
        x, w, b = [*pair.inputs, None, None][:3]
        xq, wq, bq = [*pair.quantized_inputs, None, None][:3]
        assert x is not None and w is not None and xq is not None and wq is not None
        step = replace(pair.step, inputs=pair.step.inputs[:2])
        whole = pair.error
        terms: dict[str, torch.Tensor] = {}
        if b is not None and bq is not None and not torch.equal(b, bq):
            terms["bias"] = _as_bias(step, bq - b, whole)
            whole = whole - terms["bias"]
        if torch.equal(w, wq):
            return {**terms, "activation": whole}
        terms["weight"] = self.executor.evaluate(step, [x, wq - w])[0]
        terms["activation"] = self.executor.evaluate(step, [xq - x, w])[0]
        terms["interaction"] = torch.sub(whole, terms["weight"]).sub_(terms["activation"])
        return terms

    def _summed(self, pair: Pair, frozen: Frozen) -> dict[str, torch.Tensor]:
        """What an accumulator adds before a fused activation."""
        name = pair.step.outputs[0]
        found = (frozen.accumulate.get(s.key) for s in self.executor.by_tensor.get(name, ()))
        error = next((e for e in found if e is not None), None)
        return {} if error is None or name not in self._fused else {"accumulate": error}

    def _close(self, layer: _Open, pair: Pair, frozen: Frozen) -> None:
        name = pair.step.outputs[0]
        site = next((s for s in self.executor.by_tensor.get(name, ()) if s.streams), None)
        terms, error = dict(layer.terms), pair.error
        if site is not None and site.key in frozen.total:
            error = error + frozen.total[site.key]
            terms |= _at_site(frozen, site, terms)
        sums = self.sums.setdefault(layer.step.name, LayerSum(name))
        _accumulate(sums, terms, error, pair.outputs[0])


def layer_reports(case: Case, sums: LayerSums) -> list[LayerReport]:
    """One report a layer, in topological order.

    None for a layer that puts out values near the end of float32, such as those of a mask, which
    rounding makes infinite: no share of such an error is a number.
    """
    ops = {node_name(node): node.op_type for node in case.model.graph}
    inputs = sources(case.model.graph, {one.tensor for one in sums.values()})
    return [
        _report(name, ops[name], inputs[one.tensor], one)
        for name, one in sums.items()
        if not np.isposinf(one.with_error.sum())
    ]


def _at_site(
    frozen: Frozen, site: Site, terms: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """What is added where a layer's result is rounded: by its kernel, and by the quantizer."""
    total, own = frozen.total[site.key], frozen.accumulate.get(site.key)
    if own is None:
        return {"output": total}
    known = terms.get("accumulate")
    return {"accumulate": own if known is None else known + own, "output": total - own}


def _as_bias(step: Step, db: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if step.operator.op_type in ("Conv", "ConvTranspose"):
        db = db.reshape(-1, *[1] * (like.ndim - 2))
    return db.expand_as(like)


def _through(layer: _Open, pair: Pair) -> _Open:
    """Carry the terms over a fused activation, or over the Add that gives a MatMul its bias."""
    index = next(i for i, n in enumerate(pair.step.inputs) if n == layer.step.outputs[0])
    before, after = pair.inputs[index], pair.quantized_inputs[index]
    assert before is not None and after is not None
    difference = after - before
    step = replace(layer.step, outputs=pair.step.outputs)
    if pair.step.operator.op_type == "Add":
        return _Open(step, {**layer.terms, "bias": pair.error - difference})
    # Zero where nothing changed.
    slope = torch.div(pair.error, difference, out=difference).nan_to_num_(0.0, 0.0, 0.0)
    # Nobody else reads the terms of a node that is behind us, but a bias is one value for many.
    terms = {c: t * slope if c == "bias" else t.mul_(slope) for c, t in layer.terms.items()}
    return _Open(step, terms)


def _accumulate(
    sums: LayerSum, terms: dict[str, torch.Tensor], error: torch.Tensor, output: torch.Tensor
) -> None:
    for cause, term in terms.items():
        index = TERMS.index(cause)
        sums.with_error[index] += dot(term, error)
        sums.own_energy[index] += dot(term, term)
    local = {c: t for c, t in terms.items() if c not in ("activation", "interaction")}
    if local:
        own = _added(local)
        sums.local += dot(own, own)
    sums.power += dot(output, output)
    axes = [d for d in range(output.ndim) if d != 1] if output.ndim >= 2 else []
    shift = (error.sum(dim=axes) if axes else error).double().numpy()
    sums.shift = _joined(sums.shift, shift)
    sums.count += output.numel() // max(shift.size, 1)


def _added(terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, terms.values())


def _report(node: str, op: str, inputs: list[str], sums: LayerSum) -> LayerReport:
    energy = float(sums.with_error.sum())
    if not np.isfinite([energy, sums.power, *sums.own_energy]).all():
        raise not_finite(f"errors of layer {node!r}", f"energy {energy}, power {sums.power}")
    energy = max(energy, 0.0)  # a square, but of huge terms that cancel rounding may leave less
    shares = sums.with_error / energy if energy > 0 else np.zeros(len(TERMS))
    shift = np.zeros(1) if sums.shift is None else sums.shift
    return LayerReport(
        node=node,
        op=op,
        tensor=sums.tensor,
        inputs=inputs,
        error=_ratio(energy, sums.power),
        shares=dict(zip(TERMS, shares.tolist(), strict=True)),
        own_error=_ratio(sums.local, sums.power),
        inherited_error=_ratio(float(sums.own_energy[TERMS.index("activation")]), sums.power),
        bias_share=_ratio(float((shift**2).sum()) / max(sums.count, 1), energy),
        coherence=_ratio(energy, float(sums.own_energy.sum())),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
