"""Rules of reductions, and of operators that order or accumulate along an axis."""

from collections.abc import Callable

import torch

from lostbits.runtime.rules.dtypes import limits
from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Values, given, integers

Reduction = Callable[[torch.Tensor, list[int], bool], torch.Tensor]


def _reduction(function: Reduction) -> Rule:
    def rule(operator: Operator, inputs: Values) -> Outputs:
        x = given(inputs, 0)
        keep = bool(operator.get("keepdims", 1))
        axes = [axis % x.ndim for axis in integers(operator, "axes", inputs, 1) or []]
        if not axes and not operator.get("noop_with_empty_axes", 0):
            axes = list(range(x.ndim))
        if axes:
            return (function(x, axes, keep).to(x.dtype),)
        # Over no axis, the steps of the operator other than the reduction remain.
        return (function(x.unsqueeze(0), [0], False).to(x.dtype),)

    return rule


def _real(x: torch.Tensor) -> torch.Tensor:
    return x if x.is_floating_point() else x.double()


def _sum(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return x.sum(axes, keep, dtype=x.dtype)


def _mean(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return _real(x).mean(axes, keep)


def _prod(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keep, dtype=x.dtype)
    return x


def _max(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return x.amax(axes, keep) if x.numel() else _empty(x, axes, keep, limits(x.dtype)[0])


def _min(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    return x.amin(axes, keep) if x.numel() else _empty(x, axes, keep, limits(x.dtype)[1])


def _empty(x: torch.Tensor, axes: list[int], keep: bool, value: float) -> torch.Tensor:
    shape = x.sum(axes, keep).shape
    return torch.full(shape, value, dtype=x.dtype)


def _l2(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    norm: torch.Tensor = torch.linalg.vector_norm(_real(x), 2, axes, keep)
    return norm


def _arg(operator: Operator, inputs: Values, function: Callable[..., torch.Tensor]) -> Outputs:
    x, axis = given(inputs, 0), operator.get("axis", 0)
    keep = bool(operator.get("keepdims", 1))
    if not operator.get("select_last_index", 0):
        return (function(x, axis, keepdim=keep),)
    return (x.shape[axis] - 1 - function(x.flip(axis), axis, keepdim=keep),)


def cum_sum(operator: Operator, inputs: Values) -> Outputs:
    """CumSum, from either end, with or without the element itself."""
    x = given(inputs, 0)
    axis = int(given(inputs, 1).item())
    reverse = operator.get("reverse", 0)
    x = x.flip(axis) if reverse else x
    y = x.cumsum(axis, dtype=x.dtype)
    if operator.get("exclusive", 0) and x.shape[axis]:
        first = torch.zeros_like(x.narrow(axis, 0, 1))
        y = torch.cat([first, y.narrow(axis, 0, x.shape[axis] - 1)], axis)
    return (y.flip(axis) if reverse else y,)


def top_k(operator: Operator, inputs: Values) -> Outputs:
    """TopK; of equal values, the first come first."""
    x, k = given(inputs, 0), int(given(inputs, 1).item())
    axis, largest = operator.get("axis", -1), bool(operator.get("largest", 1))
    # torch.topk would not keep the order of equal values.
    values, indices = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, k), indices.narrow(axis, 0, k)


RULES: dict[str, Rule] = {
    "ArgMax": lambda operator, inputs: _arg(operator, inputs, torch.argmax),
    "ArgMin": lambda operator, inputs: _arg(operator, inputs, torch.argmin),
    "CumSum": cum_sum,
    "ReduceL1": _reduction(lambda x, axes, keep: _sum(x.abs(), axes, keep)),
    "ReduceL2": _reduction(_l2),
    "ReduceLogSum": _reduction(lambda x, axes, keep: _sum(_real(x), axes, keep).log()),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: torch.logsumexp(_real(x), axes, keep)),
    "ReduceMax": _reduction(_max),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(_min),
    "ReduceProd": _reduction(_prod),
    "ReduceSum": _reduction(_sum),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: _sum(x.square(), axes, keep)),
    "TopK": top_k,
}
