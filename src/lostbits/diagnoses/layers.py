"""Per layer: the exact identity of the output error, term by term.

``Y^ - Y = dW X + W dX + dW dX + dBias + dAccumulate + dOutput``, a vector identity. A fused
activation is crossed by its secant slope ``(act(Y^) - act(Y)) / (Y^ - Y)``, which keeps it exact.
The share ``<e_i, E>/|E|^2`` of a term is also its Shapley value under ``v(S) = |sum_S e_i|^2``.
"""

from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch
from lostbits.diagnosis import LayerReport
from lostbits.graph.queries import LINEAR
from lostbits.graph.site import Site
from lostbits.runtime.executor import Executor, Step
from lostbits.runtime.lockstep import Pair
from lostbits.runtime.simulation import Frozen

TERMS = ("weight", "activation", "interaction", "bias", "accumulate", "output")


@dataclass
class _Sums:
    """Inner products of the terms with each other, and the mean error per channel."""

    gram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((6, 6)))
    power: float = 0.0
    shift: NDArray[np.float64] | None = None
    count: int = 0


@dataclass
class _Open:
    """A linear node whose fused activation is still to come."""

    step: Step
    terms: dict[str, torch.Tensor]


@final
class LayerErrors:
    """Accumulates the identity of every layer, batch by batch."""

    def __init__(self, case: Case, executor: Executor) -> None:
        self.case, self.executor = case, executor
        self.sums: dict[str, _Sums] = {}
        self.step_of: dict[str, tuple[Step, str]] = {}
        self._open: dict[str, _Open] = {}
        self._fused = {
            name for name, why in case.placed.left_in_float.items() if why.startswith("fused")
        }

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
            layer = _Open(pair.step, self._linear(pair))
        elif self.executor.by_tensor.get(pair.step.outputs[0]):
            difference = pair.quantized_outputs[0] - pair.outputs[0]
            layer = _Open(pair.step, {"activation": difference})
        else:
            return
        if pair.step.outputs[0] in self._fused:
            self._open[pair.step.outputs[0]] = layer
        else:
            self._close(layer, pair, frozen)

    def _linear(self, pair: Pair) -> dict[str, torch.Tensor]:
        """The terms before any activation; an unquantized weight or bias contributes none."""
        x, w, b = [*pair.inputs, None, None][:3]
        xq, wq, bq = [*pair.quantized_inputs, None, None][:3]
        assert x is not None and w is not None and xq is not None and wq is not None
        step = replace(pair.step, inputs=pair.step.inputs[:2])
        terms: dict[str, torch.Tensor] = {}
        dx, dw = xq - x, wq - w
        if bool(dw.any()):
            both = (
                self.executor.evaluate(step, [torch.cat([x, dx]), dw])[0]
                if _stacks(x, dw)
                else None
            )
            terms["weight"], terms["interaction"] = (
                both.tensor_split([x.shape[0]])
                if both is not None
                else (
                    self.executor.evaluate(step, [x, dw])[0],
                    self.executor.evaluate(step, [dx, dw])[0],
                )
            )
        terms["activation"] = self.executor.evaluate(step, [dx, w])[0]
        if b is not None and bq is not None:
            terms["bias"] = _as_bias(step, bq - b, pair.outputs[0])
        whole = pair.quantized_outputs[0] - pair.outputs[0]
        terms["accumulate"] = whole - sum(terms.values())
        return terms

    def _close(self, layer: _Open, pair: Pair, frozen: Frozen) -> None:
        name = pair.step.outputs[0]
        site = next((s for s in self.executor.by_tensor.get(name, ()) if s.streams), None)
        terms = dict(layer.terms)
        if site is not None and site.key in frozen.total:
            terms["output"] = frozen.total[site.key]
        self.step_of[layer.step.name] = (layer.step, name)
        sums = self.sums.setdefault(layer.step.name, _Sums())
        _accumulate(sums, terms, pair.outputs[0])

    def reports(self) -> list[LayerReport]:
        """One report a layer, in topological order."""
        return [_report(*self.step_of[name], sums) for name, sums in self.sums.items()]


def _stacks(x: torch.Tensor, dw: torch.Tensor) -> bool:
    """Whether two inputs may share one call along the batch axis."""
    return x.ndim >= 2 and dw.ndim <= x.ndim and x.ndim != 2


def _as_bias(step: Step, db: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if step.operator.op_type in ("Conv", "ConvTranspose"):
        db = db.reshape(-1, *[1] * (like.ndim - 2))
    return db.expand_as(like)


def _through(layer: _Open, pair: Pair) -> _Open:
    """Carry the terms over a fused activation, or over the Add that gives a MatMul its bias."""
    index = next(i for i, n in enumerate(pair.step.inputs) if n == layer.step.outputs[0])
    change = pair.quantized_outputs[0] - pair.outputs[0]
    before, after = pair.inputs[index], pair.quantized_inputs[index]
    assert before is not None and after is not None
    difference = after - before
    step = replace(layer.step, outputs=pair.step.outputs)
    if pair.step.operator.op_type == "Add":
        return _Open(step, {**layer.terms, "bias": change - difference})
    slope = torch.where(difference != 0, change / difference, torch.zeros(()))
    terms = {cause: term * slope for cause, term in layer.terms.items()}
    return _Open(step, terms)


def _accumulate(sums: _Sums, terms: dict[str, torch.Tensor], output: torch.Tensor) -> None:
    present = [(TERMS.index(cause), term.reshape(-1)) for cause, term in terms.items()]
    stack = torch.stack([term for _, term in present])
    gram = _gram(stack)
    where = [index for index, _ in present]
    sums.gram[np.ix_(where, where)] += gram
    sums.power += float(output.square().sum(dtype=torch.float64))
    error = stack.sum(dim=0).reshape(output.shape)
    axes = [d for d in range(output.ndim) if d != 1] if output.ndim >= 2 else []
    shift = error.sum(dim=axes, dtype=torch.float64).numpy() if axes else error.double().numpy()
    sums.shift = shift if sums.shift is None else sums.shift + shift
    sums.count += output.numel() // max(shift.size, 1)


def _gram(stack: torch.Tensor) -> NDArray[np.float64]:
    """Inner products, float32 within slices of 64 K values and float64 across them."""
    total = torch.zeros(len(stack), len(stack), dtype=torch.float64)
    for part in torch.split(stack, 65536, dim=1):
        total += (part @ part.T).double()
    return total.numpy()


def _report(step: Step, tensor: str, sums: _Sums) -> LayerReport:
    energy = float(sums.gram.sum())
    shares = sums.gram.sum(axis=1) / energy if energy > 0 else np.zeros(6)
    separate = float(np.trace(sums.gram))
    own = [0, 3, 4, 5]  # all terms that are there even when the inputs are exact
    shift = np.zeros(1) if sums.shift is None else sums.shift
    power = max(sums.power, 1e-300)
    return LayerReport(
        node=step.name,
        op=step.operator.op_type,
        tensor=tensor,
        error=energy / power,
        shares=dict(zip(TERMS, (float(s) for s in shares), strict=True)),
        own_error=float(sums.gram[np.ix_(own, own)].sum()) / power,
        inherited_error=float(sums.gram[1, 1]) / power,
        bias_share=_ratio(float((shift**2).sum()) / max(sums.count, 1), energy),
        coherence=_ratio(energy, separate),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
