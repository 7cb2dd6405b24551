"""Rules that pick elements, or write to picked places of a copy."""

import torch

from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Values, given, integers, unary

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def slice_(operator: Operator, inputs: Values) -> Outputs:
    """Slice with steps of either sign; ends beyond the axis are clamped to it."""
    x = given(inputs, 0)
    starts, ends = given(inputs, 1).tolist(), given(inputs, 2).tolist()
    axes = integers(operator, "axes", inputs, 3) or range(len(starts))
    steps = integers(operator, "steps", inputs, 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        x = _sliced(x, axis, start, end, step)
    return (x,)


def _sliced(x: torch.Tensor, axis: int, start: int, end: int, step: int) -> torch.Tensor:
    size = x.shape[axis]
    start, end = (place + size if place < 0 else place for place in (start, end))
    if step < 0:
        picked = range(min(max(start, 0), size - 1), min(max(end, -1), size), step)
        return x.index_select(axis, torch.tensor(list(picked), dtype=torch.int64))
    start, end = (min(max(place, 0), size) for place in (start, end))
    x = x.narrow(axis, start, max(end - start, 0))
    return x if step == 1 else x[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]


def _wrapped(indices: torch.Tensor, size: int) -> torch.Tensor:
    """int64 indices of which the negative ones counted from the end."""
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


def gather(operator: Operator, inputs: Values) -> Outputs:
    """Gather whole slices of ``axis``."""
    x, indices = given(inputs, 0), given(inputs, 1)
    axis = operator.get("axis", 0) % x.ndim
    picked = x.index_select(axis, _wrapped(indices.flatten(), x.shape[axis]))
    return (picked.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]),)


def gather_elements(operator: Operator, inputs: Values) -> Outputs:
    """GatherElements: one index along ``axis`` for every element of the result."""
    x, axis = given(inputs, 0), operator.get("axis", 0)
    return (x.gather(axis, _wrapped(given(inputs, 1), x.shape[axis])),)


def gather_nd(operator: Operator, inputs: Values) -> Outputs:
    """GatherND: an index for the first axes after the batch axes."""
    x, indices = given(inputs, 0), given(inputs, 1).long()
    batch = operator.get("batch_dims", 0)
    rows = indices.shape[:batch].numel()
    flat = x.reshape(rows, *x.shape[batch:])
    places = indices.reshape(rows, -1, indices.shape[-1])
    row = torch.arange(rows).unsqueeze(1).expand(places.shape[:2])
    picked = flat[(row, *places.unbind(-1))]
    return (picked.reshape(*indices.shape[:-1], *picked.shape[2:]),)


def scatter_elements(operator: Operator, inputs: Values) -> Outputs:
    """ScatterElements: the inverse of GatherElements, on a copy."""
    x, axis, updates = given(inputs, 0), operator.get("axis", 0), given(inputs, 2)
    indices = _wrapped(given(inputs, 1), x.shape[axis])
    return (_scatter(x, axis, indices, updates, operator.get("reduction", "none")),)


def scatter_nd(operator: Operator, inputs: Values) -> Outputs:
    """ScatterND: the inverse of GatherND, on a copy."""
    x, indices, updates = given(inputs, 0), given(inputs, 1), given(inputs, 2)
    depth = indices.shape[-1]
    place = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for axis in range(depth):
        place = place * x.shape[axis] + _wrapped(indices[..., axis], x.shape[axis])
    width = x.shape[depth:].numel()
    rows = place.reshape(-1, 1).expand(-1, width)
    flat = x.reshape(x.shape[:depth].numel(), width)
    updates, reduction = updates.reshape(rows.shape), operator.get("reduction", "none")
    changed = _scatter(flat, 0, rows, updates, reduction)
    return (changed.reshape(x.shape),)


def _scatter(
    x: torch.Tensor, axis: int, indices: torch.Tensor, updates: torch.Tensor, reduction: str
) -> torch.Tensor:
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    return x.scatter_reduce(axis, indices, updates, _REDUCTIONS[reduction])


def trilu(operator: Operator, inputs: Values) -> Outputs:
    """Trilu: the upper or lower triangle, from diagonal ``k`` on."""
    diagonal = int(given(inputs, 1).item()) if len(inputs) > 1 else 0
    function = torch.triu if operator.get("upper", 1) else torch.tril
    return (function(given(inputs, 0), diagonal),)


def one_hot(operator: Operator, inputs: Values) -> Outputs:
    """OneHot; indices out of range are cold everywhere."""
    indices, depth = given(inputs, 0).long(), int(given(inputs, 1).item())
    axis = operator.get("axis", -1) % (indices.ndim + 1)
    off, on = given(inputs, 2)
    classes = torch.arange(depth).reshape(-1, *[1] * (indices.ndim - axis))
    return (torch.where(_wrapped(indices, depth).unsqueeze(axis) == classes, on, off),)


def compress(operator: Operator, inputs: Values) -> Outputs:
    """Slices of an axis, or of the flat tensor, for which a condition holds."""
    x, places = given(inputs, 0), given(inputs, 1).nonzero().flatten()
    axis = operator.get("axis")
    return ((x.flatten() if axis is None else x).index_select(axis or 0, places),)


def reverse_sequence(operator: Operator, inputs: Values) -> Outputs:
    """The first so many steps of each sequence turned round, the others as they are."""
    x, lengths = given(inputs, 0), given(inputs, 1)
    steps, rows = operator.get("time_axis", 0), operator.get("batch_axis", 1)
    t = torch.arange(x.shape[steps])[:, None]
    places = torch.where(t < lengths, lengths - 1 - t, t)
    moved = x.movedim((steps, rows), (0, 1))
    y = moved[places, torch.arange(x.shape[rows])]
    return (y.movedim((0, 1), (steps, rows)),)


RULES: dict[str, Rule] = {
    "Compress": compress,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonZero": unary(lambda x: x.nonzero().t()),
    "OneHot": one_hot,
    "ReverseSequence": reverse_sequence,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Slice": slice_,
    "Trilu": trilu,
}
