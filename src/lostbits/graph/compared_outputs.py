"""What is compared of a network: its outputs, or what they are chosen from, by part.

It is found once, on the network as it was loaded, and a case keeps it: what recoveries put into
the graph changes no meaning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

import onnx_ir as ir

from lostbits.errors import TargetError, close_match
from lostbits.graph.output_kinds import Kind, class_axis, kind_of
from lostbits.graph.output_parts import WHOLE, Box, Span, boxes, text
from lostbits.graph.padding_masks import Mask, find_masks
from lostbits.graph.queries import is_float, name_of, node_name, rank
from lostbits.graph.selection import Candidates, candidates, chosen
from lostbits.graph.site import Use

_CORNERS, _ROWS = 4, 6  # values of a box; those of one that was found: box, score, class
_RANKS: dict[Kind, tuple[int, int]] = {  # least and most axes
    Kind.CLASSES: (2, 5),
    Kind.SEQUENCE: (3, 5),
    Kind.EMBEDDING: (2, 5),
    Kind.IMAGE: (3, 5),
    Kind.DETECTIONS: (2, 6),
    Kind.OTHER: (0, 99),
}


@final
@dataclass(frozen=True)
class Part:
    """A part of an output.

    Attributes:
        name: Such as ``output0[:, 4:]``.
        box: Where it lies, by axis.
    """

    name: str
    box: Box

    @property
    def index(self) -> tuple[slice, ...]:
        """For an array of the output."""
        last = max(self.box, default=-1)
        return tuple(slice(*self.box.get(axis, (None, None))) for axis in range(last + 1))


@final
@dataclass(frozen=True)
class Compared:
    """One tensor that is compared.

    Attributes:
        name: Of the tensor.
        kind: What it means.
        parts: One at least.
        axis: Along which the largest entry is an answer; of classes and sequences.
        mask: What says which positions count; None: all.
        told: Whether the mask was told, and must fit.
        reader: What reads the tensor to choose from it; None for an output of the graph.
        behind: Outputs of the graph that it stands for.
    """

    name: str
    kind: Kind
    parts: tuple[Part, ...]
    axis: int = -1
    mask: Mask | None = None
    told: bool = False
    reader: Use | None = None
    behind: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Told:
    """What the user says of outputs.

    Attributes:
        kinds: By output.
        masks: Inputs by output; with ``!`` before it, zeros are what counts.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)


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
    values = [*kept, *(each.value for each in found)]
    _check_names([*told.kinds, *told.masks], values)
    masks = find_masks(graph)
    tensors = [_compared(value, values, masks) for value in values]
    tensors[len(kept) :] = [
        replace(each, reader=_use(candidate), behind=tuple(map(name_of, behind)))
        for each, candidate in zip(tensors[len(kept) :], found, strict=True)
    ]
    inputs = list(graph.inputs)
    return tuple(
        _masked(_told(each, value, told), told, inputs)
        for each, value in zip(tensors, values, strict=True)
    )


def _use(candidate: Candidates) -> Use:
    return Use(node_name(candidate.reader), candidate.position)


def _compared(value: ir.Value, values: Sequence[ir.Value], masks: Sequence[Mask]) -> Compared:
    kind, name = kind_of(value, values), name_of(value)
    mask = next((mask for mask in masks if _may_mask(mask, value)), None)
    return Compared(name, kind, _parts(value, kind), class_axis(value), mask)


def _parts(value: ir.Value, kind: Kind) -> tuple[Part, ...]:
    found = boxes(value)
    if found == [WHOLE] and kind is Kind.DETECTIONS:
        found = _rows(value)
    return tuple(Part(f"{name_of(value)}{text(box)}", box) for box in found)


