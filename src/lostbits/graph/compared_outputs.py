"""What is compared of a network: its outputs, or what they are chosen from, by part.

It is found once, on the network as it was loaded, and a case keeps it: what recoveries put into
the graph changes no meaning.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import onnx_ir as ir

from lostbits.graph.output_kinds import class_axis, kind_of
from lostbits.graph.output_parts import boxes
from lostbits.graph.outputs import Compared, no_output, parts_of
from lostbits.graph.padding_masks import Mask, find_masks
from lostbits.graph.queries import is_float, name_of, node_name, rank
from lostbits.graph.selection import Candidates, candidates, chosen, not_shown, rows_chosen
from lostbits.graph.shown_sizes import sizes
from lostbits.graph.site import Use
from lostbits.graph.told_outputs import Told, as_told


def compared_outputs(graph: ir.Graph, told: Told | None = None) -> tuple[Compared, ...]:
    """What is compared, in order: outputs as they are, then what others are chosen from.

    Raises:
        TargetError: T040 for an output, T041 for a kind, T043 for a mask that does not exist,
            T042 for a kind that does not fit its output.
    """
    told = told or Told()
    behind = chosen(graph)
    found = candidates(graph) if behind else []
    behind = behind if found else []
    kept = [v for v in graph.outputs if v not in behind and is_float(v)]
    found = not_shown(found, kept)
    values = [*kept, *(each.value for each in found)]
    _check_names([*told.kinds, *told.masks], values)
    masks, moved = find_masks(graph), {name_of(v) for v in rows_chosen(graph)}
    tensors = [_compared(value, values, masks) for value in values]
    tensors[len(kept) :] = [
        replace(each, reader=_use(candidate), behind=tuple(map(name_of, behind)))
        for each, candidate in zip(tensors[len(kept) :], found, strict=True)
    ]
    inner = [bool(moved.intersection(each.behind or [each.name])) for each in tensors]
    tensors = [replace(t, rows_chosen=own) for t, own in zip(tensors, inner, strict=True)]
    inputs = list(graph.inputs)
    return tuple(
        as_told(each, value, told, inputs) for each, value in zip(tensors, values, strict=True)
    )


def _use(candidate: Candidates) -> Use:
    return Use(node_name(candidate.reader), candidate.position)


def _compared(value: ir.Value, values: Sequence[ir.Value], masks: Sequence[Mask]) -> Compared:
    kind, name = kind_of(value, values), name_of(value)
    mask = next((mask for mask in masks if _may_mask(mask, value)), None)
    return Compared(name, kind, parts_of(value, boxes(value)), class_axis(value), mask)


def _may_mask(mask: Mask, value: ir.Value) -> bool:
    """Whether a mask that was found is one of positions of this tensor, as far as shapes tell."""
    graph = value.graph
    source = None if graph is None else next(i for i in graph.inputs if i.name == mask.input)
    if source is None or (rank(value) or 0) < 3:
        return False
    wanted, shape = tuple(source.shape or ()), tuple(value.shape or ())
    if mask.form == "lengths":
        return wanted[:1] == shape[:1]
    shown = sizes(source), sizes(value)
    if shown[0] is not None and shown[1] is not None:
        wanted, shape = (wanted[:1] + shown[0][1:], shape[:1] + shown[1][1:])
    pairs = zip(wanted, shape, strict=False)
    return all(one == other or not _fixed(one, other) for one, other in pairs)


def _fixed(one: Any, other: Any) -> bool:
    return isinstance(one, int) and isinstance(other, int)


def _check_names(names: Sequence[str], values: Sequence[ir.Value]) -> None:
    known = [name_of(value) for value in values]
    for name in names:
        if name not in known:
            raise no_output(name, known)
