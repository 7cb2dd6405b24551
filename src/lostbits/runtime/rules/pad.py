"""The rule of Pad."""

from collections.abc import Callable

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    integers,
    optional,
)
from lostbits.runtime.rules.window import flat_pads


def pad(operator: Operator, inputs: Values) -> Outputs:
    """Pad; negative pads crop, before anything is mirrored or repeated."""
    x, mode = given(inputs, 0), operator.get("mode", "constant")
    begin, end = _pads(operator, inputs, x.ndim)
    if mode == "constant":
        value = optional(inputs, 2)
        number = 0 if value is None else value.item()
        return (functional.pad(x, flat_pads(begin, end), value=number),)
    if mode not in _SOURCES:
        raise Unsupported(f"Pad mode {mode!r}")
    for axis in range(x.ndim):
        x = _padded(x, axis, begin[axis], end[axis], _SOURCES[mode])
    return (x,)


def _pads(operator: Operator, inputs: Values, rank: int) -> tuple[list[int], list[int]]:
    pads = given(inputs, 1).tolist()
    axes = integers(operator, "axes", inputs, 3)
    if axes is None:
        return pads[:rank], pads[rank:]
    begin, end = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        begin[axis], end[axis] = first, last
    return begin, end


Source = Callable[[torch.Tensor, int], torch.Tensor]


def _padded(x: torch.Tensor, axis: int, begin: int, end: int, source: Source) -> torch.Tensor:
    if begin < 0 or end < 0:
        low, high = max(-begin, 0), x.shape[axis] - max(-end, 0)
        x = x.narrow(axis, low, high - low)
    if begin <= 0 and end <= 0:
        return x
    places = torch.arange(-max(begin, 0), x.shape[axis] + max(end, 0))
    return x.index_select(axis, source(places, x.shape[axis]))


def _reflect(places: torch.Tensor, size: int) -> torch.Tensor:
    period = max(2 * (size - 1), 1)
    places = places % period
    return torch.minimum(places, period - places)


def _edge(places: torch.Tensor, size: int) -> torch.Tensor:
    return places.clamp(0, size - 1)


_SOURCES: dict[str, Source] = {"edge": _edge, "reflect": _reflect, "wrap": torch.remainder}

RULES: dict[str, Rule] = {"Pad": pad}