def _rows(value: ir.Value) -> list[Box]:
    """Boxes, and scores behind them, along the shorter of the last two axes."""
    shape = tuple(value.shape or ())
    sizes = {
        a: s for a, s in enumerate(shape) if a >= max(len(shape) - 2, 1) and isinstance(s, int)
    }
    axis = min(sizes, key=lambda a: sizes[a], default=None)
    if axis is None or sizes[axis] <= _CORNERS:
        return [WHOLE]
    spans: list[Span] = [(0, _CORNERS), (_CORNERS, None)]
    if sizes[axis] == _ROWS:
        spans[1:] = [(_CORNERS, _CORNERS + 1), (_CORNERS + 1, None)]
    return [{axis: span} for span in spans]


def _may_mask(mask: Mask, value: ir.Value) -> bool:
    """Whether a mask that was found is one of positions of this tensor, as far as shapes tell."""
    graph = value.graph
    source = None if graph is None else next(i for i in graph.inputs if i.name == mask.input)
    if source is None or (rank(value) or 0) < 3:
        return False
    wanted, shape = tuple(source.shape or ()), tuple(value.shape or ())
    if mask.form == "lengths":
        return wanted[:1] == shape[:1]
    pairs = zip(wanted, shape, strict=False)
    return all(one == other or not _fixed(one, other) for one, other in pairs)


def _fixed(one: Any, other: Any) -> bool:
    return isinstance(one, int) and isinstance(other, int)


def _check_names(names: Sequence[str], values: Sequence[ir.Value]) -> None:
    known = [name_of(value) for value in values]
    for name in names:
        if name not in known:
            raise no_output(name, known)


def no_output(name: str, known: Sequence[str]) -> TargetError:
    """T040."""
    return TargetError(
        "T040", f"output {name!r}", "none of that name", advice=close_match(name, known)
    )


def _told(found: Compared, value: ir.Value, told: Told) -> Compared:
    word = told.kinds.get(found.name)
    if word is None:
        return found
    kind = kind_named(word, found.name)
    _check_fits(kind, value)
    axis = 1 if kind is Kind.CLASSES and (rank(value) or 0) > 2 else found.axis
    return replace(found, kind=kind, parts=_parts(value, kind), axis=axis)


def kind_named(word: str, output: str) -> Kind:
    """The kind of that name.

    Raises:
        TargetError: T041 for another name.
    """
    if word not in {*Kind}:
        advice = close_match(word, [*Kind])
        raise TargetError("T041", f"output {output!r}", f"kind {word!r}", advice=advice)
    return Kind(word)


def _check_fits(kind: Kind, value: ir.Value) -> None:
    """Whether the shape may mean that, as far as it is known."""
    axes, shape = rank(value), tuple(value.shape or ())
    if axes is None:
        return
    least, most = _RANKS[kind]
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    narrow = len(sizes) == axes - 1 and (
        (kind is Kind.CLASSES and (sizes[:1] == [1] or any(size != 1 for size in sizes[1:])))
        or (kind is Kind.SEQUENCE and max(sizes, default=0) < 2)
        or (kind is Kind.DETECTIONS and max(sizes, default=0) < _CORNERS)
    )
    if narrow or not least <= axes <= most:
        found = f"shape {[str(s) if not isinstance(s, int) else s for s in shape]}"
        raise TargetError("T042", f"output {name_of(value)!r}", found, kind=kind)


def _masked(found: Compared, told: Told, inputs: Sequence[ir.Value]) -> Compared:
    word = told.masks.get(found.name)
    if word is None:
        return found
    name, known = word.removeprefix("!"), {name_of(v): v for v in inputs}
    if name not in known:
        advice = close_match(name, known)
        raise TargetError("T043", f"mask of output {found.name!r}", f"{name!r}", advice=advice)
    return replace(found, mask=Mask(name, _form(known[name], word)), told=True)


def _form(value: ir.Value, word: str) -> Literal["ones", "zeros", "lengths"]:
    if word.startswith("!"):
        return "zeros"
    shape = tuple(value.shape or ())
    whole = value.dtype in {ir.DataType.INT32, ir.DataType.INT64}
    return "lengths" if whole and (len(shape) < 2 or shape[1:] == (1,)) else "ones"
