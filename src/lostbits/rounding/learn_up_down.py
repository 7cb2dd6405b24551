"""AdaRound: whether each weight is rounded up or down is learned from the layer's output.

References:
    Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020,
    arXiv:2004.10568 (one layer). Li et al., BRECQ, ICLR 2021, arXiv:2102.05426 (a block).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, final

import torch
from torch import Tensor
from torch.nn import functional

from lostbits.errors import RecoveryError
from lostbits.rounding.adam import Adam
from lostbits.rounding.row_grid import Codes
from lostbits.rounding.soft_rounding import RoundedWeight, SoftWeight
from lostbits.system.deadline import NEVER, Deadline

Input = TypeVar("Input")
Forward = Callable[[Input, Mapping[str, Tensor]], Tensor]
Batches = Sequence[tuple[Input, Tensor]]
_TINY = 1e-30
_DECIDED = 0.95  # share of hard weights from which on the hard-rounded loss is to be believed


@final
@dataclass(frozen=True)
class Reconstruction:
    """How to learn.

    Attributes:
        iterations: Steps of Adam, one batch each.
        rate: Of Adam, on v. The paper's 1e-3 is for 10,000 steps and more; 1,000 at 1e-1 leave
            less error than at 1e-2 (0.29 and 0.36 of nearest's on a 3 x 3 convolution).
        strength: Weight of the regulariser against a loss in which nearest rounding costs 1,
            both counted per weight.
        warm: Share of the iterations without regulariser.
        beta: First and last exponent of the regulariser, annealed by half a cosine.
        checks: How often the hard-rounded loss is taken.
        patience: Checks in a row without a gain that end the learning, once 95 % have decided.
        seed: Of the order of the batches.
        others_rate: Of Adam, on what else is learned.
        deadline: After which no other step is taken.
    """

    iterations: int = 1000
    rate: float = 1e-1
    strength: float = 10.0
    warm: float = 0.2
    beta: tuple[float, float] = (20.0, 2.0)
    checks: int = 20
    patience: int = 3
    seed: int = 0
    others_rate: float = 1e-3
    deadline: Deadline = NEVER

    def exponent(self, iteration: int) -> float | None:
        """Of the regulariser at this iteration; None before it sets in."""
        start = self.warm * self.iterations
        if iteration < start:
            return None
        first, last = self.beta
        part = (iteration - start) / (self.iterations - start)
        return last + 0.5 * (first - last) * (1 + math.cos(math.pi * part))


class Rounded(NamedTuple):
    """What was learned.

    Attributes:
        codes: By the name of the weight.
        loss_before: With hard rounding, of the better of nearest and start codes.
        loss_after: With hard rounding, of ``codes``: never above ``loss_before``.
        iterations: Steps taken.
        hard_fraction: Share of weights within 0.01 of a code when the learning ended.
        others: What else was learned, as it was when ``codes`` were best.
    """

    codes: Mapping[str, Codes]
    loss_before: float
    loss_after: float
    iterations: int
    hard_fraction: float
    others: tuple[Tensor, ...] = ()


def adaround(
    layer: RoundedWeight,
    batches: "Batches[Input]",
    forward: Callable[[Input, Tensor], Tensor],
    reconstruction: Reconstruction | None = None,
) -> Rounded:
    """``adaround_block`` of one layer; its codes are under the name ``weight``."""
    return adaround_block({"weight": layer}, batches, _alone(forward), reconstruction)


def adaround_block(
    layers: Mapping[str, RoundedWeight],
    batches: "Batches[Input]",
    forward: "Forward[Input]",
    reconstruction: Reconstruction | None = None,
    others: Sequence[Tensor] = (),
) -> Rounded:
    """Learn the rounding of all weights between an input and an output.

    Args:
        layers: The weights.
        batches: Pairs of the input as the quantized network delivers it, and the float output
            to be reached, after the activation function: shape ``(batch, channels, ...)``.
        forward: The output, activation function included, from an input and float32 weights by
            name. Must be differentiable in the weights.
        reconstruction: How to learn.
        others: Further tensors that ``forward`` reads, to be learned beside the weights.

    Loss: squared error summed over the channels, mean over the rest, relative to that of nearest
    rounding, so that the regulariser's strength means the same in every layer.

    Raises:
        RecoveryError: R001, when the loss is no longer a number.
    """
    how = reconstruction or Reconstruction()
    unit, best = _begun(layers, batches, forward)
    best = best._replace(others=_copies(others))
    if unit <= _TINY:
        return best  # nearest is exact already: nothing to learn, and no unit for the loss
    return _learn(_Learner(layers, forward, how, unit, others), batches, best)


def confirmed(
    layer: RoundedWeight,
    found: Rounded,
    batches: "Batches[Input]",
    forward: Callable[[Input, Tensor], Tensor],
) -> Rounded:
    """What was learned on a part of the data, judged on all of it.

    Its losses are those of ``batches``; its codes are the ones to begin from where they do better.
    """
    layers, whole = {"weight": layer}, _alone(forward)
    _, first = _begun(layers, batches, whole)
    learned = _hard_loss(layers, found.codes, batches, whole)
    if learned < first.loss_before:
        return found._replace(loss_before=first.loss_before, loss_after=learned)
    return first._replace(iterations=found.iterations, hard_fraction=found.hard_fraction)


def _alone(forward: Callable[[Input, Tensor], Tensor]) -> "Forward[Input]":
    return lambda x, weights: forward(x, weights["weight"])


def _begun(
    layers: Mapping[str, RoundedWeight], batches: "Batches[Input]", forward: "Forward[Input]"
) -> tuple[float, Rounded]:
    """Loss of the nearest codes, and the better of those and the ones to begin from."""
    starts = [{name: layer.nearest for name, layer in layers.items()}]
    if any(layer.start is not None for layer in layers.values()):
        starts.append({name: layer.first for name, layer in layers.items()})
    losses = [_hard_loss(layers, codes, batches, forward) for codes in starts]
    before, codes = min(zip(losses, starts, strict=True), key=lambda pair: pair[0])
    return losses[0], Rounded(codes, before, before, 0, 1.0)


@final
class _Learner:
    """The weights on their way, and one step of it."""

    def __init__(
        self,
        layers: Mapping[str, RoundedWeight],
        forward: "Forward[Any]",
        how: Reconstruction,
        unit: float,
        others: Sequence[Tensor],
    ) -> None:
        self.layers, self.forward, self.how, self.unit = layers, forward, how, unit
        self.others = others
        self._soft = {name: SoftWeight(layer) for name, layer in layers.items()}
        self._size = sum(layer.weight.size for layer in layers.values())
        rated = [(soft.v, how.rate) for soft in self._soft.values()]
        self._adam = Adam([*rated, *((other, how.others_rate) for other in others)])

    def step(self, x: Any, target: Tensor, iteration: int) -> None:
        """Take one step of Adam on one batch."""
        weights = {name: soft.weight() for name, soft in self._soft.items()}
        loss = _reconstruction(self.forward(x, weights), target) / self.unit
        if not torch.isfinite(loss):
            raise _diverged(self.layers, iteration)
        self._adam.clear()
        loss.backward()  # type: ignore[no-untyped-call]
        strength, beta = self.how.strength / self._size, self.how.exponent(iteration)
        for name, soft in self._soft.items():
            slope = weights[name].grad  # None for a weight that the output does not depend on
            soft.descend(torch.zeros(()) if slope is None else slope, strength, beta)
        self._adam.step()

    def codes(self) -> dict[str, Codes]:
        """The decisions as they stand."""
        return {name: soft.codes() for name, soft in self._soft.items()}

    def hard_fraction(self) -> float:
        """Share of weights that have decided."""
        return sum(soft.hard() for soft in self._soft.values()) / self._size


def _learn(learner: _Learner, batches: "Batches[Any]", best: Rounded) -> Rounded:
    """Steps until all have decided, or the checks stop gaining, or the iterations are used up."""
    how, idle, lowest = learner.how, 0, math.inf
    every = max(1, how.iterations // how.checks)
    for iteration, index in enumerate(_shuffled(len(batches), how)):
        if how.deadline.passed:
            break
        with torch.enable_grad():
            learner.step(*batches[index], iteration)
        done = iteration + 1
        if done % every and done < how.iterations:
            continue
        codes, hard = learner.codes(), learner.hard_fraction()
        loss = _hard_loss(learner.layers, codes, batches, learner.forward)
        if loss < best.loss_after:
            best = best._replace(codes=codes, loss_after=loss, others=_copies(learner.others))
        best = best._replace(iterations=done, hard_fraction=hard)
        # While many are undecided, what rounding them by force costs says little (it falls in the
        # last fifth). A good start is overtaken late: gains count against the learning's own.
        idle = 0 if loss < lowest or hard < _DECIDED else idle + 1
        lowest = min(lowest, loss)
        if hard == 1 or idle >= how.patience:
            break
    return best


def _copies(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(t.detach().clone() for t in tensors)


def _shuffled(batches: int, how: Reconstruction) -> Iterator[int]:
    """One batch per iteration: all of them in a new order, again and again."""
    generator = torch.Generator().manual_seed(how.seed)
    order: list[int] = []
    for _ in range(how.iterations):
        order = order or torch.randperm(batches, generator=generator).tolist()
        yield order.pop()


def _reconstruction(output: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(output, target) * output.shape[1]


def _hard_loss(
    layers: Mapping[str, RoundedWeight],
    codes: Mapping[str, Codes],
    batches: "Batches[Any]",
    forward: "Forward[Any]",
) -> float:
    """The loss over all batches with the weights that would be deployed."""
    weights = {name: layer.values(codes[name]) for name, layer in layers.items()}
    with torch.no_grad():
        losses = [float(_reconstruction(forward(x, weights), y)) * len(y) for x, y in batches]
    loss = sum(losses) / sum(len(y) for _, y in batches)
    if not math.isfinite(loss):
        raise _diverged(layers, 0)
    return loss


def _diverged(layers: Mapping[str, RoundedWeight], iteration: int) -> RecoveryError:
    return RecoveryError(
        "R001", f"AdaRound of {', '.join(layers)}", f"it is not, in iteration {iteration}"
    )
